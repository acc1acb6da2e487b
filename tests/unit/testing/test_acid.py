"""The acid test: its golden answers, our engines on it, and what it finds in wrong solvers."""

from __future__ import annotations

import io
import json

import h5py
import numpy as np
import pytest
from rich.console import Console

import xbarspice as xb
from tests import acid_arrays
from xbarspice.core.hdf5 import read_tree, write_tree
from xbarspice.testing import NotSupported, Verdict, acid_test
from xbarspice.testing.__main__ import main
from xbarspice.testing.acid_cases import FEATURES, FILE, GRADIENTS, KIND, acid_file

GOLDEN = acid_file()
CASES = {case.name: case for case in GOLDEN.cases}
OF_GRADIENTS = {case.name for case in GOLDEN.cases if "gradients" in case.features}


def nodal(case):
    s = xb.solve(case.crossbar, case.V_in, case.V_out, engine="nodal", outside="ignore")
    return {"I_out": s.I_out}


def verdicts(card):
    return {score.case: score.verdict for score in card.scores}


@pytest.mark.parametrize("engine", ["nodal", "surrogate", "ngspice"])
def test_our_engines_pass_every_problem_that_they_claim(engine):
    card = acid_test(engine)
    wrong = [s for s in card.scores if s.verdict is Verdict.FAIL]
    declined = {s.case for s in card.scores if s.verdict is Verdict.NOT_SUPPORTED}
    assert not wrong
    assert card.passed
    assert declined == (set() if engine == "surrogate" else OF_GRADIENTS)
    assert all(
        {"I_out", "I_in", "I_device", "V_wl", "V_bl"} <= {*s.errors}
        for s in card.scores
        if s.verdict is Verdict.PASS
    )


def test_the_problems_have_every_feature_and_the_sizes_that_are_promised():
    assert set().union(*(case.features for case in GOLDEN.cases)) == {*FEATURES}
    shapes = {case.crossbar.G.shape[-2:] for case in GOLDEN.cases}
    assert {(1, 1), (2, 3), (3, 2), (1, 64), (64, 1), (64, 48)} <= shapes
    assert {"sinh_tio2", "cubic_al2o3_tio2"} < {c.crossbar.device.name for c in GOLDEN.cases}
    assert FILE.stat().st_size < 2e6


@pytest.mark.parametrize("case", GOLDEN.cases, ids=lambda case: case.name)
def test_golden_and_ngspice_agree_and_kirchhoff_holds(case):
    """Two independent ways; the sums of device currents are those of the lines."""
    for name, values in case.ngspice.items():
        right = case.golden[name]
        kind = [n for n in case.ngspice if n[0] == name[0]]
        scale = max(np.abs(case.golden[n]).max() for n in kind) or {"I": 1e-6, "V": 1}[name[0]]
        assert np.abs(values - right).max() <= 1e-11 * scale, name
    currents = case.golden["I_device"]
    np.testing.assert_allclose(currents.sum(axis=-2), case.golden["I_out"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(currents.sum(axis=-1), case.golden["I_in"], rtol=0, atol=1e-15)


def test_the_file_is_what_its_script_plans():
    """Problems all; answers of the small ones anew, the others are held by the engines."""
    plans = acid_arrays.planned()
    assert [plan.name for plan in plans] == list(CASES)
    for plan in plans:
        case = CASES[plan.name]
        np.testing.assert_array_equal(plan.crossbar.G, case.crossbar.G)
        np.testing.assert_array_equal(plan.V_in, case.V_in)
        assert plan.crossbar.wires.keys() == case.crossbar.wires.keys()
        for name, R in plan.crossbar.wires.items():
            np.testing.assert_array_equal(R, case.crossbar.wires[name])
        assert plan.crossbar.device == case.crossbar.device
        assert plan.gradients == ("dI_dG" in case.golden)
        if plan.crossbar.G.size <= 6 and not plan.gradients:
            for name, values in acid_arrays.golden(plan).items():
                np.testing.assert_array_equal(values, case.golden[name])


def test_golden_gradients_are_those_of_differences_of_ngspice():
    case = CASES["gradient, 4x3, sinh_tio2"]
    for i, j in ((0, 0), (3, 1)):
        step, ends = np.zeros(case.crossbar.G.shape), []
        step[i, j] = 1e-4 * case.crossbar.G[i, j]
        for sign in (1, -1):
            moved = case.crossbar.replace(G=case.crossbar.G + sign * step)
            ends.append(xb.solve(moved, case.V_in, engine="ngspice").I_out)
        slope = (ends[0] - ends[1]) / (2 * step[i, j])
        scale = np.abs(case.golden["dI_dG"]).max()
        np.testing.assert_allclose(slope, case.golden["dI_dG"][:, i, j], rtol=0, atol=1e-6 * scale)


def transposed(case):
    """Square arrays only: rows and columns of the conductances exchanged."""
    case.need_only({"ends unlike segments", "R_wl unlike R_bl", "ideal segments", "ideal ends"})
    if case.crossbar.rows != case.crossbar.cols:
        raise NotSupported("only square arrays")
    G = case.crossbar.G.swapaxes(-1, -2)
    return {"I_out": xb.solve(case.crossbar.replace(G=G), case.V_in, engine="nodal").I_out}


def driver_in_each_column(case):
    """The driver's resistance where every device of the first row is, as a terminal of columns."""
    case.need_only({"ends unlike segments", "R_wl unlike R_bl"})
    c = case.crossbar
    G = c.G.copy()
    G[0] = 1 / (1 / G[0] + c.R_driver)
    return {"I_out": xb.solve(c.replace(G=G, R_driver=0.0), case.V_in, engine="nodal").I_out}


def test_known_mistakes_are_found_by_the_problems_that_teach_them():
    card = verdicts(acid_test(transposed))
    assert card["4x4"] is Verdict.FAIL
    assert card["2x3"] is Verdict.NOT_SUPPORTED
    assert verdicts(acid_test(driver_in_each_column))["large driver"] is Verdict.FAIL
    signs = acid_test(lambda case: {"I_out": -nodal(case)["I_out"]}, name="signs")
    passed = {n for n, v in verdicts(signs).items() if v is Verdict.PASS}
    assert passed == {"all absent", "zero volts"}


def test_only_what_is_returned_is_compared_and_each_quantity_can_fail():
    def with_wrong_voltages(case):
        return {**nodal(case), "V_wl": case.golden["V_wl"] + 1e-6}

    (score,) = acid_test(nodal, cases=["2x3"]).scores
    assert (score.verdict, list(score.errors)) == (Verdict.PASS, ["I_out"])
    (score,) = acid_test(with_wrong_voltages, cases=["2x3"]).scores
    assert score.verdict is Verdict.FAIL
    assert score.errors["I_out"] < 1e-9 < score.errors["V_wl"] == score.error


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda case: {}, "I_out is missing"),
        (lambda case: {"I_out": np.zeros(2)}, "I_out has the shape (2,), not (3,)"),
        (lambda case: {"I_out": np.zeros(3), "I_sum": 1}, "I_sum is no quantity of the test"),
        (lambda case: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda case: {"I_out": ["a"] * 3}, "InputError"),
    ],
)
def test_what_is_no_answer_fails_and_says_why(answer, text):
    (score,) = acid_test(answer, cases=["2x3"]).scores
    assert score.verdict is Verdict.FAIL
    assert text in score.text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_fail(value):
    card = acid_test(lambda case: {"I_out": np.full(3, value)}, cases=["2x3"], name="none")
    assert card.scores[0].verdict is Verdict.FAIL
    assert json.loads(card.json())["scores"][0]["error"] is None


def test_declined_problems_are_shown_and_never_counted_as_passes():
    def modest(case):
        case.need_only({"ends unlike segments"})
        return nodal(case)

    card = acid_test(modest)
    assert card.counts["fail"] == 0
    assert card.counts["pass"] + card.counts["not supported"] == len(CASES)
    reasons = {s.case: s.text for s in card.scores}
    assert reasons["V/2, sinh_tio2"].startswith("driven bit lines")
    assert "nonlinear devices" in reasons["V/2, sinh_tio2"]

    def idle(case):
        raise NotSupported("nothing")

    assert not acid_test(idle).passed


def test_a_problem_with_gradients_needs_them():
    name = "gradient, 4x3, ohmic"
    (score,) = acid_test(nodal, cases=[name]).scores
    assert score.text == "dI_dG is missing; dI_dV is missing"
    right = CASES[name].golden
    wrong = {n: right[n] for n in ("I_out", *GRADIENTS)} | {"dI_dG": right["dI_dG"] * (1 + 1e-6)}
    (score,) = acid_test(lambda case: wrong, cases=[name]).scores
    assert score.verdict is Verdict.FAIL
    assert score.errors["dI_dG"] == pytest.approx(1e-6, rel=1e-3)


def test_the_scorecard_as_table_markdown_and_json():
    card = acid_test(transposed, cases=["4x4", "2x3", "2x3, no wires"])
    assert card.headline == (
        "transposed: 0 of 3 problems pass, 1 fail, 2 are not supported. "
        f"{card.problems - 3} of the file's {card.problems} were not asked for."
    )
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(card.table())
    for text in (console.export_text(), card.markdown()):
        assert card.headline in text
        for score in card.scores:
            assert score.teaches in text
            assert score.verdict.value in text
    record = json.loads(card.json())
    assert record["counts"] == {"pass": 0, "fail": 1, "not supported": 2}
    assert record["passed"] is False
    assert [s["verdict"] for s in record["scores"]] == ["fail", "not supported", "not supported"]


def test_a_tolerance_of_the_caller_is_used_and_shown():
    def coarse(case):
        return {"I_out": case.golden["I_out"] * (1 + 1e-6)}

    (score,) = acid_test(coarse, cases=["2x3"]).scores
    assert score.verdict is Verdict.FAIL
    card = acid_test(coarse, cases=["2x3", "2x3"], tolerance=1e-5)
    assert card.headline.startswith("coarse: 1 of 1 problems pass")  # a name is asked once
    assert card.headline.endswith("Tolerance of all: 1e-05, in place of their own.")
    (score,) = card.scores
    assert (score.verdict, score.tolerance) == (Verdict.PASS, 1e-5)
    with pytest.raises(
        xb.errors.InputError, match=r"`tolerance` must be a finite number >= 0 and <= 0\.5"
    ):
        acid_test(coarse, tolerance=1.0)  # an answer of zeros is off by just 1


def test_unknown_problems_and_engines_are_refused():
    with pytest.raises(xb.errors.InputError, match="a case must be one of 'one cell, no wires'"):
        acid_test(nodal, cases=["2x4"])
    with pytest.raises(xb.errors.InputError, match="engine"):
        acid_test("spice3")


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def wrong(case):\n    return {'I_out': 0 * case.V_in}\n")
    assert main(["nodal", "--case", "2x3", "--json", "--markdown", "card.md"]) == 0
    assert json.loads(capsys.readouterr().out)["solver"] == "nodal"
    assert "nodal: 1 of 1 problems pass" in (tmp_path / "card.md").read_text()
    assert main(["mine:wrong", "--case", "4x4"]) == 1
    assert "mine:wrong: 0 of 1 problems pass" in capsys.readouterr().out
    for solver, text in (
        ("mine:none", "no attribute"),
        ("nowhere:f", "No module"),
        ("x", "engine"),
    ):
        assert main([solver]) == 2
        assert text in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["bytes", "entry"])
def test_damaged_golden_answers_are_refused(tmp_path, damage):
    path = tmp_path / "golden.h5"
    if damage == "bytes":
        path.write_bytes(FILE.read_bytes()[:-1] + b"x")
    else:
        tree = read_tree(FILE, KIND)
        del tree["cases"]["001"]["golden"]["I_out"]
        write_tree(path, tree, KIND)
    with pytest.raises(xb.errors.StoreError, match="golden"):
        acid_test(nodal, file=path)


def test_the_file_reads_as_plain_hdf5():
    """Others need h5py alone."""
    with h5py.File(FILE) as file:
        group = file["cases/004"]
        G, V = group["crossbar/G"][()], group["V_in"][()]
        assert group.attrs["name"] == "2x3"
        assert G.shape == (2, 3)
        assert V.shape == (2,)
        assert group["golden/I_out"].shape == (3,)
        assert group["crossbar"].attrs["R_wl"] == 2.0
