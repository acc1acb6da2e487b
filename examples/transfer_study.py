"""Train for the transfer, transfer a thousand times, and see what a tester's remedies bring.

    python examples/transfer_study.py [transfers]

A plain 2-8-1 network and one tuned on drawn transfers stand on one 8x8 TiO2 array each. The metric
is the share of test points that are right in at least 95 % of the transfers (arXiv:2305.18495).
"""

import sys

import numpy as np

from xbarspice.config import DataConfig
from xbarspice.mapping import map_network
from xbarspice.studies import recipes
from xbarspice.studies.data import half_moons
from xbarspice.studies.remedies import Procedure
from xbarspice.studies.transfer import transfer
from xbarspice.variability import drolet_2023

transfers = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
split, errors = half_moons(DataConfig()), drolet_2023()
calibration = (  # what the tester may use: never the test points
    np.concatenate([split.x_train, split.x_validation]),
    np.concatenate([split.y_train, split.y_validation]),
)

networks = {
    "regular": recipes.regular(split, [0], recipes.QUICK).networks[0],
    "hardware-aware": recipes.hardware_aware(split, [0], errors, recipes.QUICK).networks[0],
}
for name, network in networks.items():
    mapped = map_network(network, layout="folded", tile_rows=8, tile_cols=8, bias="hidden")
    for remedy, procedure in (("", Procedure()), (" + bias correction", Procedure(bias=True))):
        study = transfer(
            mapped, split.x_test, split.y_test, variation=errors, transfers=transfers,
            procedure=procedure, calibration=calibration,
        )  # fmt: skip
        found = study.summary()
        print(
            f"{name + remedy:34s} right in 95 % of the transfers: {100 * found['metric']:5.1f} % "
            f"[{100 * found['metric_low']:.1f}, {100 * found['metric_high']:.1f}], "
            f"noise-free {found['noise_free']:.3f}, mean {found['mean']:.3f}"
        )
