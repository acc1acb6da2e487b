"""Every option and argument of every command, fed what it cannot take: one sentence, nothing left.

The command tree is walked, so that a new option is fed, too. Files are missing, folders, empty, not
readable, and of the wrong kind; words are unknown ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
from pathlib import Path

import pytest
from typer.main import get_command

from tests.docs.command_files import write_all
from tests.helpers import run_command
from tests.unit.cli.test_input_rules import leaves
from xbarspice.cli.app import app

LINES = {
    "train": "",
    "demo": "",
    "config": "",
    "doctor": "",
    "map": "network.npz",
    "solve": "net.h5 --inputs x.npz",
    "verify": "net.h5 --inputs x.npz --reference nodal",
    "transfer": "net.h5 --inputs x.npz --transfers 2",
    "designs": "net.h5 --inputs x.npz --transfers 2 --choice placement",
    "campaign": "net.h5 --inputs x.npz --engine surrogate --workers 0",
    "program": "net.h5 --inputs x.npz --device o921c_4k --set mapping.G_min=102e-6 "
    "--set mapping.G_max=350e-6",
    "netlist": "net.h5",
    "tapeout": "net.h5 --inputs x.npz",
    "drc": "neck.gds --technology sky130b",
    "lvs": "short.gds G.npz --technology sky130b",
    "extract": "array.gds",
    "import": "die.mat --form matlab --out new.h5",
    "export": "array.npz --out new.mat",
    "calibrate sweeps": "iv.csv --device ohmic",
    "calibrate reads": "reads.csv --array G.csv --free R_wire",
    "calibrate pulses": "pulses.csv --set array.device=o921c_4k --free A_p",
    "calibrate joint": "die1.csv=G1.csv --free R_wl",
    "calibrate spread": "writes.csv",
    "calibrate noise": "repeats.csv",
    "calibrate drift": "before.csv --after 16=after.csv",
    "calibrate curves": "curves.csv",
    "calibrate tuning": "tuning.csv",
    "calibrate retention": "bake.csv",
    "calibrate cycling": "cycles.csv",
    "calibrate die": "measured.csv",
    "calibrate arrays": "net.h5 --inputs x.npz --measured fc1[0,0,0]=a.csv",
}
"""A line of each command that works."""
LINES_FOR = {
    "program --log": "plan.json",
    "calibrate die --activation": "measured.csv --network network.npz --inputs x.npz",
    "calibrate die --inputs": "measured.csv --network net.h5",
    "calibrate die --network": "measured.csv --inputs x.npz",
    "calibrate die --array": "measured.csv --network net.h5 --inputs x.npz",
    "calibrate noise --array": "reads.csv",
    "import --weights": "crosssim.json --form crosssim --out new.h5",
    "lvs --array": "short.gds net.h5",
    "tapeout --lvs-deck": "net.h5 --inputs x.npz --lvs klayout",
    "tapeout --magic": "net.h5 --inputs x.npz --lvs netgen --lvs-deck setup.tcl",
    "transfer --metric": "net.h5 --inputs x.npz --transfers 2 --budget 2",
}
"""Lines for options that stand beside others than those of the line of their command."""
OUTPUTS = {"--out", "--page", "--script", "--map-out", "--data-out", "--work"}
"""Paths that are written."""
FREE = {"--title", "--date", "--name", "--scheduler", "--cell", "--sheet", "--decimal", "--model"}
"""Words of one's own: texts, names in files, addresses, code."""
PREFIX = {
    "--measured": "fc2[0,0,0]=",
    "--after": "8=",
    "ARG data of calibrate joint": "",
}
"""What stands before the path in options of the form NAME=FILE."""
SUFFIX = re.compile(r"\.(?:h5|npz|csv|toml|json|mat|pt2|pt|tcl|drc|lvs|gds|tech)\b")
WORD = "no_such_word"
FILE_OR_WORD = {"--technology": ".toml"}
"""Options that take a word or a file, and the ending of the file."""
RUN_BY_TOOLS = {"--drc", "--lvs-deck", "--magic"}
"""Files in the languages of other programs, which judge what stands in them."""
VERSION, OVERRIDE = 0x20080522, 0b110
"""Of Linux's capget(2): the third version; CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


def kind_of(part) -> type:
    """Of one value of a parameter."""
    annotation = part.type_descriptor.annotation
    return getattr(annotation, "__args__", (annotation,))[0]


def is_file(name, key, part) -> bool:
    """Whether a parameter of a command is a file that is read."""
    return kind_of(part) is Path or key in PREFIX or f"{key} of {name}" in PREFIX


def parameters():
    """(command, option or argument, whether it is a file) of all that a bad value is fed to."""
    for name, command in leaves(get_command(app)):
        for part in command.params:
            key = part.opts[0] if part.opts[0].startswith("-") else f"ARG {part.name}"
            file = is_file(name, key, part)
            text = kind_of(part) is str and key not in FREE
            if (file and key not in OUTPUTS) or (text and not file):
                yield name, key, part


PARTS = {(name, key): part for name, key, part in parameters()}
BAD_FILES = ("missing", "folder", "empty", "noise", "unreadable")
CASES = [
    (name, key, bad)
    for (name, key), part in PARTS.items()
    for bad in (BAD_FILES if is_file(name, key, part) else ("word",))
    if not (key in RUN_BY_TOOLS and bad == "noise")
]
CASES += [(n, key, bad) for n, key in PARTS if key in FILE_OR_WORD for bad in BAD_FILES[1:]]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files for every line."""
    folder = tmp_path_factory.mktemp("values")
    write_all(folder)
    (folder / "setup.tcl").write_text("# nothing\n")
    return folder


def bad_path(folder: Path, suffix: str, bad: str) -> str:
    """Name of a file in the folder that no command can take."""
    path = folder / f"{bad}{suffix}"
    if bad == "folder":
        path.mkdir(exist_ok=True)
    elif bad == "empty":
        path.write_bytes(b"")
    elif bad == "noise":
        path.write_bytes(bytes(range(255, -1, -1)) * 8)
    elif bad == "unreadable":
        path.write_bytes(b"1,2\n")
        path.chmod(0)
    return path.name


def words_of(name, key, part, folder, bad):
    """The line of a command with a bad value of an option or in place of a file, and that value."""
    words = LINES_FOR.get(f"{name} {key}", LINES[name]).split()
    if bad == "word":
        return [*words, key, WORD], WORD
    stated = key.startswith("--")
    at = 1 if key == "ARG mapped" else 0
    given = SUFFIX.search("" if stated or not words else words[at])
    suffix = given or SUFFIX.search(FILE_OR_WORD.get(key, part.help or ""))
    value = bad_path(folder, suffix[0] if suffix else ".csv", bad)
    text = PREFIX.get(key, "") + value
    if stated:
        return [*words, key, text], value
    return [*words[:at], text, *words[at + 1 :]], value


def listing(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Every folder, and every file with its size and the time of its last change."""
    return {
        str(path.relative_to(folder)): (
            (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
        )
        for path in folder.rglob("*")
    }


@contextlib.contextmanager
def without_rights_of_root():
    """Root may read every file: give up the capabilities by which it may, for this thread."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    fewer = (ctypes.c_uint32 * 6)(held[0] & ~OVERRIDE, *held[1:])
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


@pytest.mark.parametrize(("name", "key", "bad"), CASES)
def test_a_bad_value_is_named_in_one_sentence_and_nothing_is_left(files, name, key, bad):
    """Status 2, or 3 of a file that is damaged; no file is written, none is changed."""
    words, value = words_of(name, key, PARTS[name, key], files, bad)
    before = listing(files)
    with without_rights_of_root() if bad == "unreadable" else contextlib.nullcontext():
        ended = run_command(*name.split(), *words, "--json", cwd=files)
    assert ended.returncode in ((2, 3) if bad in ("empty", "noise") else (2,)), ended.stderr
    message = json.loads(ended.stdout)["error"]["message"]
    assert value in message
    assert "\n" not in message
    assert "does not know" not in message
    assert listing(files) == before


def test_every_command_has_a_line():
    assert set(LINES) == {name for name, _ in leaves(get_command(app))}
