"""Calibration cards: what was fitted to measured data, and how a configuration takes it over.

A card is a TOML file that `xbarspice calibrate` writes and every command accepts::

    title = "die 7, reads of 24 November"
    data_sha256 = "..."                    # of the measured files, in order
    device = "sinh_tio2"
    [values.R_wl]
    value = 2.13
    low = 2.05                             # 95 % confidence interval
    high = 2.21
    unit = "ohm"

Names are ``R_wl``, ``R_bl``, ``R_driver``, ``R_sense``, the fields of the device as
``device.<field>``, and intervals of terms of `variability` as ``variability.<term>.<field>``. A
configuration overlaid with a card says so in its `calibration` section.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import ConfigDict, Field, ValidationError, model_validator

from xbarspice import devices
from xbarspice.config import CalibrationNote, RunConfig
from xbarspice.config.sections import Section, ValidRange
from xbarspice.core.errors import InputError, broken_rule
from xbarspice.core.files import parse_toml
from xbarspice.core.values import broken_entries
from xbarspice.core.wires import WIRES
from xbarspice.variability import from_config

__all__ = [
    "CalibrationCard",
    "CardValue",
    "HeldOut",
    "KeptCard",
    "OtherInterval",
    "Quality",
    "RankedModel",
    "card_of",
    "data_hash",
    "keep_card",
]


class _Part(Section):
    model_config = ConfigDict(allow_inf_nan=True)  # an interval may be without a limit


class CardValue(_Part):
    """One fitted value with its 95 % confidence interval; infinite where the data do not say."""

    value: float = Field(allow_inf_nan=False)
    low: float
    high: float
    unit: str = ""
    data_sha256: str = Field(default="", description="of the data it was fitted to")
    given: tuple[str, ...] | None = Field(
        default=None, description="held values that the interval is given, as R_sense = 0 ohm"
    )

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError("low <= value <= high must hold")
        return self


class HeldOut(_Part):
    """How well data that was not fitted is predicted.

    Attributes:
        split: which part was held out, in words.
        points: numbers held out.
        error: rms difference of the prediction, over the rms of these numbers.
        noise: the same for the fitted part.
    """

    split: str
    points: int
    error: float
    noise: float


class Quality(_Part):
    """How well the model fits what was fitted.

    Attributes:
        holds: whether no test of the residuals speaks against the model; a card of one that does
            not hold was accepted by hand.
        points: measured values that were fitted.
        rms_error: rms residual over the rms of these values.
        scatter_over_noise: standard deviation of the residuals over the stated scatter.
        tests: p values by the name of the test.
    """

    holds: bool
    points: int
    rms_error: float
    scatter_over_noise: float
    tests: dict[str, float] = Field(default={})


class RankedModel(_Part):
    """A device model beside the one of the card; see `xbarspice.calibration.ranking`.

    Attributes:
        device: registered name. fitted: its fields that were fitted.
        parameters: count of all fitted values.
        error: rms error of voltages that were left out, over the stated scatter; None: not fitted.
        validated: whether that is of voltages left out; else of the fit to all data.
        holds: whether no test of the residuals speaks against it.
    """

    device: str
    fitted: tuple[str, ...] = ()
    parameters: int
    error: float | None = None
    validated: bool
    holds: bool


class OtherInterval(_Part):
    """An interval beside that of a value: by another loss, or from samples of the data.

    Attributes:
        name: of the value, as in `values`. by: loss, or "bootstrap".
        value: fitted value; None for the bootstrap, which has that of the card.
        low, high: 95 % interval.
    """

    name: str
    by: str
    value: float | None = None
    low: float
    high: float


class CalibrationCard(_Part):
    """The card; see the module text."""

    format: Literal[1, 2] = 2
    title: str = Field(min_length=1)
    date: str | None = Field(default=None, description="of the measurement, YYYY-MM-DD")
    data: tuple[str, ...] = ()
    data_sha256: str
    device: str
    values: dict[str, CardValue] = Field(default={})
    variability: tuple[dict[str, Any], ...] = ()
    held_out: HeldOut | None = None
    ranking: tuple[RankedModel, ...] = Field(default=(), description="the device model's rivals")
    beside: tuple[OtherInterval, ...] = Field(default=(), description="intervals found otherwise")
    notices: tuple[str, ...] = ()
    data_read: tuple[str, ...] = Field(default=(), description="how the files were understood")
    quality: Quality | None = Field(default=None, description="of the fit")
    valid: ValidRange | None = Field(default=None, description="what the data covered")
    sha256: str | None = Field(default=None, description="of all other entries; see content_hash")

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [*WIRES, *(f"device.{name}" for name in _fields(self.device))]
        wrong = sorted(n for n in set(self.values) - set(names) if not n.startswith("variability."))
        if wrong:
            raise ValueError(f"values must be among {names}, not {wrong}")
        low = [name for name in WIRES if name in self.values and self.values[name].value < 0]
        if low:
            raise ValueError(f"resistances must be >= 0: {low}")
        self.model()  # a value that the device refuses
        try:
            from_config(self.variability)
        except TypeError as error:
            raise ValueError(f"variability: {error}") from None
        return self

    @property
    def parameters(self) -> dict[str, float]:
        """Fields of the device that the card sets."""
        return {
            name.removeprefix("device."): v.value
            for name, v in self.values.items()
            if name.startswith("device.")
        }

    @property
    def wires(self) -> dict[str, float]:
        """Resistances that the card sets, ohm."""
        return {name: self.values[name].value for name in WIRES if name in self.values}

    def model(self) -> devices.Device:
        """The calibrated device."""
        return devices.with_parameters(self.device, self.parameters)

    def to_toml(self) -> str:
        """The card as text with its content hash; the same card always gives the same text."""
        values = {**self._entries(), "sha256": self.content_hash()}
        return tomli_w.dumps(values)

    def content_hash(self) -> str:
        """SHA-256 of all entries as TOML, that of the hash itself left out.

        A card that was written by hand, or before there was a hash, may have none.
        """
        return hashlib.sha256(tomli_w.dumps(self._entries()).encode()).hexdigest()

    def _entries(self) -> dict[str, Any]:
        return self.model_dump(mode="python", exclude_none=True, exclude={"sha256"})

    @classmethod
    def from_toml(cls, path: Path) -> CalibrationCard:
        """Read a card.

        Raises:
            InputError: there is no such file, it is not TOML, or an entry breaks the schema.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise broken_rule(
                f"the calibration card `{path.name}` must be readable TOML",
                error,
                "Check the path, or mend that line.",
            ) from None
        return cls.from_text(text, path.name)

    @classmethod
    def from_text(cls, text: str, name: str) -> CalibrationCard:
        """A card from its text; `name` stands for it in messages.

        Raises:
            InputError: it is not TOML, or an entry breaks the schema.
        """
        try:
            card = cls.model_validate(parse_toml(text, name))
            if card.sha256 is not None and card.sha256 != card.content_hash():
                raise InputError(
                    f"the calibration card `{name}` must hold what was written to it; its content "
                    "does not give its sha256. Bring it back, or remove the line sha256 if you "
                    "changed the card on purpose."
                )
            return card.model_copy(update={"sha256": None})
        except ValidationError as error:
            raise InputError(
                f"the calibration card `{name}` must follow the schema; "
                f"{broken_entries(error, 'card')}. "
                "Write it with `xbarspice calibrate`, or see xbarspice.config.card."
            ) from None

    def overlay(self, values: dict[str, Any]) -> dict[str, Any]:
        """Nested configuration values with those of the card in their place.

        Wires and device of the `array` section and, if the card has any, the variability are
        replaced; parameters of another device are dropped.
        """
        array = dict(values.get("array", {}))
        same = array.get("device", RunConfig().array.device) == self.device
        old = dict(array.get("parameters", {})) if same else {}
        array |= {**self.wires, "device": self.device, "parameters": old | self.parameters}
        out = {**values, "array": array, "calibration": self.note().model_dump(mode="json")}
        return out | ({"variability": self.variability} if self.variability else {})

    def note(self) -> CalibrationNote:
        """What a configuration says about this card."""
        applied = [f"array.{name}" for name in self.wires] + ["array.device"]
        applied += [f"array.parameters.{name}" for name in self.parameters]
        return CalibrationNote(
            title=self.title,
            data_sha256=self.data_sha256,
            card_sha256=hashlib.sha256(self.to_toml().encode()).hexdigest(),
            applied=(*applied, *(["variability"] if self.variability else [])),
            date=self.date,
            valid=self.valid,
        )


KEPT = "_xbarspice_card"
"""Attribute of a model on arrays that holds its `KeptCard`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeptCard:
    """A card as a model on arrays carries it.

    Attributes:
        text: of the card, TOML.
        overruled: calibrated values that were set by hand instead, such as "array.R_wl".
    """

    text: str
    overruled: tuple[str, ...] = ()


def keep_card(circuit: Any, card: KeptCard | None) -> None:
    """Let a model on arrays carry a card; its copies, files and reports name it."""
    object.__setattr__(circuit, KEPT, card)


def card_of(circuit: Any) -> KeptCard | None:
    """The card that a model on arrays carries."""
    return circuit.__dict__.get(KEPT)


def _fields(device: str) -> list[str]:
    return [f.name for f in dataclasses.fields(devices.get(device))]  # type: ignore[arg-type]


def data_hash(*paths: Path) -> str:
    """SHA-256 over the bytes of files, in order; a name plays no part."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
