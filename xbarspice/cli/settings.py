"""Settings of a command: read, checked against what the command reads, said as they were solved.

One rule for all commands. A setting is stated by ``--config``, a calibration card or ``--set``.

- A command declares what it reads; ``--set`` of anything else is refused by name. Other sections of
  a ``--config`` file are left alone: one file may serve several commands.
- A network file is mapped by ``[mapping]`` and ``[array]``.
- The arrays of a mapped network or of an array file take every value of ``[array]`` that is stated:
  wires, line-end resistances and device. Its conductances and places are fixed: a stated value of
  ``[mapping]`` that would give others is refused by name.
- A model is put on arrays by both sections, with the options of ``[layers."PATTERN"]`` over them
  and ``[convert]``. A deployment takes what is stated of ``[array]``.
- `run.toml` and the ``config`` of a record hold what the command read, and of ``[mapping]`` and
  ``[array]`` what the objects that were solved have.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from xbarspice.array import WIRES, Crossbar
from xbarspice.cli.cards import overlaid, said_of_arrays
from xbarspice.config import RunConfig, changes_of
from xbarspice.errors import InputError, broken_rule
from xbarspice.mapping import ArrayConfig, MappedNetwork, map_network, mapping_settings

__all__ = [
    "configuration", "map_arguments", "refuse_other_mapping", "run_toml", "solved",
    "stated_array", "with_stated_array",
]  # fmt: skip


def configuration(
    path: Path | None,
    settings: list[str] | None,
    base: RunConfig | None = None,
    *,
    reads: Sequence[str] = (),
    calibration: Path | None = None,
    mapped: Path | None = None,
    seed: int | None = None,
) -> RunConfig:
    """Configuration of a command: each of these goes over the one before.

    Defaults, a TOML file, a calibration card, ``section.key=value`` settings. A setting that goes
    over a calibrated value is named in ``calibration.overridden``. Only what was stated is in the
    `model_fields_set` of the sections.

    Args:
        path: the TOML file.
        settings: each ``section.key=value``.
        base: in place of the defaults.
        reads: sections and single values (``verify.t_read``) that the command reads.
        calibration: the card; without one, that which the mapped network carries.
        mapped: what the command works on; counts if it is a mapped network with a card.
        seed: the command's option of that name, which goes over all settings.

    Raises:
        InputError: a setting is not of that form, is not read by the command, a name or value
            breaks the schema, or the mapped network carries another card.
    """
    values = {} if base is None else base.model_dump(mode="json", exclude_unset=True)
    if path is not None:
        file = RunConfig.from_toml(path)  # refuses a wrong entry by the name of the file
        values = _merged(values, file.model_dump(mode="json", exclude_unset=True))
    values = overlaid(values, calibration, mapped)
    names: list[str] = []
    for setting in [*(settings or []), *([] if seed is None else [f"seed={seed}"])]:
        keys, value = _parsed(setting)
        name = ".".join(keys)
        names.append(name)
        if name == "array.device":  # parameters of another device are dropped, as by a card
            array = values.get("array", {})
            if array.get("device") != value:
                values = {**values, "array": {k: array[k] for k in array if k != "parameters"}}
        for key in reversed(keys):
            value = {key: value}
        values = _merged(values, value)
        note = values.get("calibration") or {}
        if not isinstance(note, dict):
            continue  # the schema refuses it
        if any(done == name or done.startswith(f"{name}.") for done in note.get("applied", ())):
            note["overridden"] = [*note.get("overridden", ()), name]
    run = RunConfig.from_mapping(values)
    _refuse_unread(names[: len(settings or [])], reads)
    return run


def _parsed(setting: str) -> tuple[list[str], Any]:
    """Keys and value of one ``section.key=value``."""
    name, equals, text = setting.partition("=")
    try:
        keys = _keys(tomllib.loads(f"{name.strip()} = true"))
    except tomllib.TOMLDecodeError:
        keys = []
    if not equals or not keys:
        raise broken_rule(
            "a setting must read section.key=value",
            repr(setting),
            "For example --set array.R_wl=2; quote names with dots: layers.'encoder.*'.R_wl=2.",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string
    return keys, value


def _keys(table: Any) -> list[str]:
    """The keys on the way to the one value of nested tables."""
    return (
        [] if not isinstance(table, dict) else [k for k, v in table.items() for k in (k, *_keys(v))]
    )


def _merged(base: dict[str, Any], change: Any) -> dict[str, Any]:
    out = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out


def _is_read(name: str, reads: Sequence[str]) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in reads)


def _refuse_unread(names: list[str], reads: Sequence[str]) -> None:
    """Refuse a setting that the command would not look at.

    A whole section (``array={...}``) passes if one of its values is read.
    """
    for name in names:
        if _is_read(name, reads) or any(known.startswith(f"{name}.") for known in reads):
            continue
        raise broken_rule(
            f"this command, with these options, reads {', '.join(reads) or 'no settings'}",
            f"--set {name}", "Leave it out: it would change nothing here.",
        )  # fmt: skip


def with_stated_array(array: Crossbar, run: RunConfig) -> Crossbar:
    """The array with every value of `[array]` that was stated; its conductances stay.

    Raises:
        InputError: something is stated that a single array does not have.
    """
    run.array.refuse_converters()
    stated = changes_of(run.array, array.device)
    changes = {name: stated[name] for name in (*WIRES, "device") if name in stated}
    return array.replace(**changes) if changes else array


def stated_array(run: RunConfig) -> Callable[[ArrayConfig], dict[str, Any]]:
    """What the stated values of `[array]` change of a configuration of arrays."""
    return lambda config: changes_of(run.array, config.model)


PLAIN = {"layout": "folded", "tile_rows": 8, "tile_cols": 8, "bias": "hidden"}
"""`map_network`'s own settings of a perceptron's commands where nothing else is stated."""
KNOWN = {*PLAIN, "G_min", "G_max", "V_read", "x_scale"}


def map_arguments(run: RunConfig, layers: int) -> dict[str, Any]:
    """Arguments of `map_network`.

    Raises:
        InputError: a stated value has no meaning for `map_network`.
    """
    stated = run.mapping.model_dump(include=run.mapping.model_fields_set)
    default = type(run.mapping)().model_dump()
    other = [k for k, v in stated.items() if k not in KNOWN and v != default[k]]
    if other or run.layers:
        raise broken_rule(
            f"a mapped perceptron has the settings {sorted(KNOWN)} of [mapping]",
            ", ".join(other) or "layers",
            "Convert it to a model on arrays instead: xb.nn.convert.",
        )
    values = {**PLAIN, **{k: v for k, v in stated.items() if k in KNOWN}}
    if "x_scale" in values:
        values["x_scale"] = (values["x_scale"],) * layers
    device = {} if "device" in run.array.model_fields_set else {"device": "sinh_tio2"}
    return {**values, **run.array.arguments(), **device}


def refuse_other_mapping(mapped: MappedNetwork, run: RunConfig, name: str) -> None:
    """Refuse stated values of `[mapping]` that the mapped network does not have.

    A value holds if mapping the network with it gives the same arrays, places and scales: a
    `tile_rows` of 64 is no other mapping of a network that needs 8 rows.

    Args:
        mapped: the network as its file holds it.
        run: the configuration.
        name: of the file, for the message.

    Raises:
        InputError: names every value that the network does not have.
    """
    stated = sorted(run.mapping.model_fields_set)
    kept = mapping_settings(mapped) if stated else {}
    values = map_arguments(run, len(mapped.layers)) if stated else {}
    other = [k for k in stated if k in kept and not _holds(mapped, kept, {k: values[k]})]
    if other:
        raise broken_rule(
            f"a mapped network keeps the mapping that it was mapped with ({name}: "
            f"{', '.join(f'{k} = {kept[k]}' for k in other)})",
            ", ".join(f"mapping.{k} = {getattr(run.mapping, k)}" for k in other),
            "Map the network again with `xbarspice map`, or pass the network itself.",
        )


def _holds(mapped: MappedNetwork, kept: dict[str, Any], change: dict[str, Any]) -> bool:
    if all(kept[name] == value for name, value in change.items()):
        return True
    try:
        return _alike(
            *(map_network(mapped.network, **settings) for settings in (kept, {**kept, **change}))
        )
    except InputError:
        return False


def _alike(a: MappedNetwork, b: MappedNetwork, *, conductances: bool = True) -> bool:
    """Whether two mappings of one network have the same arrays, places and scales."""
    if (len(a.arrays), len(a.blocks)) != (len(b.arrays), len(b.blocks)):
        return False
    if (a.G_min, a.G_max, a.V_read) != (b.G_min, b.G_max, b.V_read):
        return False
    pairs = [*zip(a.layers, b.layers, strict=True), *zip(a.blocks, b.blocks, strict=True)]
    for x, y in pairs:
        for field in dataclasses.fields(x):
            if field.name != "ends" and not np.array_equal(
                getattr(x, field.name), getattr(y, field.name)
            ):
                return False
    if not conductances:
        return [x.G.shape for x in a.arrays] == [y.G.shape for y in b.arrays]
    return all(np.array_equal(x.G, y.G) for x, y in zip(a.arrays, b.arrays, strict=True))


def solved(
    run: RunConfig, reads: Sequence[str], mapped: MappedNetwork | None = None
) -> dict[str, Any]:
    """What a command read, as nested values; mapping and arrays as the solved objects have them.

    Args:
        run: the configuration.
        reads: as of `configuration`.
        mapped: the network that was solved; its own values go over those of `run`.
            Values that have no name in a configuration (wires that differ along a line or between
            arrays) are left out.
    """
    values = _read_part(run.model_dump(mode="json"), (*reads, "calibration"))
    if mapped is None:
        return values
    for section, own in (
        ("mapping", _solved_mapping(mapped, run)),
        ("array", said_of_arrays(mapped.arrays)),
    ):
        if section in values:
            kept = {name: v for name, v in own.items() if _is_read(f"{section}.{name}", reads)}
            values = {**values, section: kept}
    return values


def run_toml(values: dict[str, Any]) -> str:
    """Text of a `run.toml` from what `solved` returns; TOML has no null, so None is left out."""
    return tomli_w.dumps(_without_none(values))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _solved_mapping(mapped: MappedNetwork, run: RunConfig) -> dict[str, Any]:
    """`[mapping]` of what was solved: of the configuration if it maps to just that."""
    own = {k: map_arguments(run, len(mapped.layers)).get(k) for k in (*PLAIN, "G_min", "G_max")}
    for values in ({k: v for k, v in own.items() if v is not None}, mapping_settings(mapped)):
        try:
            if _alike(map_network(mapped.network, **values), mapped, conductances=False):
                return _plain_settings(values)
        except InputError:
            continue
    return {"G_min": mapped.G_min, "G_max": mapped.G_max, "V_read": mapped.V_read}


def _plain_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Settings as a configuration has them: where they do not say it, bias is "hidden"."""
    scales = set(values.get("x_scale") or ())
    out = {k: v for k, v in values.items() if k != "x_scale" and (k, v) != ("bias", "hidden")}
    return out | ({"x_scale": scales.pop()} if len(scales) == 1 else {})


def _read_part(values: dict[str, Any], reads: Sequence[str], above: str = "") -> dict[str, Any]:
    out = {}
    for key, value in values.items():
        name = f"{above}{key}"
        if _is_read(name, reads):
            out[key] = value
        elif isinstance(value, dict) and (part := _read_part(value, reads, f"{name}.")):
            out[key] = part
    return out
