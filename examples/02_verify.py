"""Verify a trained network: train, map to one 8x8 array, and let three engines answer.

    python examples/02_verify.py [epochs]

Writes half_moons.npz and mapped.h5; `xbarspice verify mapped.h5` reports the same check.
"""

import sys
from pathlib import Path

from xbarspice import store
from xbarspice.config import DataConfig, TrainConfig
from xbarspice.mapping import map_network
from xbarspice.network import save
from xbarspice.studies import train
from xbarspice.studies.crosscheck import crosscheck
from xbarspice.studies.data import half_moons

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300

split = half_moons(DataConfig())
trained = train.fit(split, TrainConfig(epochs=epochs), seed=0)
save(Path("half_moons.npz"), trained.network)

mapped = map_network(
    trained.network, layout="folded", tile_rows=8, tile_cols=8, R_wl=1.0, R_bl=1.0,
    device="sinh_tio2",
)  # fmt: skip
store.save_mapped(Path("mapped.h5"), mapped)

check = crosscheck(
    mapped, split.x_test[:40], split.y_test[:40], engines=("nodal", "surrogate"),
    reference="ngspice",
)  # fmt: skip
for engine in check.engines:
    worst = max(layer.worst for layer in engine.layers)
    print(
        f"{engine.engine:9s} accuracy {engine.accuracy:.3f}, other predictions than ngspice: "
        f"{engine.disagreements}, largest current error {worst:.1e}"
    )
for gate in check.gates:
    print(f"gate {gate.name}: {gate.value:.1e} (limit {gate.limit:g})")
assert all(gate.passed for gate in check.gates)
