"""Hand over to tapeout: a network on 16x16 arrays in the open ReRAM process SKY130B.

    python examples/05_tapeout.py [epochs]

A small network on scikit-learn's digits, its weights as conductances of the process's own device.
Every array is drawn with its leads and pads, checked against the rules of the process, extracted
again from its geometry and compared. Needs the extra xbarspice[tapeout] (KLayout). Leaves the
folder tapeout/: a folder an array with layout (GDSII, OASIS, LEF), netlists with their test benches
and the programming plan; the floorplan of all arrays with monitors; the model as drawn; and
manifest.json, which leads from every layer to its files.
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import xbarspice as xb
from xbarspice.tapeout import check_folder, load_technology, tapeout
from xbarspice.tapeout.rules import check_file

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 40

images, labels = load_digits(return_X_y=True)
x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
x = nn.functional.avg_pool2d(x, 2).flatten(1)  # 16 inputs, one a word line
y = torch.tensor(labels)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 8, bias=False), nn.ReLU(), nn.Linear(8, 10))
optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(epochs):
    for batch in torch.randperm(1500).split(50):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimiser.step()

technology = load_technology("sky130b")
wires = technology.segments()  # of one segment; the leads are known once they are drawn
array = xb.ArrayConfig(
    tile_rows=16,
    tile_cols=16,
    device="sky130_reram",
    G_min=1e-6,
    G_max=50e-6,
    R_wl=wires["R_wl"],
    R_bl=wires["R_bl"],
)
circuit = xb.nn.convert(model.eval(), array, calibrate=x[:200])

folder = Path("tapeout")
folder.mkdir()
record = tapeout(
    circuit, x[1500:], folder, technology, y=y[1500:].numpy(), name="digits", names=["ngspice"]
)
rules = check_file(folder / "floorplan.gds", technology)
print(f"rules of {technology.name}: {len(rules.violations)} violations on the floorplan")
looked_at = record["arrays"][0]["lvs"]["looked_at"]
print("layout against arrays:", f"clean ({looked_at})" if record["passed"] else "FAIL")
for layer in record["layers"]:
    for matrix in layer["matrices"]:
        assumed = record["wires_assumed"][matrix["matrix"]]
        changes = ", ".join(
            f"{w} {assumed[w]:.3g} -> {R['smallest']:.3g} to {R['largest']:.3g}"
            for w, R in matrix["wires"].items()
        )
        print(f"{matrix['matrix']}: {len(matrix['tiles'])} arrays; wires, ohm: {changes}")
effect = record["effect_of_drawn_wires"]
print("accuracy:", {wires: round(share, 4) for wires, share in effect["accuracy"].items()})
plan = record["floorplan"]
print(f"floorplan: {plan['width_um']:.0f} x {plan['height_um']:.0f} um")
print(f"{len(record['files'])} files in {folder}/, listed with their hashes in manifest.json")
assert record["passed"]
assert rules.clean
assert check_folder(folder).passed
