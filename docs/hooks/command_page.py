"""The page of all options, written from the commands themselves: what their `--help` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from xbarspice.cli.app import app

__all__ = ["pages"]


def cell(text: str) -> str:
    """A text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("[", "\\[").replace("<", "&lt;")


def table(command: Any, context: Any) -> str:
    """Arguments and options of a command with their meaning and default."""
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [
        f"| `{record[0].replace('|', ' or ')}` | {cell(record[1])} |"
        for record in records
        if record
    ]
    return "\n".join(["| argument or option | meaning |", "|---|---|", *rows]) if rows else ""


def sections(command: Any, name: str, parent: Any = None) -> Iterator[str]:
    """A command and the commands below it, each with its help, options and examples."""
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield f"## `{context.command_path}`\n"
    yield f"{cell(command.help or '')}\n"
    yield f"{table(command, context)}\n"
    if command.epilog:
        yield f"```text\n{command.epilog.strip()}\n```\n"
    for below in sorted(getattr(command, "commands", {})):
        yield from sections(command.commands[below], below, context)


def pages() -> dict[str, str | bytes]:
    """Pages by their place on the site."""
    head = (
        "# Options of commands\n\nThis page is what `--help` says of each command; "
        "[Commands](commands.md) says what each is for.\n"
    )
    return {"command-help.md": "\n".join([head, *sections(get_command(app), "xbarspice")])}
