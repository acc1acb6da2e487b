"""Files as instruments write them: read right, or refused with the sentence that helps."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from xbarspice import calibration
from xbarspice.core.errors import InputError, PackageMissingError
from xbarspice.importers.inputs import read_inputs
from xbarspice.importers.model import TensorSpec
from xbarspice.tables import Options

CORPUS = Path(__file__).parents[2] / "data" / "measured"
EXPECTED = tomllib.loads((CORPUS / "expected.toml").read_text("utf-8"))
READERS = {
    "sweeps": calibration.read_sweeps,
    "reads": calibration.read_reads,
    "pulses": calibration.read_pulses,
    "repeats": calibration.read_repeats,
    "programming": calibration.read_programming,
    "drifts": calibration.read_drifts,
    "tuning": calibration.read_tuning,
    "retention": calibration.read_retention,
    "cycling": calibration.read_cycles,
    "die": lambda path, options: calibration.read_die(path, options=options),
}
FIELDS = {"sweeps": {"V": "V_in", "I": "I_out"}}


def read(name, kind, options):
    """Arrays by the names of the corpus, and notices."""
    path = CORPUS / name
    if kind == "inputs":
        x, y = read_inputs(path, [TensorSpec(name="x", shape=("points", 2), dtype="float64")])
        return {"x": x, "y": y}, ()
    result = READERS[kind](path, Options(**options))
    names = FIELDS.get(kind, {})
    fields = {n: getattr(result, names.get(n, n)) for n in EXPECTED[name].get("values", {})}
    return fields, result.notices


def test_every_file_is_expected_and_there_are_many():
    files = {path.name for path in CORPUS.iterdir()} - {"expected.toml"}
    assert files == set(EXPECTED)
    assert len(files) >= 60


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_read_right_or_refused(name):
    entry = EXPECTED[name]
    kind, options = entry["kind"], entry.get("options", {})
    if "error" in entry:
        with pytest.raises(InputError, match=entry["error"]):
            read(name, kind, options)
        return
    fields, notices = read(name, kind, options)
    for field, values in entry["values"].items():
        result = np.asarray(fields[field])
        if result.dtype.kind == "U":
            assert result.tolist() == values
            continue
        np.testing.assert_allclose(
            result, np.reshape(values, result.shape), rtol=1e-12, atol=1e-300, err_msg=field
        )
    for words in entry.get("notices", ()):
        assert any(words in notice for notice in notices), notices


def test_a_spreadsheet_whose_package_is_missing_says_what_to_install(tmp_path, monkeypatch):
    """`.ods` is read where odfpy is installed; its package has another name for Python."""
    monkeypatch.setitem(sys.modules, "odf", None)
    (tmp_path / "x.ods").write_bytes((CORPUS / "book.xlsx").read_bytes())
    with pytest.raises(PackageMissingError, match="pip install odfpy"):
        calibration.read_sweeps(tmp_path / "x.ods")
