"""Settings of a command: read, checked against what the command reads, said as they were solved.

One rule for all commands. A setting is stated by ``--config``, a calibration card or ``--set``.

- A command declares what it reads; ``--set`` of anything else is refused by name. Other sections of
  a ``--config`` file are left alone: one file may serve several commands.
- The array of an array file takes every value of ``[array]`` that is stated: wires, line-end
  resistances and device. Its conductances are fixed.
- A model is put on arrays by both sections, with the options of ``[layers."PATTERN"]`` over them
  and ``[convert]``. A deployment takes what is stated of ``[array]``.
- `run.toml` and the ``config`` of a record hold what the command read, and of ``[mapping]`` and
  ``[array]`` what the objects that were solved have.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from xbarspice.config import RunConfig
from xbarspice.core.errors import broken_rule

__all__ = ["configuration", "mark_overridden", "read_values", "run_toml"]


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
        calibration: the card; without one, that which the deployment carries.
        mapped: what the command works on; counts if it is a deployment with a card.
        seed: the command's option of that name, which goes over all settings.

    Raises:
        InputError: a setting is not of that form, is not read by the command, a name or value
            breaks the schema, or the deployment carries another card.
    """
    values = {} if base is None else base.model_dump(mode="json", exclude_unset=True)
    if path is not None:
        file = RunConfig.from_toml(path)  # refuses a wrong entry by the name of the file
        values = _merge(values, file.model_dump(mode="json", exclude_unset=True))
    if calibration is not None or mapped is not None:
        from xbarspice.deployment.cards import overlay_card

        values = overlay_card(values, calibration, mapped)
    names: list[str] = []
    for setting in [*(settings or []), *([] if seed is None else [f"seed={seed}"])]:
        keys, value = _parse(setting)
        name = ".".join(keys)
        names.append(name)
        if name == "array.device":  # parameters of another device are dropped, as by a card
            array = values.get("array", {})
            if array.get("device") != value:
                values = {**values, "array": {k: array[k] for k in array if k != "parameters"}}
        for key in reversed(keys):
            value = {key: value}
        values = _merge(values, value)
        note = values.get("calibration") or {}
        if not isinstance(note, dict):
            continue  # the schema refuses it
        if any(part == name or part.startswith(f"{name}.") for part in note.get("applied", ())):
            note["overridden"] = [*note.get("overridden", ()), name]
    run = RunConfig.from_mapping(values)
    _refuse_unread(names[: len(settings or [])], reads)
    return run


def _parse(setting: str) -> tuple[list[str], Any]:
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


def _merge(base: dict[str, Any], change: Any) -> dict[str, Any]:
    out = dict(base)
    for key, value in change.items():
        nested = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merge(out[key], value) if nested else value
    return out


def _is_read(name: str, reads: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in reads)


def _refuse_unread(names: list[str], reads: Sequence[str]) -> None:
    """Refuse a setting that the command would not look at.

    A whole section (``array={...}``) passes if one of its values is read.
    """
    for name in names:
        if _is_read(name, reads) or any(part.startswith(f"{name}.") for part in reads):
            continue
        raise broken_rule(
            f"this command, with these options, reads {', '.join(reads) or 'no settings'}",
            f"--set {name}",
            "Leave it out: it would change nothing here.",
        )


def mark_overridden(config: RunConfig, *names: str) -> RunConfig:
    """A configuration that says which calibrated values the command's own options go over."""
    note = config.calibration
    hit = [] if note is None else [name for name in names if name in note.applied]
    if note is None or not hit:
        return config
    note = note.model_copy(update={"overridden": (*note.overridden, *hit)})
    return config.model_copy(update={"calibration": note})


def read_values(run: RunConfig, reads: Sequence[str]) -> dict[str, Any]:
    """What a command read, as nested values.

    Args:
        run: the configuration.
        reads: as of `configuration`.
    """
    return _read_part(run.model_dump(mode="json"), (*reads, "calibration"))


def run_toml(values: dict[str, Any]) -> str:
    """Text of a `run.toml` from nested values; TOML has no null, so None is left out."""
    return tomli_w.dumps(_without_none(values))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _read_part(values: dict[str, Any], reads: Sequence[str], above: str = "") -> dict[str, Any]:
    out = {}
    for key, value in values.items():
        name = f"{above}{key}"
        if _is_read(name, reads):
            out[key] = value
        elif isinstance(value, dict) and (part := _read_part(value, reads, f"{name}.")):
            out[key] = part
    return out
