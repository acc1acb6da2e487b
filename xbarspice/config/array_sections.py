"""Sections of a run configuration whose entries follow from `ArrayConfig`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Self, get_type_hints

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)

from xbarspice import devices
from xbarspice.config.sections import Section
from xbarspice.core.errors import broken_rule
from xbarspice.core.wires import WIRES
from xbarspice.mapping.config import ArrayConfig

__all__ = ["ARRAY", "ArraySection", "LayerSection", "MappingSection", "changes_of"]


class _MappingOptions(Section):
    """How weights become conductances."""

    @model_validator(mode="after")
    def _follows_the_rules(self) -> Self:
        ArrayConfig(**self.model_dump())
        return self


class _ArrayOptions(Section):
    """Wires, device and converters, which may differ between arrays of one mapping."""

    def model(self) -> devices.Device:
        """The device with these parameters.

        Raises:
            InputError: the device is not registered, or has no such parameter.
        """
        return devices.with_parameters(self.device, self.parameters)  # type: ignore[attr-defined]

    def arguments(self) -> dict[str, Any]:
        """Wires and device, as keyword arguments of `Crossbar`.

        Raises:
            InputError: something else is stated, which a single array does not have.
        """
        self.refuse_converters()
        return {**self.model_dump(include=set(WIRES)), "device": self.model()}

    def refuse_converters(self) -> None:
        """Raise an InputError for what a single array does not have."""
        options = self.model_dump(exclude_defaults=True, exclude={*WIRES, "device", "parameters"})
        if options:
            raise broken_rule(
                "an array without a model has wires and a device",
                ", ".join(f"array.{name} = {value}" for name, value in options.items()),
                "Leave it out.",
            )


class _CommonArrayOptions(_ArrayOptions):
    @model_validator(mode="after")
    def _follows_the_rules(self) -> Self:
        ArrayConfig(**self.model_dump(exclude={"device", "parameters"}))
        if not self.awaits_device:
            self.model()
        return self

    @property
    def awaits_device(self) -> bool:
        """Whether only parameters are stated: they go over those of a device in a file."""
        return bool(self.parameters) and "device" not in self.model_fields_set  # type: ignore[attr-defined]


class _LayerOptions(_ArrayOptions):
    """Options that go over the common ones, with which alone they must make sense."""

    @model_serializer(mode="wrap")
    def _only_stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {k: v for k, v in handler(self).items() if k in self.model_fields_set}


ARRAY = (*WIRES, "device", "dac_bits", "adc_bits", "adc_range", "recompute", "dtype")
"""Options of `ArrayConfig` in `[array]`; `variation` is `variability`, all others `[mapping]`."""
_FORMS: dict[str, Any] = {
    "device": str,
    "dtype": Literal["float64", "float32"],
    "levels": int | tuple[float, ...] | None,
}
"""Types that a TOML file has no form of, in its own types."""


def _options(names: Iterable[str]) -> dict[str, Any]:
    """Fields of a section from those of `ArrayConfig`: types, defaults and descriptions."""
    kinds, told = get_type_hints(ArrayConfig), _descriptions(ArrayConfig)
    defaults = {field.name: field.default for field in dataclasses.fields(ArrayConfig)}
    return {
        name: (
            _FORMS.get(name, kinds[name]),
            Field(default=defaults[name], description=told.get(name)),
        )
        for name in names
    }


def _descriptions(cls: type) -> dict[str, str]:
    """What the docstring of a class says of each attribute, with its unit."""
    _, _, text = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w[\w, ]*): (.+(?:\n {8,}.+)*)", text, flags=re.MULTILINE)
    return {
        name.strip(): " ".join(told.split()) for names, told in entries for name in names.split(",")
    }


_PARAMETERS: Any = (
    dict[str, float],
    Field(default={}, description="fields of the device that differ from its defaults"),
)
_MAPPING = [
    field.name
    for field in dataclasses.fields(ArrayConfig)
    if field.name not in {*ARRAY, "variation"}
]

if TYPE_CHECKING:

    class MappingSection(_MappingOptions):
        """`[mapping]`: how weights become conductances."""

        def __getattr__(self, name: str) -> Any: ...

    class ArraySection(_CommonArrayOptions):
        """`[array]`: wires, device and converters of every array."""

        def __getattr__(self, name: str) -> Any: ...

    class LayerSection(_LayerOptions):
        """`[layers."PATTERN"]`: options of both sections that these layers have of their own."""

        def __getattr__(self, name: str) -> Any: ...

else:
    MappingSection = create_model("MappingSection", __base__=_MappingOptions, **_options(_MAPPING))
    ArraySection = create_model(
        "ArraySection", __base__=_CommonArrayOptions, **_options(ARRAY), parameters=_PARAMETERS
    )
    LayerSection = create_model(
        "LayerSection",
        __base__=_LayerOptions,
        **_options((*_MAPPING, *ARRAY)),
        parameters=_PARAMETERS,
    )


def changes_of(section: ArraySection | LayerSection, device: devices.Device) -> dict[str, Any]:
    """What a section states, as fields of an `ArrayConfig`.

    Args:
        section: the section; what was not stated in it changes nothing.
        device: that the arrays have without it; parameters alone go over its own.
    """
    out = section.model_dump(exclude_unset=True)
    parameters = out.pop("parameters", {})
    if "device" in out:
        out["device"] = section.model()
    elif parameters:
        out["device"] = devices.with_parameters(device, parameters)
    return out
