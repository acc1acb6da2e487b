"""Random tables in every notation come back with their numbers, and no line is lost unsaid."""

import re

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from xbarspice.core.errors import InputError
from xbarspice.tables import Options, Quantity, matlab, read_grid, read_table, unit_of

QUANTITIES = (
    Quantity(name="V", dimension="V", aliases=("voltage",)),
    Quantity(name="I", dimension="A", aliases=("current",)),
)
MARKS = ("", "nan", "OVLD", "#N/A", "9.9E+37")


def written(value, decimal):
    """A number with that decimal mark."""
    return repr(value).replace(".", decimal)


@given(data=st.data())
def test_a_table_in_any_notation_is_the_same_table(data, tmp_path_factory):
    decimal = data.draw(st.sampled_from(".,"))
    separator = data.draw(st.sampled_from(";\t" if decimal == "," else ";\t,|"))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]))
    unit, factor = data.draw(st.sampled_from([("A", 1.0), ("mA", 1e-3), ("\u00b5A", 1e-6)]))
    rows = data.draw(st.integers(2, 8))
    numbers = st.floats(-5, 5, allow_subnormal=False)
    V = [data.draw(numbers) + 0.5 for _ in range(rows)]
    cells = [
        data.draw(st.one_of(numbers.map(lambda x: x + 0.25), st.sampled_from(MARKS)))
        for _ in range(rows)
    ]
    head = data.draw(
        st.sampled_from([f"V{separator}I [{unit}]", f"Voltage (V){separator}I/{unit}"])
    )
    above = data.draw(st.lists(st.sampled_from(["# a comment", "a title"]), max_size=2))
    tail = separator if data.draw(st.booleans()) else ""
    body = [
        f"{written(v, decimal)}{separator}{c if isinstance(c, str) else written(c, decimal)}{tail}"
        for v, c in zip(V, cells, strict=True)
    ]
    path = tmp_path_factory.mktemp("tables") / "x.csv"
    path.write_bytes("\r\n".join([*above, head + tail, *body]).encode(encoding))
    table = read_table(path, QUANTITIES, Options(decimal=decimal))
    np.testing.assert_array_equal(table.values("V"), V)
    known = np.array([not isinstance(c, str) for c in cells])
    np.testing.assert_allclose(
        table.values("I")[known], [c * factor for c in cells if not isinstance(c, str)], rtol=1e-15
    )
    assert not np.isfinite(table.values("I")[~known]).any()
    assert len(table) == rows
    counted = sum(
        int(n)
        for text in table.notices
        if text.startswith(("missing", "overflows"))
        for n in re.findall(r"(\d+) (?:'|empty)", text)
    )
    assert counted == int((~known).sum())


def test_a_title_above_an_empty_column_is_no_head(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a title\nV;I [A]\n0.5;\n0.25;\n")
    table = read_table(path, QUANTITIES, Options())
    np.testing.assert_array_equal(table.values("V"), [0.5, 0.25])
    assert np.isnan(table.values("I")).all()


@pytest.mark.parametrize("compressed", [True, False])
def test_a_matlab_file_hands_on_its_arrays_of_real_numbers_alone(compressed, tmp_path):
    path = tmp_path / "x.mat"
    others = {"note": "die 7", "setup": {"a": 1.0}, "phase": np.array([1j, 2.0])}
    columns = {"V": np.array([0.1, 0.2]), "I": np.array([1, 2], dtype=np.int16)}
    savemat(path, {**others, **columns}, do_compression=compressed)
    table = read_table(path, QUANTITIES)
    assert table.values("V").tolist() == [0.1, 0.2]
    assert table.values("I").tolist() == [1.0, 2.0]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="a whole MATLAB file"):
        read_table(path, QUANTITIES)


@given(
    values=st.lists(
        st.lists(st.floats(1.0, 1e6).map(lambda x: x + 0.125), min_size=3, max_size=3),
        min_size=2,
        max_size=6,
    ),
    decimal=st.sampled_from(".,"),
    named=st.booleans(),
)
def test_a_grid_keeps_every_row_and_column(values, decimal, named, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "x.csv"
    rows = [";".join(written(v, decimal) for v in row) for row in values]
    if named:
        rows = [f"WL{k};{row}" for k, row in enumerate(rows)]
    path.write_text("\n".join(["R [ohm]", *rows]), "utf-8")
    grid = read_grid(path, Options(decimal=decimal))
    np.testing.assert_array_equal(grid.values, values)
    assert grid.head == ("R [ohm]",)
    assert any("names the rows" in text for text in grid.notices) == named


@pytest.mark.parametrize(
    ("text", "dimension", "factor"),
    [
        *(("kOhm", "ohm", 1e3), ("KOhm", "ohm", 1e3), ("MOhm", "ohm", 1e6), ("mOhm", "ohm", 1e-3)),
        *(("MOHM", "ohm", 1e6), ("k\u2126", "ohm", 1e3), ("Ohms", "ohm", 1.0), ("ohm", "ohm", 1.0)),
        *(("microsiemens", "S", 1e-6), ("\u00b5S", "S", 1e-6), ("\u03bcS", "S", 1e-6)),
        *(("mA", "A", 1e-3), ("milliamps", "A", 1e-3), ("V", "V", 1.0), ("ns", "s", 1e-9)),
        *(("S", "S", 1.0), ("s", "s", 1.0), ("Kelvin", "K", 1.0), ("kV", "V", 1e3)),
    ],
)
def test_units_are_words_with_prefixes(text, dimension, factor):
    unit = unit_of(text)
    assert (unit.dimension, unit.factor) == (dimension, factor)


@pytest.mark.parametrize("text", ["hm", "volty", "xA", "A2", "", "ohmmeter", "sA", "kk"])
def test_other_words_are_no_units(text):
    with pytest.raises(InputError, match="a unit must be"):
        unit_of(text)


@pytest.mark.parametrize(
    ("cells", "options", "words"),
    [
        (["1,5", "1.5"], {}, "one decimal mark; received '1.5' and '1,5'"),
        (["1,500", "2,500"], {}, "may be either"),
        (["1.500", "2,500.5"], {"decimal": ","}, "must have one decimal mark"),
    ],
)
def test_numbers_that_may_be_two_are_refused(cells, options, words, tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("V\tI\n" + "".join(f"{c}\t{c}\n" for c in cells))
    with pytest.raises(InputError, match=words):
        read_table(path, QUANTITIES, Options(**options))
    if words == "may be either":
        table = read_table(path, QUANTITIES, Options(decimal=","))
        assert table.values("V").tolist() == [1.5, 2.5]
        assert read_table(path, QUANTITIES, Options(decimal=".")).values("V")[0] == 1500.0


def test_names_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file[b"\xfc"] = np.arange(3.0)
        file["I"] = np.arange(3.0)
    with pytest.raises(InputError, match=r"names of the arrays of `x\.h5` must be text"):
        read_table(path, QUANTITIES, Options())


def test_a_variable_that_is_listed_and_not_there_is_damage(tmp_path, monkeypatch):
    path = tmp_path / "x.mat"
    savemat(path, {"V": np.arange(3.0), "I": np.arange(3.0)})
    monkeypatch.setattr(matlab, "_names", lambda data: ["V", "gone"])
    with pytest.raises(InputError, match="must be a whole MATLAB file"):
        read_table(path, QUANTITIES, Options())


def test_a_head_without_rows_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pd.DataFrame({"V": [], "I": []}).to_parquet(path)
    with pytest.raises(InputError, match="must hold"):
        read_table(path, QUANTITIES, Options())
