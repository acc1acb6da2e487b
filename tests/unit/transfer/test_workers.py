"""Transfers by other processes are those that are computed here."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.unit.transfer.test_study import moons
from xbarspice.core.errors import EngineError, InputError
from xbarspice.nn.origin import arguments_of
from xbarspice.training.remedied import remedy_item, study_remedies
from xbarspice.transfer import Workers, loss_budget, transfer
from xbarspice.transfer import workers as module
from xbarspice.transfer.study import study_item


@pytest.fixture
def here(monkeypatch):
    """Workers whose items run in this process, packed and unpacked as they travel."""
    run = module.campaign.run
    monkeypatch.setattr(
        module.campaign, "run", lambda *args, **kw: run(*args, **kw | {"workers": 0})
    )
    return Workers(together=4)


def test_a_study_by_workers_is_the_same_and_goes_on_from_its_file(here, tmp_path):
    circuit, x, y = moons(R_wl=5.0)
    alone = transfer(circuit, x, y, transfers=10, seed=2)
    path, told = tmp_path / "t.h5", []
    transfer(circuit, x, y, transfers=3, seed=2, path=path)
    by_workers = transfer(
        circuit,
        x,
        y,
        transfers=10,
        seed=2,
        path=path,
        workers=here,
        progress=lambda *counts: told.append(counts),
    )
    assert alone.predictions is not None
    np.testing.assert_array_equal(by_workers.predictions, alone.predictions)
    np.testing.assert_allclose(by_workers.rms, alone.rms, rtol=1e-12)
    assert told[-1] == (10, 10)
    again = transfer(circuit, x, y, transfers=10, seed=2, path=path)
    np.testing.assert_array_equal(again.rms, by_workers.rms)


def test_what_workers_did_before_they_were_stopped_is_kept(here, tmp_path):
    circuit, x, y = moons()

    def stop(done, total):
        if done >= 4:
            raise KeyboardInterrupt

    path = tmp_path / "t.h5"
    with pytest.raises(KeyboardInterrupt):
        transfer(circuit, x, y, transfers=12, path=path, workers=here, progress=stop)
    told = []
    transfer(circuit, x, y, transfers=12, path=path, progress=lambda *c: told.append(c))
    assert 4 < told[0][0] <= 9  # the first of those that are left


def test_budget_and_remedies_by_workers_are_the_same(here):
    circuit, x, y = moons(levels=16)
    budgets = [loss_budget(circuit, x, y, transfers=6, seed=1, workers=w) for w in (None, here)]
    assert budgets[0] == budgets[1]
    names = ["offset", "decision_offset"]
    mended = [
        study_remedies(circuit, x, y, remedies=names, transfers=6, seed=1, workers=w)
        for w in (None, here)
    ]
    assert mended[0] == mended[1]


def test_an_item_that_fails_is_said_with_its_reason(here):
    circuit, x, _ = moons()
    packed = here.pack(circuit, arguments_of(circuit, x))
    items = [{"first": 0, "end": 1}, {"first": 0, "begin": 1}]
    function = partial(study_item, **packed, labels=None, engine="surrogate")
    answers = here.run(function, items, lambda done, total: None)
    assert len(answers.values) == 1
    with pytest.raises(EngineError, match="a worker failed: KeyError"):
        answers.complete()
    short = partial(remedy_item, **packed, labels=None, remedies=["no"], seed=0, engine="surrogate")
    with pytest.raises(EngineError, match="a worker failed"):
        here.run(short, items[:1], lambda done, total: None).complete()


@pytest.mark.parametrize(
    "options", [{"processes": 0}, {"processes": 2, "scheduler": "tcp://a:1"}, {"together": 0}]
)
def test_workers_are_processes_or_those_of_a_scheduler(options):
    with pytest.raises(InputError, match=r"workers are|`together`"):
        Workers(**options)
