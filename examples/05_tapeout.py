"""Hand over to tapeout: draw the array, extract it again, compare, write netlists and a plan.

    python examples/05_tapeout.py [epochs]

Needs the extra xbarspice[tapeout] (KLayout). Leaves the folder tapeout/: layout (GDSII, OASIS),
netlists of every dialect with their test benches, the programming plan, and manifest.json.
"""

import sys
from pathlib import Path

from xbarspice.config import DataConfig, TrainConfig
from xbarspice.mapping import map_network
from xbarspice.studies import train
from xbarspice.studies.data import half_moons
from xbarspice.tapeout.flow import tapeout
from xbarspice.tapeout.technology import load

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300

split = half_moons(DataConfig())
network = train.fit(split, TrainConfig(epochs=epochs), seed=0).network
mapped = map_network(
    network, layout="folded", tile_rows=8, tile_cols=8, R_wl=1.0, R_bl=1.0, device="sinh_tio2"
)

folder = Path("tapeout")
folder.mkdir()
record = tapeout(mapped, split.x_test[:4], folder, load("demo"))
looked_at = record["tiles"][0]["lvs"]["looked_at"]
print("layout against netlist:", f"clean ({looked_at})" if record["passed"] else "FAIL")
for name, assumed in record["wires"]["assumed"].items():
    print(f"{name:8s} assumed {assumed:.3f} ohm, drawn {record['wires']['drawn'][name]:.3f} ohm")
print(f"{len(record['files'])} files in {folder}/, listed with their hashes in manifest.json")
assert record["passed"]
