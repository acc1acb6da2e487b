"""Train for the transfer, then transfer a thousand times.

    python examples/transfer_study.py [transfers]

A 2-8-1 network learns the half moons twice: plainly, and on arrays that are drawn anew in every
step with the errors of a programming run (arXiv:2305.18495). Both are then transferred onto many
arrays, written once or as a tester does: partners of stuck devices restore their pairs, devices
whose errors weigh most are rewritten, and the output's bias is corrected. The metric is the share
of the test points that are right in at least 95 % of the transfers.
"""

import copy
import sys

import torch

import xbarspice as xb
from xbarspice.config import DataConfig
from xbarspice.training.data import half_moons
from xbarspice.transfer import transfer
from xbarspice.variability import drolet_2023

transfers = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
split, errors = half_moons(DataConfig()), drolet_2023()
x, y = torch.tensor(split.x_train), torch.tensor(split.y_train).double()[:, None]


def fit(model: torch.nn.Module, steps: int, rate: float, draws: int = 1) -> None:
    """Adam on all training points; on arrays every call of the model is a transfer of its own."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        for _ in range(draws):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y) / draws
            loss.backward()
        optimiser.step()


torch.manual_seed(0)
plain = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 1))
plain = plain.double()
fit(plain, 1000, 0.1)
config = xb.ArrayConfig(tile_rows=8, tile_cols=8, R_wl=1.0, R_bl=1.0, variation=errors)
aware = xb.nn.convert(copy.deepcopy(plain), config)
aware.train()  # draws a transfer in every call
fit(aware, 200, 0.05, draws=8)

tester = xb.training.procedures.get("partners+tuning_passes+decision_offset")
points = (split.x_validation, split.y_validation)  # what the tester may use
for name, model in (("plain", plain), ("hardware-aware", xb.nn.to_torch(aware))):
    circuit = xb.nn.convert(model, config, calibrate=x)
    for how, told in (("", {}), (", tester", {"procedure": tester, "calibration": points})):
        study = transfer(circuit, split.x_test, split.y_test, transfers=transfers, **told)
        record = study.record()
        print(
            f"{name + how:22s} right in 95 % of the transfers: {100 * record['metric']:5.1f} % "
            f"[{100 * record['metric_low']:.1f}, {100 * record['metric_high']:.1f}], "
            f"noise-free {record['noise_free']:.3f}, mean {record['mean']:.3f}"
        )
