"""Files appear whole or not at all."""

import contextlib
import os
from pathlib import Path

import pytest

from xbarspice.core.errors import InputError, StoreError
from xbarspice.core.files import (
    read_toml,
    store_errors,
    whole_file,
    whole_files,
    whole_folder,
    write_whole,
)


def test_files_take_their_names_together(tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.bin"
    a.write_text("old")
    write_whole({a: "new\n", b: b"\x00\n"})
    assert a.read_bytes() == b"new\n"
    assert b.read_bytes() == b"\x00\n"
    assert sorted(tmp_path.iterdir()) == [a, b]


def test_a_block_that_fails_changes_nothing(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("old")
    with contextlib.suppress(RuntimeError), whole_files([a, b]) as (first, second):
        first.write_text("new")
        second.write_text("new")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [a]
    assert a.read_text() == "old"


def test_a_file_that_is_not_on_the_disk_replaces_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match=r"the file must be writable.*No space left"):  # noqa: SIM117
        with store_errors("the file", path), whole_file(path) as partial:
            partial.write_text("new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    for owner, name in ((os, "fsync"), (Path, "replace")):
        real = getattr(owner, name)

        def record(*arguments, real=real, name=name):
            order.append(name)
            return real(*arguments)

        monkeypatch.setattr(owner, name, record)
    write_whole({tmp_path / "a": "1", tmp_path / "b": "2"})
    assert order == ["fsync", "fsync", "replace", "replace", "fsync"]


def test_a_folder_takes_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "run"
    with whole_folder(path) as partial:
        (partial / "a").write_text("1")
        assert not path.exists()
    with contextlib.suppress(RuntimeError), whole_folder(path) as partial:
        (partial / "b").write_text("2")
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = = 1", r"`x\.toml` must be TOML"),
        (b"\xff", r"`x\.toml` must be TOML"),
        (None, "the card must exist"),
    ],
)
def test_toml_that_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_toml(path, "the card")


def test_what_is_no_file_is_never_replaced(tmp_path):
    """Renaming over a pipe or a device of the system would remove it for everybody."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, words in (("pipe", "neither a file nor a folder"), ("folder", "a folder")):
        with pytest.raises(InputError, match=words):
            write_whole({tmp_path / name: "1"})
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(InputError, match="must be a folder"), whole_folder(tmp_path / "pipe"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole({tmp_path / "link": "new"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
