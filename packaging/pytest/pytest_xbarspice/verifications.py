"""Files of verifications, and each verification as a test: `xbarspice verify` in this process."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from xbarspice.cli.app import app
from xbarspice.core.errors import XbarspiceError, broken_rule

__all__ = ["BrokenGateError", "VerificationFile", "VerificationItem"]

FIXED = ("help", "json", "map", "map-out", "out")
"""Options of `xbarspice verify` that a file may not state: pytest runs it, and keeps its report."""
PROGRAM = cast(TyperGroup, get_command(app))
VERIFY = PROGRAM.commands["verify"]
FLAGS = {name for part in VERIFY.params if getattr(part, "is_flag", False) for name in part.opts}
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class BrokenGateError(Exception):
    """A gate of a verification is broken; the text says which."""


class VerificationFile(pytest.File):
    """A file with a table `[verify.NAME]` for each test."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test a table.

        Raises:
            CollectError: the file is no TOML, or a table states what `xbarspice verify` refuses.
        """
        try:
            for name, table in read_tables(self.path).items():
                words = command_words(name, table)
                VERIFY.make_context("verify", list(words[1:]))
                yield VerificationItem.from_parent(self, name=name, words=words)
        except Exception as error:
            sentence = getattr(error, "format_message", None)  # of Typer's errors of usage
            if sentence is None and not isinstance(error, XbarspiceError):
                raise
            text = error if sentence is None else sentence()
            raise self.CollectError(f"{self.path}: {text}") from error


def read_tables(path: Path) -> dict[str, dict[str, Any]]:
    """Tables of a file of verifications by their names.

    Raises:
        InputError: it is no TOML, or holds anything but named tables under `verify`.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise broken_rule(
            "a file of verifications must be TOML", error, "Mend that line, or rename the file."
        ) from error
    tables = content.get("verify")
    strangers = sorted(set(content) - {"verify"})
    if strangers or not isinstance(tables, dict) or not tables:
        received = f"the keys {', '.join(strangers)}" if strangers else "no such table"
        raise broken_rule(
            "a file of verifications holds tables [verify.NAME] and nothing else",
            received,
            'For example [verify.mnist] with file = "net.h5" and inputs = "x.npz".',
        )
    for name, table in tables.items():
        if not isinstance(table, dict) or not NAME.fullmatch(name):
            raise broken_rule(
                "each verification is a table with a name of letters, digits, '.', '-' and '_'",
                f"{name!r} = {table!r}"[:80],
                'For example [verify.mnist] with file = "net.h5".',
            )
    return tables


def command_words(name: str, table: Mapping[str, Any]) -> tuple[str, ...]:
    """The command line that a table states: `file`, and options under their own names.

    Args:
        name: of the table.
        table: texts, numbers, true or false for an option without a value, lists for an option
            that is stated several times.

    Raises:
        InputError: no file, an option that pytest sets, or a value of another kind.
    """
    where = f"[verify.{name}]"
    file = table.get("file")
    if not isinstance(file, str) or not file:
        raise broken_rule(
            f"{where} must name a model, a deployment or an array",
            f"file = {file!r}",
            'Add file = "net.h5".',
        )
    words = ["verify"]
    for key, value in table.items():
        if key in FIXED:
            raise broken_rule(
                f"{where} may not state {', '.join(FIXED)}",
                key,
                "Leave it out; --xbarspice-out of pytest says where reports go.",
            )
        if key == "file" or value is False:
            continue
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, str | int | float):
                raise broken_rule(
                    f"options of {where} are texts, numbers, true, false or lists of these",
                    f"{key} = {value!r}"[:80],
                    'Settings are texts: set = ["gates.output=0.5"].',
                )
            alone = entry is True and f"--{key}" in FLAGS
            words.append(f"--{key}" if alone else f"--{key}={entry}")
    return (*words, "--", file)


class VerificationItem(pytest.Item):
    """One verification; it fails if a gate is broken."""

    def __init__(self, *, words: tuple[str, ...], **names: Any) -> None:
        super().__init__(**names)
        self.words = words
        self.add_marker("xbarspice")

    def runtest(self) -> None:
        """Verify in the folder of the file, and leave the run folder.

        Raises:
            BrokenGateError: a gate is broken.
            XbarspiceError: what `xbarspice verify` ends with on wrong input or without ngspice.
        """
        folder = self._run_folder()
        words = [self.words[0], "--out", str(folder), *self.words[1:]]
        with contextlib.chdir(self.path.parent):
            status = PROGRAM.main(words, prog_name="xbarspice", standalone_mode=False)
        self.user_properties.append(("report", str(folder / "report.html")))
        if status:
            record = json.loads((folder / "report.json").read_text("utf-8"))
            raise BrokenGateError(failure_text(record, folder))

    def _run_folder(self) -> Path:
        """A folder of its own for every test, the same at each run."""
        config = self.config
        stated = config.getoption("--xbarspice-out")
        if stated is not None:
            top = config.invocation_params.dir / stated
        elif (cache := getattr(config, "cache", None)) is not None:
            top = cache.mkdir("xbarspice")
        else:
            raise broken_rule(
                "reports need a folder, and pytest's cache is off",
                "no --xbarspice-out",
                "Add --xbarspice-out FOLDER.",
            )
        inside = self.path.is_relative_to(config.rootpath)
        place = self.path.relative_to(config.rootpath if inside else self.path.anchor)
        return top / place / self.name

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | Any:
        """Sentences for what xbarspice says on purpose; a traceback for the rest."""
        if isinstance(excinfo.value, BrokenGateError | XbarspiceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Place and title of the test."""
        return self.path, None, f"{self.path.name}: {self.name}"


def failure_text(record: Mapping[str, Any], folder: Path) -> str:
    """What a failed verification says: gates that are broken, hints, and where the report is."""
    lines = [f"FAIL  {record['title']}"]
    for gate in record["gates"]:
        if not gate["passed"]:
            value, limit = float(gate["value"]), float(gate["limit"])
            lines.append(f"broken gate: {gate['name']}: {value:.3g}, limit {limit:g}")
    lines += [
        f"{finding['kind']} ({finding['where']}): {finding['text']} {finding['remedy']}"
        for finding in record["findings"]
    ]
    lines += [f"not judged: {text}" for text in record["unjudged"]]
    return "\n".join([*lines, f"report: {folder / 'report.html'}"])
