"""Workers where the caller states none: not where they would run the caller's script again."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import xbarspice as xb
from xbarspice.campaign.choice import choose_workers, is_run_again

SCRIPT = """
import torch
import xbarspice as xb

print("begun", flush=True)
model = torch.nn.Linear(16, 8).double()
x = torch.rand(3, 16, dtype=torch.float64)
circuit = xb.nn.convert(model, xb.ArrayConfig(tile_rows=2, tile_cols=4, R_wl=1.0), calibrate=x)
assert len(xb.nn.arrays(circuit)) >= 32
assert xb.verify(circuit, x, reference="nodal").passed
"""


def put_main(monkeypatch, text, path, spec=None):
    main = ModuleType("__main__")
    if text is not None:
        path.write_text(text)
        main.__file__ = str(path)
    main.__spec__ = spec
    monkeypatch.setitem(sys.modules, "__main__", main)


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("print(1)\n", True),
        ("if True:\n    print(__name__)\n", True),
        ('def run():\n    pass\n\nif __name__ == "__main__":\n    run()\n', False),
        ('if "__main__" == __name__:\n    pass\n', False),
        (None, False),  # a notebook, `python -c`
    ],
)
def test_a_script_is_run_again_unless_it_asks_for_its_name(monkeypatch, tmp_path, text, again):
    put_main(monkeypatch, text, tmp_path / "script.py")
    assert is_run_again() == again
    assert choose_workers(None, items=40, worth=32) == (0 if again else None)


def test_the_command_of_a_package_is_not_run_again(monkeypatch, tmp_path):
    put_main(monkeypatch, "print(1)\n", tmp_path / "m.py", ModuleSpec("tool.__main__", None))
    assert not is_run_again()
    put_main(monkeypatch, "print(1)\n", tmp_path / "m.py", ModuleSpec("tool.job", None))
    assert is_run_again()


def test_what_is_stated_is_kept(monkeypatch, tmp_path):
    put_main(monkeypatch, "print(1)\n", tmp_path / "script.py")
    assert choose_workers(3, items=1, worth=32) == 3
    assert choose_workers(None, "tcp://host:8786", items=1, worth=32) is None  # its own workers
    assert choose_workers(None, items=31, worth=32) == 0


def test_a_plain_script_verifies_many_arrays_and_runs_once(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(xb.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["begun"]
