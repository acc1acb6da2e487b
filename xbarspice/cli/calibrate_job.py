"""What all `xbarspice calibrate` commands share: the job, its earlier card, its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xbarspice.cli.added_options import with_options
from xbarspice.cli.options import Calibration, Config, Json, RunFolder, Seed, Settings

if TYPE_CHECKING:
    from xbarspice.calibration.held import Fixed
    from xbarspice.config import RunConfig
    from xbarspice.config.card import CalibrationCard
    from xbarspice.config.sections import ValidRange
    from xbarspice.core.types import Array

__all__ = [
    "AUTO",
    "Accept",
    "Data",
    "Date",
    "Job",
    "Temperature",
    "Title",
    "range_of_data",
    "starts_job",
]

AUTO = "auto"
"""Value of ``--device`` that lets the ranking choose."""

Data = Annotated[
    Path, typer.Argument(help="Measured data: text, .xlsx, .ods, .parquet, .mat or .h5.")
]
Accept = Annotated[
    bool, typer.Option("--accept", help="Write a card also of a model that does not hold.")
]
Date = Annotated[
    str | None,
    typer.Option(help="Date of the measurement, YYYY-MM-DD, for the card; left out without."),
]
Temperature = Annotated[
    float | None, typer.Option(help="Temperature of the measurement, deg C, for the card.")
]
Title = Annotated[str | None, typer.Option(help="Title of the report; else the file's name.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What all calibrations have in common: data, place, configuration, earlier card.

    Attributes:
        data, out: measured file and run folder.
        run: the configuration; its `[array]` is that of the array that was fitted.
        reads: what the command read of it, as of `settings.configuration`.
        earlier: the card given.
        title, date, json: options of the command.
        mapped: what was measured, if a file holds it.
        values: configuration of the model that was put on a die, in place of `run`'s.
        data_read: how the data were understood.
        more: measured files beside `data`.
        config, settings: what the configuration came of, beside the card.
        valid: what the data covered.
    """

    data: Path
    out: Path
    run: RunConfig
    reads: tuple[str, ...]
    earlier: Path | None
    title: str | None
    date: str | None
    json: bool
    mapped: Path | None = None
    values: dict[str, Any] | None = None
    data_read: tuple[str, ...] = ()
    more: tuple[Path, ...] = ()
    config: Path | None = None
    settings: Sequence[str] = ()
    valid: ValidRange | None = None

    def __post_init__(self) -> None:
        from xbarspice.config.card_use import check_date

        check_date(self.date)

    @property
    def files(self) -> list[Path]:
        """All measured files."""
        return [self.data, *self.more]

    @property
    def name(self) -> str:
        """Title of page and card: the one that was stated, or the name of the file."""
        return self.title or f"Calibration to {self.data.name}"

    def with_origins(self, fixed: Sequence[Fixed]) -> list[dict[str, Any]]:
        """Held values as plain ones, each with where it came from."""
        from xbarspice.cli.origins import Origins

        origins = Origins(
            run=self.run, config=self.config, settings=self.settings, mapped=self.mapped
        )
        return [
            {"name": f.name, "value": f.value, "unit": f.unit, "origin": origins.of(f.setting)}
            for f in fixed
        ]

    def before(self) -> CalibrationCard | None:
        """The card given, or carried by what was measured: its other values are taken over.

        Without those that were set by hand: the fit has not used them.
        """
        from xbarspice.config.card import CalibrationCard
        from xbarspice.deployment.cards import card_in_file

        if self.earlier is not None:
            card = CalibrationCard.from_toml(self.earlier)
        elif self.mapped is not None and (in_file := card_in_file(self.mapped)) is not None:
            card = CalibrationCard.from_text(in_file.text, "its card")
        else:
            return None
        note = self.run.calibration
        names = () if note is None else note.overridden
        by_hand = {n.removeprefix("array.").replace("parameters.", "device.") for n in names}
        values = {name: value for name, value in card.values.items() if name not in by_hand}
        return card.model_copy(update={"values": values})

    def write(
        self, folder: Path, card: CalibrationCard | None, record: dict[str, Any]
    ) -> dict[str, Any]:
        """Write card.toml, run.toml and report.json; returns the record."""
        import xbarspice
        from xbarspice.cli import steps
        from xbarspice.config import RunConfig
        from xbarspice.config.card import data_hash

        run, reads = self.run, self.reads
        if card is not None:
            (folder / "card.toml").write_text(card.to_toml(), encoding="utf-8")
            run = RunConfig.from_mapping(card.overlay(run.model_dump(mode="json")))
            reads = (*reads, "array", *(("variability",) if card.variability else ()))
        values = steps.read_values(run, reads) if self.values is None else self.values
        (folder / "run.toml").write_text(steps.run_toml(values), encoding="utf-8")
        record = {
            "xbarspice": xbarspice.__version__,
            "title": self.name,
            "data": [path.name for path in self.files],
            "data_sha256": data_hash(*self.files),
            "data_read": list(self.data_read),
            **record,
            "config": values,
        }
        record = self._name_cards(record, run)
        (folder / "report.json").write_text(steps.to_json(record), encoding="utf-8")
        return record

    def _name_cards(self, record: dict[str, Any], run: RunConfig) -> dict[str, Any]:
        """The record with the card that the calibration leaves or was given, and this one's age.

        Args:
            record: with its `config`.
            run: the configuration under the card that is left.
        """
        from xbarspice.cli import steps
        from xbarspice.config.card_use import Use

        valid = self.valid
        use = None if valid is None else Use(V=valid.of("V"), G=valid.of("G"), T=valid.of("T"))
        earlier = steps.name_card(record, self.run, use=use).get("card")
        named = {k: v for k, v in steps.name_card(record, run).items() if k != "card"}
        return named if earlier is None else {**named, "card": earlier}


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "out": (RunFolder, Path("runs/calibrate")),
    "title": (Title, None),
    "date": (Date, None),
    "config": (Config, None),
    "calibration": (Calibration, None),
    "settings": (Settings, None),
    "seed": (Seed, None),
    "json": (Json, False),
}
"""Options that commands share, in the order of their help."""


def starts_job(
    reads: Sequence[str] | None, *, of_array: Sequence[str] = (), seed: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options that calibrations share, and start the job before any work.

    The command gets its keyword `job`. Its own option ``--array`` is a file that may hold the
    configuration; its ``--device`` is a setting.

    Args:
        reads: what the command reads of the configuration; None takes no settings.
        of_array: what it reads beside that where ``--array`` names no file.
        seed: whether there is ``--seed``.
    """
    absent = {*(() if reads is not None else ("config", "settings")), *(() if seed else ("seed",))}
    added = {name: option for name, option in _OPTIONS.items() if name not in absent}

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        def call(**arguments: Any) -> None:
            shared = {name: arguments.pop(name) for name in added}
            more = of_array if arguments.get("array") is None else ()
            command(**arguments, job=_begin((*(reads or ()), *more), arguments, shared))

        return with_options(call, command, "job", added)

    return wrap


def _begin(reads: tuple[str, ...], arguments: Mapping[str, Any], shared: Mapping[str, Any]) -> Job:
    """Look for the packages of the page, and read the configuration.

    Args:
        reads: what the command reads of it.
        arguments: of the command.
        shared: values of `_OPTIONS`.
    """
    from xbarspice.cli import steps

    steps.need("jinja2")
    settings, array = shared.get("settings"), arguments.get("array")
    if (device := arguments.get("device")) not in (None, AUTO):
        settings = [*(settings or []), f"array.device={device}"]
    config, earlier = shared.get("config"), shared["calibration"]
    run = steps.configuration(
        config,
        settings,
        steps.start_config(array),
        reads=reads,
        calibration=earlier,
        mapped=array,
        seed=shared.get("seed"),
    )
    return Job(
        data=arguments["data"],
        out=shared["out"],
        run=run,
        reads=reads,
        earlier=earlier,
        title=shared["title"],
        date=shared["date"],
        json=shared["json"],
        mapped=array,
        config=config,
        settings=settings or (),
    )


def range_of_data(
    *,
    V: Array | None = None,
    G: Array | None = None,
    temperature: float | None = None,
    kelvin: Array | None = None,
) -> ValidRange:
    """What the data covered, for the card.

    Args:
        V, G: line voltages, V, and conductances, S, of any shape.
        temperature: deg C, as the user states it.
        kelvin: temperatures of a file, K; NaN where unknown.
    """
    from xbarspice.config.card_use import range_of

    celsius = [] if kelvin is None else (kelvin - 273.15).ravel().tolist()
    if temperature is not None:
        celsius.append(temperature)
    return range_of(V=V, G=G, T=celsius)
