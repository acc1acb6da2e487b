"""Every page of a calibrated value says the card's age and range, and where the use goes beyond."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import xbarspice as xb
from xbarspice.cli import steps
from xbarspice.cli.app import app
from xbarspice.config.card import CalibrationCard, CardValue
from xbarspice.config.card_use import Use, age_of, describe_card, range_of, use_of
from xbarspice.config.sections import ValidRange
from xbarspice.core import crossbar_file
from xbarspice.core.errors import InputError
from xbarspice.deployment.cards import card_in_file
from xbarspice.importers.perceptron import Perceptron, save
from xbarspice.report.content import Text
from xbarspice.report.sections import card_section

TODAY = dt.date(2026, 11, 28)
VALID = ValidRange(V_low=0.0, V_high=0.15, G_low=1e-4, G_high=3e-4, T_low=25.0, T_high=25.0)
CARD = CalibrationCard(
    title="die 7", date=str(TODAY - dt.timedelta(days=4)), data_sha256="ab" * 32,
    device="sinh_tio2", valid=VALID,
    values={"R_wl": CardValue(value=2.0, low=1.9, high=2.1, unit="ohm"),
            "device.b": CardValue(value=2.0, low=1.9, high=2.1)},
)  # fmt: skip


class Noon(dt.datetime):
    """It is noon of `TODAY`."""

    @classmethod
    def now(cls, tz=None):
        return cls.combine(TODAY, dt.time(12), tz)


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(steps, "dt", SimpleNamespace(datetime=Noon, UTC=dt.UTC))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A card, a network, its deployment with the card, a crossbar file with it, and inputs."""
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    W = (rng.normal(size=(2, 4)), rng.normal(size=(4, 1)))
    save(folder / "n.npz", Perceptron(W=W, b=(np.zeros(4), np.zeros(1)), activation="sigmoid"))
    (folder / "card.toml").write_text(CARD.to_toml())
    np.savez(folder / "p.npz", x=rng.random((4, 2)), y=np.zeros(4, dtype=int))
    G = ("--set", "mapping.G_min=175e-6", "--set", "mapping.G_max=350e-6")
    done = run(folder, "map", "n.npz", "--calibration", "card.toml", "--out", "OUT/kept.h5", *G)
    assert done.exit_code == 0, done.output + repr(done.exception)
    (array, *_) = xb.nn.arrays(xb.load(folder / "kept.h5"))
    crossbar = array.crossbar.replace(ends=xb.READ)
    text = crossbar_file.CardText(text=CARD.to_toml())
    crossbar_file.save(folder / "c.h5", crossbar, text)
    shown = "\n".join(",".join(f"{g * 1e6:.6g}" for g in row) for row in array.crossbar.G)
    (folder / "die.csv").write_text(f"G [uS]\n{shown}\n")
    return folder


def run(folder, *words):
    paths = [
        str(folder / w.removeprefix("OUT/")) if w.startswith("OUT/") or (folder / w).exists() else w
        for w in words
    ]
    return CliRunner().invoke(app, [*paths, "--json"])


PAGES = {
    "verify model": ("verify", "kept.h5", "--inputs", "p.npz", "--reference", "nodal",
                     "--engine", "surrogate"),
    "verify array": ("verify", "c.h5", "--reference", "nodal", "--engine", "surrogate",
                     "--random", "3"),
    "transfer": ("transfer", "kept.h5", "--inputs", "p.npz", "--transfers", "2"),
    "designs": ("designs", "kept.h5", "--inputs", "p.npz", "--transfers", "2",
                "--choice", "placement=high"),
    "tapeout": ("tapeout", "kept.h5", "--inputs", "p.npz"),
    "program": ("program", "kept.h5", "--inputs", "p.npz", "--device", "o921c_4k",
                "--pulse", "max_pulses=3"),
    "calibrate die": ("calibrate", "die", "die.csv", "--calibration", "card.toml"),
    "calibrate arrays": ("calibrate", "arrays", "kept.h5", "--inputs", "p.npz",
                         "--measured", "ARRAY=die.csv", "--transfers", "2"),
}  # fmt: skip
"""Commands that leave a page and solve arrays with calibrated values."""


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_the_cards_age_and_range(folder, name):
    out = name.replace(" ", "_")
    (array, *_) = xb.nn.arrays(xb.load(folder / "kept.h5"))
    words = [w.replace("ARRAY=die.csv", f"{array.name}={folder / 'die.csv'}") for w in PAGES[name]]
    done = run(folder, *words, "--out", f"OUT/{out}")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    page = html.unescape(re.sub(r"\s+", " ", (folder / out / "report.html").read_text()))
    assert f"The card 'die 7' is of {CARD.date}, 4 days before this report." in page
    assert "Its data covered voltages 0 V to 150 mV, conductances 100 uS to 300 uS" in page
    assert "temperatures 25 deg C." in page
    assert "Beyond the card: the conductance goes from" in page
    if name not in ("calibrate die",):  # which reads no voltage
        assert "Beyond the card: the voltage goes from" in page
    record = json.loads(done.stdout)
    if "card" in record:
        assert record["card"]["age_days"] == 4


def test_a_fit_says_the_age_of_the_card_that_it_holds_values_of(folder):
    V = np.linspace(-0.3, 0.3, 41)
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal(V.size)
    rows = zip(V, 2e-4 * np.sinh(2 * V) / 2 * noise, strict=True)
    (folder / "iv.csv").write_text("V,I\n" + "".join(f"{v},{i}\n" for v, i in rows))
    words = ("calibrate", "sweeps", "iv.csv", "--out", "OUT/fit")
    for more, seen in ((), False), (("--calibration", "card.toml"), True):
        done = run(folder, *words, *more)
        assert done.exit_code == 0, done.output
        page = html.unescape((folder / "fit" / "report.html").read_text())
        assert ("The card 'die 7' is of" in page) == seen
        assert ("the voltage goes from -0.3 to 0.3 V, beyond the 0 to 0.15 V" in page) == seen
        assert ("card" in json.loads(done.stdout)) == seen


@pytest.mark.parametrize(
    "words",
    [
        ("solve", "kept.h5", "--inputs", "p.npz"),
        ("netlist", "kept.h5", "--inputs", "p.npz", "--out", "OUT/netlists"),
        ("campaign", "kept.h5", "--inputs", "p.npz", "--out", "OUT/c.h5x", "--workers", "0"),
    ],
    ids=lambda words: words[0],
)
def test_every_record_of_a_command_without_a_page_has_it_too(folder, words):
    words = [w.replace("c.h5x", "campaign.h5") for w in words]
    done = run(folder, *words)
    assert done.exit_code == 0, done.output + repr(done.exception)
    card = json.loads(done.stdout)["card"]
    assert card["age_days"] == 4
    assert len(card["beyond"]) == 2


def test_a_crossbar_file_carries_its_card(folder):
    kept = card_in_file(folder / "c.h5")
    assert kept is not None
    assert CalibrationCard.from_text(kept.text, "its card") == CARD
    done = run(folder, "verify", "c.h5", "--reference", "nodal", "--engine", "surrogate",
               "--random", "3", "--out", "OUT/again", "--set", "array.R_wl=3")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["calibration"].endswith("overridden by hand: array.R_wl")
    again = card_in_file(folder / "again" / "array.h5")
    assert again is not None
    assert again.overruled == ("array.R_wl",)
    assert crossbar_file.load(folder / "again" / "array.h5").R_wl == 3.0
    crossbar_file.save(folder / "plain.h5", crossbar_file.load(folder / "c.h5"))
    assert card_in_file(folder / "plain.h5") is None


def note(**changes):
    return CARD.model_copy(update=changes).note()


def text_of(entry):
    (section,) = card_section({"card": entry})
    return " ".join(item.text for item in section.items if isinstance(item, Text))


def test_age_in_words():
    use, today = Use(), dt.date(2026, 11, 28)
    assert age_of("2026-11-24", today) == 4
    assert age_of("2026-11-24T10:00:00", today) == 4
    for date, words in (
        (None, "has no date: its age is not known"),
        ("in autumn", "is dated 'in autumn', from which no age follows"),
        ("2026-11-27", "is of 2026-11-27, 1 day before this report"),
        ("2026-12-01", "is of 2026-12-01, 3 days after this report"),
    ):
        assert words in text_of(describe_card(note(date=date), use, today))
    assert "Not on the card: voltages, conductances, temperatures." in text_of(
        describe_card(note(valid=None), use, today)
    )
    assert card_section({}) == []


@pytest.mark.parametrize(
    ("use", "beyond"),
    [
        (Use(V=(0.0, 0.15), G=(1e-4, 3e-4), T=(25.0, 25.0)), []),
        (Use(V=(0.0, 0.16)), ["voltage"]),
        (Use(V=(-0.1, 0.1)), ["voltage"]),  # measured at positive voltages alone
        (Use(G=(0.9e-4, 2e-4)), ["conductance"]),
        (Use(T=(85.0, 85.0)), ["temperature"]),
        (Use(), []),
    ],
)
def test_a_use_beyond_the_data_is_said(use, beyond):
    said = describe_card(note(), use, TODAY)["beyond"]
    assert [text.split()[1] for text in said] == beyond


def test_ranges_come_from_what_was_measured_and_what_is_solved():
    covered = range_of(V=[[0.1, np.nan], [-0.2, np.inf]], G=[0.0, 1e-4, 2e-4])
    assert (covered.of("V"), covered.of("G"), covered.of("T")) == ((-0.2, 0.1), (1e-4, 2e-4), None)
    layers = {"a": {"V_read": 0.3}, "b": {"V_read": 0.1, "G_min": 5e-5}}
    use = use_of({"mapping": {"G_min": 1e-4, "G_max": 2e-4}, "layers": layers})
    assert use == Use(V=(0.0, 0.3), G=(5e-5, 2e-4))


def test_the_card_of_a_fit_has_date_range_quality_and_how_the_data_were_read(tmp_path):
    V = np.concatenate([np.linspace(-0.5, 0.5, 41), np.linspace(0.5, -0.5, 41)])
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal(V.size)
    rows = zip(V, 2e-4 * np.sinh(2 * V) / 2 * noise, strict=True)
    (tmp_path / "iv.csv").write_text("V,I\n" + "".join(f"{v},{i}\n" for v, i in rows))
    words = ["calibrate", "sweeps", tmp_path / "iv.csv", "--out", tmp_path / "out"]
    words += ["--max-voltage", "0.4", "--temperature", "30"]

    def calibrate(date):
        return CliRunner().invoke(app, [*map(str, words), "--date", date, "--json"])

    assert isinstance(calibrate("24.11.2026").exception, InputError)
    assert not (tmp_path / "out").exists()
    assert calibrate("2026-11-24").exit_code == 0
    card = CalibrationCard.from_toml(tmp_path / "out" / "card.toml")
    assert card.date == "2026-11-24"
    assert card.valid is not None
    assert card.valid.of("V") == pytest.approx((-0.4, 0.4))
    assert card.valid.of("T") == (30.0, 30.0)
    assert card.valid.of("G") is not None
    assert card.quality is not None
    assert card.quality.holds
    assert 0.005 < card.quality.rms_error < 0.02
    assert card.quality.tests
    said = " ".join(card.data_read)
    assert "encoding utf-8, separator comma, decimal mark '.'" in said
    assert "I from 'I' in A" in said
    assert "points left out by --max-voltage 0.4: 16" in said
    kept = card_in_file(tmp_path / "out" / "crossbar.h5")
    assert kept is not None
    assert kept.text == card.to_toml()


def test_a_card_from_before_these_entries_is_read():
    """Its content hash does not know them."""
    old = CARD.model_copy(update={"date": None, "valid": None})
    text = old.to_toml()
    assert "valid" not in text
    assert "quality" not in text
    assert "given" not in text
    assert CalibrationCard.from_text(text, "old") == old
