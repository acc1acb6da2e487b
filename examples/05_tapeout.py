"""Hand over to tapeout: draw every array, extract it again, compare, write netlists and plans.

    python examples/05_tapeout.py [epochs]

A small convolutional network on scikit-learn's digits, its two layers on arrays of two devices.
Needs the extra xbarspice[tapeout] (KLayout). Leaves the folder tapeout/: a folder an array with
layout (GDSII, OASIS), netlists with their test benches and the programming plan; the floorplan of
all arrays; the model as drawn; and manifest.json, which leads from every layer to its files.
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import xbarspice as xb
from xbarspice.tapeout import check_folder, load_technology, tapeout

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20

images, labels = load_digits(return_X_y=True)
x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
y = torch.tensor(labels)
torch.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 10))
optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(epochs):
    for batch in torch.randperm(1500).split(50):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimiser.step()

array = xb.ArrayConfig(tile_rows=32, tile_cols=32, R_wl=1.0, R_bl=1.0)
circuit = xb.nn.convert(
    model.eval(),
    {"0": array, "3": xb.ArrayConfig(tile_rows=32, tile_cols=32, device="sinh_tio2")},
    calibrate=x[:200],
)

folder = Path("tapeout")
folder.mkdir()
record = tapeout(
    circuit, x[1500:], folder, load_technology("demo"), y=y[1500:].numpy(), names=["ngspice", "cdl"]
)
looked_at = record["arrays"][0]["lvs"]["looked_at"]
print("layout against netlist:", f"clean ({looked_at})" if record["passed"] else "FAIL")
for layer in record["layers"]:
    for matrix in layer["matrices"]:
        assumed = record["wires_assumed"][matrix["matrix"]]
        changes = ", ".join(f"{w} {assumed[w]:g} -> {R:g}" for w, R in matrix["wires"].items())
        print(f"{matrix['matrix']}: {len(matrix['tiles'])} arrays; wires, ohm: {changes}")
effect = record["effect_of_drawn_wires"]
print("accuracy:", {wires: round(share, 4) for wires, share in effect["accuracy"].items()})
print(f"{len(record['files'])} files in {folder}/, listed with their hashes in manifest.json")
assert record["passed"]
assert check_folder(folder).passed
