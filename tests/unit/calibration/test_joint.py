"""Values that several dies and Kelvin monitors share: one fit, and a test of agreement."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from tests.helpers import many
from xbarspice.calibration import Kelvin, MeasuredDie, Options, Reads, fit_joint, read_kelvin
from xbarspice.calibration.joint_problem import JointProblem
from xbarspice.cli.app import app
from xbarspice.config.card import CalibrationCard

TRUE = {"R_wl": 2.0, "R_bl": 3.0, "R_sense": 10.0}


def die(name, shape, seed, *, R_driver=20.0, noise=0.01, count=24, T=None, alphas=(0, 0), **wires):
    """A die with its reads, at temperatures T (K) about 300 K where given."""
    rng = np.random.default_rng(seed)
    G = rng.uniform(1e-4, 5e-4, shape)
    wires = TRUE | {"R_driver": R_driver} | wires
    V_in = rng.uniform(0.05, 0.3, (count, shape[0]))
    I_out = np.empty((count, shape[1]))
    for k in range(count):
        dT = 0.0 if T is None else T[k] - 300.0
        hot = {n: wires[n] * (1 + alphas[0] * dT) for n in ("R_wl", "R_bl")}
        true = xb.Crossbar(G * (1 + alphas[1] * dT), **wires | hot)
        I_out[k] = xb.solve(true, V_in[k]).I_out
    I_out *= 1 + noise * rng.standard_normal(I_out.shape)
    start = xb.Crossbar(G, R_wl=1.0, R_bl=1.0, R_driver=10.0, R_sense=TRUE["R_sense"])
    return MeasuredDie(name=name, crossbar=start, reads=Reads(V_in=V_in, I_out=I_out, T=T))


def monitors(seed, *, noise=0.005, R_wl=2.0, R_bl=3.0, T=None, alpha=0.0):
    rng = np.random.default_rng(seed)
    line = ("wl", "bl") * 4
    segments = np.array([50.0, 50, 100, 100, 200, 200, 50, 50])
    R = segments * np.where(np.array(line) == "wl", R_wl, R_bl)
    if T is not None:
        R = R * (1 + alpha * (T - 300.0))
    R = R * (1 + noise * rng.standard_normal(8))
    return Kelvin(line=line, segments=segments, R=R, T=T, relative=noise)


def test_the_derivatives_are_those_of_differences():
    T = np.repeat([280.0, 300.0, 350.0], 4)
    dies = [
        die("A", (3, 4), 1, count=12, T=T),
        die("B", (5, 2), 2, count=12, T=T),
    ]
    kelvin = monitors(3, T=np.full(8, 320.0))
    free = ("R_wire", "R_driver", "alpha_wire", "alpha_G")
    problem = JointProblem(dies, kelvin, free, ("R_driver",), 300.0)
    assert [p.name for p in problem.parameters] == [
        "R_wire",
        "R_driver[A]",
        "R_driver[B]",
        "alpha_wire",
        "alpha_G",
    ]
    theta = np.array([2.5, 15.0, 30.0, 3e-3, -1e-3])
    J = problem.jacobian(theta)
    for k, step in enumerate((1e-4, 1e-3, 1e-3, 1e-7, 1e-7)):
        ends = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[k] += sign * step
            ends.append(problem.currents(moved))
        numeric = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(J[:, k], numeric, rtol=2e-5, atol=1e-7 * np.abs(numeric).max())


def test_dies_of_different_sizes_say_more_together_than_each_by_itself():
    dies = [die("A", (6, 8), 1), die("B", (12, 5), 2, R_driver=35.0)]
    free = ["R_wl", "R_bl", "R_driver"]
    joint = fit_joint(dies, None, free, per_die=["R_driver"])
    assert joint.fit.holds
    assert joint.p > 0.01
    for name in ("R_wl", "R_bl"):
        _, low, high = joint.fit[name]
        assert low < TRUE[name] < high
        for alone in joint.separate.values():
            assert high - low < alone[name][2] - alone[name][1]
    assert joint.fit["R_driver[B]"][1] < 35.0 < joint.fit["R_driver[B]"][2]
    with_monitors = fit_joint(dies, monitors(3), free, per_die=["R_driver"])
    for name in ("R_wl", "R_bl"):
        width = np.ptp(with_monitors.fit[name][1:])
        assert width < 0.5 * np.ptp(joint.fit[name][1:])
    assert set(with_monitors.separate) == {"A", "B", "Kelvin"}


def test_intervals_hold_and_sources_that_agree_are_seldom_refused():
    """Two dies and monitors, 20 repeats or 200: 95 % intervals of 3 values, tests at 1 %."""
    inside, refused, total, repeats = 0, 0, 0, many(20)
    for seed in range(repeats):
        dies = [die("A", (4, 5), 3 * seed, count=16), die("B", (6, 3), 3 * seed + 1, count=16)]
        names, options = ["R_wl", "R_bl", "R_driver"], Options(free_held=False)
        joint = fit_joint(dies, monitors(3 * seed + 2), names, options=options)
        refused += not joint.fit.holds
        if joint.fit.holds:
            for name, truth in (*TRUE.items(), ("R_driver", 20.0)):
                if name != "R_sense":
                    _, low, high = joint.fit[name]
                    inside += low <= truth <= high
                    total += 1
    assert refused <= max(2, 0.05 * repeats)
    assert (0.90 if repeats > 100 else 0.85) <= inside / total <= (0.99 if repeats > 100 else 1)


def test_sources_that_disagree_are_named_and_intervals_withheld():
    dies = [die("A", (6, 8), 1, noise=0.002), die("B", (12, 5), 2, R_wl=4.0, noise=0.002)]
    joint = fit_joint(dies, None, ["R_wl", "R_bl", "R_driver"])
    assert joint.p < 1e-4
    assert not joint.fit.holds
    assert np.isinf(joint.fit["R_wl"][2])
    text = joint.fit.findings[0]
    assert "the sources disagree" in text
    assert "by A" in text
    assert "by B" in text
    assert abs(joint.separate["B"]["R_wl"][0] - 4.0) < 0.5
    apart = fit_joint(dies, None, ["R_wl", "R_bl", "R_driver"], per_die=["R_wl"])
    assert apart.fit.holds
    assert abs(apart.fit["R_wl[B]"][0] - 4.0) < 0.5
    wrong = fit_joint(dies[:1], monitors(2, R_wl=3.0), ["R_wl", "R_bl", "R_driver"])
    assert not wrong.fit.holds


def test_a_lead_that_was_held_at_a_wrong_value_is_named():
    """The sense lead is 10 ohm; held at 0, the bit lines or drivers take it up."""
    dies = [die("A", (6, 8), 1, noise=0.001), die("B", (12, 5), 2, noise=0.001)]
    wrong = [
        MeasuredDie(name=d.name, crossbar=d.crossbar.replace(R_sense=0.0), reads=d.reads)
        for d in dies
    ]
    joint = fit_joint(wrong, None, ["R_bl", "R_driver"])
    named = {h.name for h in joint.fit.held}
    assert named == {"R_wl", "R_sense"}
    assert any("given `R_sense` = 0" in text for text in joint.fit.findings)


def test_temperature_coefficients_are_fitted_about_the_reference():
    T = np.tile([260.0, 300.0, 340.0], 16)
    alphas = (3.9e-3, -2e-3)
    dies = [
        die("A", (6, 8), 1, count=48, noise=0.002, T=T, alphas=alphas),
        die("B", (10, 4), 2, count=48, noise=0.002, T=T, alphas=alphas),
    ]
    kelvin = monitors(5, T=np.repeat([270.0, 330.0], 4), alpha=alphas[0])
    free = ["R_wl", "R_bl", "R_driver", "alpha_wire", "alpha_G"]
    joint = fit_joint(dies, kelvin, free, T_ref=300.0)
    assert joint.fit.holds
    alone = joint.separate["Kelvin"]
    assert set(alone) == {"R_wl", "R_bl"}
    assert alone["R_wl"][1] < 2.0 < alone["R_wl"][2]
    truths = dict(zip(free, (2.0, 3.0, 20.0, *alphas), strict=True))
    for name, truth in truths.items():
        _, low, high = joint.fit[name]
        assert low - 0.3 * (high - low) < truth < high + 0.3 * (high - low)
    without = fit_joint(dies, kelvin, free[:3])
    assert not without.fit.holds


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"free": ["R_wl", "R"]}, "a joint fit takes"),
        ({"per_die": ["R_bl"]}, "must be fitted"),
        ({"free": ["R_wl", "R_bl"], "per_die": ["R_wl"]}, "no wire with Kelvin"),
        ({"free": ["R_driver"]}, "lines of Kelvin monitors must be fitted"),
        ({"free": ["R_wl", "R_bl", "alpha_wire"]}, "need a reference temperature"),
        ({"free": ["R_wl", "R_bl", "alpha_wire"], "T_ref": 300.0}, "0 of 2 sources"),
        ({"names": ("A", "A")}, "each once"),
    ],
)
def test_what_does_not_go_together_is_refused(options, words):
    options = {"free": ["R_wl", "R_bl", "R_driver"], "names": ("A",)} | options
    dies = [die(n, (3, 4), 1, count=8) for n in options.pop("names")]
    if options.get("per_die") == ["R_bl"]:
        options["free"] = ["R_wl", "R_driver"]
        kelvin = None
    else:
        kelvin = monitors(1)
    with pytest.raises(xb.errors.InputError, match=words):
        fit_joint(dies, kelvin, **options)


def test_monitors_must_be_numbers_of_lines():
    good = monitors(1)
    for change, words in (
        ({"line": ("wl", "metal") * 4}, "wl or bl"),
        ({"segments": good.segments[:3]}, "one each"),
        ({"R": -good.R}, "must be > 0"),
        ({"relative": 0.0}, "scatter"),
    ):
        with pytest.raises(xb.errors.InputError, match=words):
            Kelvin(**(vars(good) | change))


def write_reads(path, reads, T=None):
    """Reads as a table in uA and mV."""
    names = [f"V_in{k} [mV]" for k in range(reads.rows)]
    names += [f"I_out{k} [uA]" for k in range(reads.cols)]
    values = np.hstack([1e3 * reads.V_in, 1e6 * reads.I_out])
    if T is not None:
        names, values = [*names, "T [K]"], np.column_stack([values, T])
    np.savetxt(path, values, delimiter=",", header=",".join(names), comments="")


def write_files(folder, dies, kelvin, T=None):
    """Files of dies and monitors; the arguments of the command."""
    arguments = []
    for each in dies:
        write_reads(folder / f"{each.name}.csv", each.reads, T)
        G = folder / f"G{each.name}.csv"
        np.savetxt(G, 1e6 * each.crossbar.G, delimiter=",", header="G [uS]")
        arguments.append(f"{folder / each.name}.csv={G}")
    lines = ["line,squares,R [ohm]" + ("" if kelvin.T is None else ",T [K]")]
    for k, word in enumerate(kelvin.line):
        row = [word, f"{4 * kelvin.segments[k]:g}", f"{kelvin.R[k]:.6g}"]
        lines.append(",".join(row if kelvin.T is None else [*row, f"{kelvin.T[k]:g}"]))
    (folder / "k.csv").write_text("\n".join(lines))
    squares = ["--squares-wl", "4", "--squares-bl", "4"]
    return [*arguments, "--kelvin", str(folder / "k.csv"), *squares]


def run_joint(folder, arguments):
    more = ["--set", "array.R_sense=10", "--set", "array.device=ohmic", "--json"]
    command = ["calibrate", "joint", *arguments, "--out", str(folder / "run"), *more]
    return CliRunner().invoke(app, command)


def test_the_command_leaves_a_card_of_what_is_shared(tmp_path):
    T = np.tile([260.0, 300.0, 340.0], 8)
    dies = [
        die("A", (4, 5), 1, T=T, alphas=(4e-3, 0), noise=0.002),
        die("B", (7, 3), 2, T=T, alphas=(4e-3, 0), noise=0.002, R_driver=30.0),
    ]
    kelvin = monitors(3, T=np.repeat([270.0, 330.0], 4), alpha=4e-3)
    files = write_files(tmp_path, dies, kelvin, T)
    names = "R_wl,R_bl,R_driver,alpha_wire,alpha_G"
    done = run_joint(
        tmp_path, [*files, "--free", names, "--per-die", "R_driver", "--reference", "300"]
    )
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert [r["name"] for r in record["parameters"]][2:4] == ["R_driver[A]", "R_driver[B]"]
    assert record["data"] == ["A.csv", "B.csv", "GA.csv", "GB.csv", "k.csv"]
    card = CalibrationCard.from_toml(tmp_path / "run/card.toml")
    assert set(card.values) == {"R_wl", "R_bl"}
    assert card.values["R_wl"].low < 2.0 < card.values["R_wl"].high
    assert any("reference temperature 300 K; alpha_wire = 0.00" in t for t in card.data_read)
    assert card.valid is not None
    assert card.valid.of("T") == pytest.approx((26.85, 26.85))  # that of the values, 300 K
    G = np.concatenate([each.crossbar.G.ravel() for each in dies])
    assert card.valid.of("G") == pytest.approx((G.min(), G.max()))
    assert set(card.data) == {"A.csv", "B.csv", "GA.csv", "GB.csv", "k.csv"}
    page = (tmp_path / "run/report.html").read_text()
    assert "What each source says by itself" in page


def test_the_command_writes_no_card_where_sources_disagree(tmp_path):
    dies = [die("A", (6, 8), 1, noise=0.002), die("B", (12, 5), 2, noise=0.002)]
    files = write_files(tmp_path, dies, monitors(3, R_wl=3.0))
    done = run_joint(tmp_path, files)
    assert done.exit_code == 1
    assert not (tmp_path / "run/card.toml").exists()
    assert "the sources disagree" in json.loads(done.stdout)["findings"][0]
    lost = run_joint(tmp_path, ["nothing.csv", "--kelvin", str(tmp_path / "k.csv")])
    assert "READS=ARRAY" in str(lost.exception)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("line,segments,R [ohm]\nmetal,3,4\n", "must be wl or bl"),
        ("line,squares,R [ohm]\nwl,3,4\n", "squares of one segment"),
        ("line,R [ohm]\nwl,4\n", "segments or a column squares"),
        ("line,segments,R [ohm],T [K]\nwl,3,4,-20\n", "> 0 K"),
    ],
)
def test_tables_of_monitors_that_cannot_be_read_are_refused(tmp_path, text, words):
    (tmp_path / "k.csv").write_text(text)
    with pytest.raises(xb.errors.InputError, match=words):
        read_kelvin(tmp_path / "k.csv")


def test_tables_of_monitors_are_read_in_kilo_ohm_and_words(tmp_path):
    (tmp_path / "k.csv").write_text(
        "line,segments,R [kohm]\nWord line,100,0.2\nbit_line,100,OVLD\nBL,50,0.15\n"
    )
    kelvin = read_kelvin(tmp_path / "k.csv")
    assert kelvin.line == ("wl", "bl")
    np.testing.assert_allclose(kelvin.R, [200.0, 150.0])
    assert any("left out: 1" in text for text in kelvin.notices)
