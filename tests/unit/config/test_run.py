"""Configurations: TOML and back, errors that name the entry, named child generators."""

from __future__ import annotations

import pytest

from xbarspice.config import RunConfig
from xbarspice.core.errors import InputError
from xbarspice.core.seeds import child_rng


def test_toml_holds_every_value(tmp_path):
    config = RunConfig.from_mapping(
        {"seed": 5, "array": {"R_wl": 2.5}, "train": {"hidden": [4, 3]}}
    )
    (tmp_path / "run.toml").write_text(config.to_toml())
    assert RunConfig.from_toml(tmp_path / "run.toml") == config
    assert "V_read = 0.2" in config.to_toml()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"array": {"R_wl": -1}}, r"array: `R_wl` .*received -1"),
        ({"array": {"R_w": 1}}, r"array\.R_w: Extra inputs"),
        (
            {"mapping": {"G_min": 1e-3, "G_max": 1e-4}},
            "mapping: .*0 <= G_min < G_max; received 0.001",
        ),
        ({"mapping": {"G_max": float("nan")}}, r"mapping\.G_max"),
        ({"data": {"test": 900, "validation": 200}}, "must leave points to train on"),
    ],
)
def test_wrong_entries_are_named(values, words):
    with pytest.raises(InputError, match=words):
        RunConfig.from_mapping(values)


def test_a_file_that_is_no_toml(tmp_path):
    (tmp_path / "x.toml").write_text("seed = = 3")
    with pytest.raises(InputError, match=r"x\.toml` must be TOML"):
        RunConfig.from_toml(tmp_path / "x.toml")
    with pytest.raises(InputError, match="must exist"):
        RunConfig.from_toml(tmp_path / "none.toml")


def test_child_generators_depend_on_seed_and_name_alone():
    draw = lambda seed, name: child_rng(seed, name).random()  # noqa: E731
    assert draw(1, "a") == draw(1, "a")
    assert len({draw(1, "a"), draw(1, "b"), draw(2, "a")}) == 3
