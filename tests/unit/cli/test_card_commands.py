"""Every command and a calibration card: it is taken and named, or refused in clear words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice.cli import steps
from xbarspice.cli.app import app
from xbarspice.config.arrays import with_stated_array
from xbarspice.config.card import CalibrationCard, CardValue, KeptCard, card_of
from xbarspice.core import crossbar_file, hdf5
from xbarspice.core.errors import InputError
from xbarspice.deployment import card_of_file
from xbarspice.deployment.opening import deployed_circuit
from xbarspice.importers.perceptron import Perceptron, save
from xbarspice.importers.perceptron_model import perceptron_module

CARD = CalibrationCard(
    title="die 7", data_sha256="ab" * 32, device="sinh_tio2",
    values={
        "R_wl": CardValue(value=9.0, low=8.5, high=9.5, unit="ohm"),
        "R_sense": CardValue(value=60.0, low=55.0, high=65.0, unit="ohm"),
        "device.b": CardValue(value=2.0, low=1.9, high=2.1),
    },
    variability=({"name": "relative_noise", "sigma": 0.02},),
)  # fmt: skip
NAMED = "die 7 (data abababababab, card "


@pytest.fixture
def folder(tmp_path):
    """A network, the same deployed without a card, a crossbar file, a card."""
    rng = np.random.default_rng(0)
    network = Perceptron(
        W=(rng.normal(size=(2, 8)), rng.normal(size=(8, 1))), b=(np.zeros(8), np.zeros(1)),
        activation="sigmoid",
    )  # fmt: skip
    save(tmp_path / "n.npz", network)
    x = rng.random((4, 2))
    config = xb.ArrayConfig(layout="folded", tile_rows=20, tile_cols=8)
    circuit = xb.nn.convert(perceptron_module(network), config, calibrate=torch.from_numpy(x))
    xb.save(tmp_path / "plain.h5", circuit)
    array = xb.nn.arrays(circuit)[0].crossbar.replace(ends=xb.READ)
    crossbar_file.save(tmp_path / "c.h5", array)
    (tmp_path / "card.toml").write_text(CARD.to_toml())
    np.savez(tmp_path / "p.npz", x=x)
    return tmp_path


def run(folder, *arguments, card: str | None = "card.toml"):
    """Invoke a command in JSON; names of files in the folder become their paths."""
    words = [str(folder / w) if (folder / w).exists() or w.startswith("OUT") else w
             for w in arguments]  # fmt: skip
    more = ["--calibration", str(folder / card)] if card else []
    return CliRunner().invoke(app, [*words, *more, "--json"])


def record_of(done):
    assert done.exit_code == 0, done.output + repr(done.exception)
    return json.loads(done.stdout)


def commands(group, name=""):
    for key, value in group.commands.items():
        if hasattr(value, "commands"):
            yield from commands(value, f"{name}{key} ")
        else:
            yield f"{name}{key}", value


WITHOUT_CARD = {"config", "drc", "export", "extract", "import", "lvs"}
"""Commands that look at drawings, settings and files of other programs alone: no measured value has
a place in them."""


def test_every_command_but_those_on_drawings_and_settings_takes_a_card():
    for name, command in commands(get_command(app)):
        takes = any("--calibration" in p.opts for p in command.params)
        assert takes == (name not in WITHOUT_CARD), name


CAMPAIGN = ("--inputs", "p.npz", "--out", "OUT.h5", "--engine", "nodal", "--workers", "0")
VERIFY = ("--engine", "surrogate", "--reference", "nodal", "--random", "3", "--out", "OUT")


@pytest.mark.parametrize(
    "words",
    [
        ("map", "n.npz", "--out", "OUT.h5"),
        ("netlist", "n.npz", "--out", "OUT"),
        ("solve", "n.npz"),
        ("verify", "n.npz", *VERIFY),
        ("verify", "c.h5", *VERIFY),
        ("transfer", "n.npz", "--inputs", "p.npz", "--transfers", "3", "--out", "OUT"),
        (
            "designs",
            "n.npz",
            "--inputs",
            "p.npz",
            "--transfers",
            "2",
            "--choice",
            "placement=high",
            "--out",
            "OUT",
        ),
        ("campaign", "plain.h5", *CAMPAIGN),
        ("doctor",),
    ],
    ids=lambda words: f"{words[0]} {words[1] if len(words) > 1 else ''}",
)
def test_the_record_names_the_card(folder, words):
    done = run(folder, *words)
    record = json.loads(done.stdout)
    assert record["calibration"].startswith(NAMED)


def test_the_page_of_a_cross_check_names_the_card_and_uses_it(folder):
    record = record_of(run(folder, "verify", "c.h5", *VERIFY))
    assert record["array"]["R_wl"] == 9.0
    assert record["array"]["device_parameters"]["b"] == 2.0
    for name in ("report.html", "report.md", "junit.xml"):
        assert NAMED in (folder / "OUT" / name).read_text()
    shown = CliRunner().invoke(
        app, ["verify", str(folder / "c.h5"), "--engine", "surrogate", "--reference", "nodal",
              "--random", "3", "--out", str(folder / "OUT"),
              "--calibration", str(folder / "card.toml")],
    )  # fmt: skip
    assert f"calibrated: {NAMED}" in shown.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify", "--map", "--map-out", "OUT.toml"), "the trust map sweeps wires and devices"),
        (("tapeout", "c.h5", "--check"), "holds a folder against its own manifest"),
        (("transfer", "n.npz", "--rate-lrs", "0.1"), "has its own rates of stuck devices"),
    ],
)
def test_where_a_card_has_no_place_it_is_refused(folder, words, said):
    done = run(folder, *words)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


def test_swept_wires_that_go_over_the_card_are_named(folder):
    done = run(folder, "campaign", "plain.h5", *CAMPAIGN, "--sweep", "R_wl=1,2")
    assert record_of(done)["calibration"].endswith("; overridden by hand: array.R_wl")


def test_an_array_takes_the_card_over():
    config = steps.configuration(None, None)
    array = xb.Crossbar(np.full((2, 2), 1e-4), R_wl=1.0)
    assert with_stated_array(array, config) is array


# --- a deployment keeps its card ----------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """The network mapped with the card, one value of it set by hand, and inputs."""
    folder = tmp_path_factory.mktemp("cards")
    rng = np.random.default_rng(0)
    W = (rng.normal(size=(2, 8)), rng.normal(size=(8, 1)))
    save(folder / "n.npz", Perceptron(W=W, b=(np.zeros(8), np.zeros(1)), activation="sigmoid"))
    (folder / "card.toml").write_text(CARD.to_toml())
    np.savez(folder / "p.npz", x=rng.random((4, 2)))
    folded = ("mapping.layout=folded", "mapping.tile_rows=20", "array.R_wl=3")
    words = [w for setting in folded for w in ("--set", setting)]
    done = run(folder, "map", "n.npz", "--out", "OUT.h5", *words)
    assert done.exit_code == 0, done.output + repr(done.exception)
    (folder / "OUT.h5").rename(folder / "kept.h5")
    (folder / "card.toml").rename(folder / "same.toml")
    return folder


def test_a_deployment_comes_back_with_its_card(deployed, tmp_path):
    circuit = xb.load(deployed / "kept.h5")
    assert card_of(circuit) == KeptCard(text=CARD.to_toml(), overruled=("array.R_wl",))
    again = xb.nn.copy_circuit(circuit)
    xb.save(tmp_path / "more.h5", again, inputs=torch.rand(3, 2).double())
    assert card_of_file(tmp_path / "more.h5") == card_of(circuit)
    other = CARD.model_copy(update={"title": "die 8"})
    xb.save(tmp_path / "more.h5", again, inputs=torch.rand(3, 2).double(), card=other)
    assert card_of_file(tmp_path / "more.h5") == KeptCard(text=other.to_toml())


def test_later_commands_use_and_name_the_card_of_the_deployment(deployed):
    config = steps.configuration(None, None, mapped=deployed / "kept.h5")
    assert config.variability == CARD.variability
    assert config.calibration is not None
    assert config.calibration.text.startswith(NAMED)
    assert config.calibration.overridden == ("array.R_wl",)
    (array,) = xb.nn.arrays(deployed_circuit(deployed / "kept.h5", config))
    crossbar = array.crossbar  # R_wl as set by hand when it was mapped
    assert (crossbar.R_wl, crossbar.R_sense, crossbar.device) == (3.0, 60.0, CARD.model())
    record = record_of(run(deployed, "solve", "kept.h5", "--set", "array.R_bl=2", card=None))
    assert record["calibration"].startswith(NAMED)
    assert record["config"]["array"]["R_bl"] == 2.0
    assert record["config"]["array"]["R_sense"] == 60.0
    record = record_of(run(deployed, "solve", "kept.h5", "--set", "array.R_sense=2", card=None))
    assert record["calibration"].endswith("overridden by hand: array.R_wl, array.R_sense")


def test_a_model_is_verified_with_the_card(folder):
    record = record_of(run(folder, "verify", "n.npz", *VERIFY, "--set", "array.R_wl=3"))
    assert record["calibration"].startswith(NAMED)
    assert record["calibration"].endswith("overridden by hand: array.R_wl")
    said = record["config"]["array"]
    assert [said["R_wl"], said["R_sense"], said["parameters"]["b"]] == [3.0, 60.0, 2.0]


OF_A_DEPLOYMENT = [
    (name, "kept.h5", "--inputs", "p.npz", *more)
    for name, *more in (
        ("solve",),
        ("netlist", "--out", "OUT"),
        ("verify", "--out", "OUT"),
        ("tapeout", "--out", "OUT"),
        ("transfer", "--out", "OUT"),
        ("designs", "--out", "OUT"),
        ("program", "--out", "OUT", "--device", "o921c_4k"),
        ("campaign", "--out", "OUT.h5"),
    )
] + [
    ("calibrate", "reads", "r.csv", "--array", "kept.h5"),
    ("calibrate", "arrays", "kept.h5", "--inputs", "p.npz", "--measured", "0[0,0,0]=e.csv"),
    ("calibrate", "die", "d.csv", "--network", "kept.h5"),
]


def test_a_variability_set_by_hand_stays_that_of_the_deployment(folder):
    noise = 'variability=[{name = "relative_noise", sigma = 0.07}]'
    done = run(folder, "map", "n.npz", "--out", "OUT.h5", "--set", noise)
    assert done.exit_code == 0, done.output + repr(done.exception)
    (folder / "OUT.h5").rename(folder / "own.h5")
    record = record_of(run(folder, "transfer", "own.h5", "--inputs", "p.npz", "--transfers", "2",
                           "--out", "OUT", card=None))  # fmt: skip
    assert record["variation"] == "relative_noise sigma=0.07"
    assert record["calibration"].endswith("overridden by hand: variability")


def test_the_same_card_is_taken_and_another_refused(deployed):
    same = run(deployed, "solve", "kept.h5", "--random", "2", card="same.toml")
    assert record_of(same)["calibration"].endswith("overridden by hand: array.R_wl")
    other = CARD.model_copy(update={"title": "die 8"})
    (deployed / "other.toml").write_text(other.to_toml())
    for words in OF_A_DEPLOYMENT:
        done = run(deployed, *words, card="other.toml")
        assert isinstance(done.exception, InputError)
        assert "keeps the calibration card that it was made with" in str(done.exception)
        assert "die 8" in str(done.exception)
        assert "die 7" in str(done.exception)


def test_a_fit_of_a_deployment_takes_its_card_on(deployed):
    """What is not fitted keeps its calibrated value and interval in the new card."""
    (array,) = xb.nn.arrays(xb.load(deployed / "kept.h5"))
    V_in = np.random.default_rng(1).uniform(-0.2, 0.2, (12, array.crossbar.rows))
    changed = array.crossbar.replace(R_bl=4.0, ends=xb.READ)
    found = xb.solve(changed, V_in, engine="nodal")
    hdf5.write_tree(deployed / "r.h5", {"V_in": V_in, "I_out": found.I_out}, "reads")
    done = run(deployed, "calibrate", "reads", "r.h5", "--array", "kept.h5", "--free", "R_bl",
               "--out", "OUT", card=None)  # fmt: skip
    assert done.exit_code == 0, done.output + repr(done.exception)
    made = CalibrationCard.from_toml(deployed / "OUT" / "card.toml")
    assert "R_wl" not in made.values  # it was set by hand: the fit has not used the card's
    assert made.values["R_bl"].value == pytest.approx(4.0, rel=1e-6)
    assert made.values["R_sense"] == CARD.values["R_sense"]
    assert made.parameters == CARD.parameters
    assert made.variability == CARD.variability
