"""Campaigns on a real Dask cluster that loses workers."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import bench_scale
from tests import campaign_work as work
from tests.helpers import PATIENCE, figures_of, headline_of, wait_until
from tests.unit.transfer.test_study import moons
from xbarspice import campaign
from xbarspice.campaign import cluster as module
from xbarspice.campaign.crew import Crew
from xbarspice.core.errors import EngineError
from xbarspice.transfer import Workers, loss_budget

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two workers that start again, however long a busy machine takes.

    Dask's own cluster gives a worker up that is not back after 15 seconds.
    """
    for limit in ("CONNECT", "PATIENCE"):
        monkeypatch.setattr(module, limit, PATIENCE)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": f"{PATIENCE} s"}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
    ):
        yield cluster


def test_a_worker_is_killed_and_every_item_is_there_once(tmp_path, cluster, monkeypatch):
    """It is killed while it holds an item, of which the scheduler knows that it was begun."""
    monkeypatch.setattr(module, "MOST_ITEMS", 1)
    path, killed = tmp_path / "c.h5", tmp_path / "killed"
    items = work.items(60, killed=str(killed))

    def handed_out():
        for n, item in enumerate(items):
            if n == work.HELD + 10:
                wait_until(lambda: cluster.scheduler.get_events("held"))
                ((_, process),) = cluster.scheduler.get_events("held")
                os.kill(process, signal.SIGKILL)
                killed.touch()
            yield item

    done = campaign.run(
        handed_out(), work.square_on_cluster, path, scheduler=cluster.scheduler_address
    )
    assert (done.items, done.finished, done.failed) == (60, 60, 0)
    assert done.lost == 1
    assert done.again >= 1
    results = campaign.load(path)
    assert list(results) == [campaign.Item(item).key for item in items]
    assert results.column("square").tolist() == [n * n for n in range(60)]
    again = campaign.run(
        items, work.square_on_cluster, path, scheduler=cluster.scheduler_address, resume=True
    )
    assert again.already == 60


def test_a_thousand_tiles_are_verified_though_a_worker_is_killed(tmp_path, cluster):
    """ngspice against the surrogate; what the page says at the end is what the file holds."""
    path, page = tmp_path / "c.h5", tmp_path / "c.html"
    items = bench_scale.Killing(bench_scale.Tiles(1000), cluster)
    done = campaign.run(
        items,
        campaign.verify_item,
        path,
        scheduler=cluster.scheduler_address,
        page=page,
    )
    assert items.at == 12
    assert (done.items, done.finished, done.failed, done.lost) == (32, 32, 0, 1)
    results = campaign.load(path)
    errors = np.concatenate([values["error"] for values in results.values()])
    assert errors.shape == (1000,)
    assert 0 < errors.max() < 1e-12
    assert [results.settings(item)["label"] for item in results] == ["ohmic", "sinh_tio2"] * 16
    figures = figures_of(page)
    assert headline_of(page)[0] == "COMPLETE"
    assert figures["items done"] == "32 of 32 (100.0 %)"
    assert figures["begun again after a lost worker"] == str(done.again)
    assert (figures["failed"], figures["workers lost"]) == ("0", "1")


def test_failing_items_on_a_cluster_are_recorded(tmp_path, cluster):
    path = tmp_path / "c.h5"
    done = campaign.run(work.items(30), work.fussy, path, scheduler=cluster.scheduler_address)
    assert (done.finished, done.failed) == (20, 10)
    assert {f.error for f in campaign.load(path).failures.values()} == {"ValueError"}


def test_an_item_that_kills_its_workers_fails_alone(tmp_path, cluster):
    path = tmp_path / "c.h5"
    items = [campaign.Item({"how": how}) for how in ("a", "killed", "b")]
    done = campaign.run(items, work.misbehaves, path, scheduler=cluster.scheduler_address)
    assert (done.finished, done.failed) == (2, 1)
    assert campaign.load(path).failures[items[1].key].error == "KilledWorker"


@pytest.mark.slow
def test_a_cluster_that_is_lost_ends_the_campaign_which_resumes_here(
    tmp_path, cluster, monkeypatch
):
    monkeypatch.setattr(module, "PATIENCE", 3.0)
    monkeypatch.setattr(module, "CONNECT", 20.0)
    path = tmp_path / "c.h5"
    items = work.items(200, seconds=0.05)

    def handed_out():
        for n, item in enumerate(items):
            if n == 150:
                closer = threading.Thread(target=cluster.close)
                closer.start()
                closer.join()
            yield item

    with pytest.raises(EngineError, match="the Dask cluster must work"):
        campaign.run(handed_out(), work.square, path, scheduler=cluster.scheduler_address)
    assert 5 < len(campaign.load(path)) <= 150
    campaign.run(items, work.square, path, workers=2, resume=True)
    assert campaign.load(path).column("square").tolist() == [n * n for n in range(200)]


def test_workers_that_are_gone_at_one_look_are_waited_for(monkeypatch):
    """Looks may be minutes apart, where this process waits for a result."""
    now, threads = [0.0], [{"a": 1}]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    client = SimpleNamespace(id="c", nthreads=lambda: threads[0])
    tasks = module._Tasks(client, work.square, iter(()), Crew())
    assert tasks._supply() == 1
    threads[0] = {}
    for now[0] in (100.0, 159.0):
        assert tasks._supply() == 0
    threads[0], now[0] = {"b": 2}, 165.0
    assert tasks._supply() == 2
    threads[0] = {}
    for now[0] in (170.0, 229.0):
        assert tasks._supply() == 0
    now[0] = 231.0
    with pytest.raises(EngineError, match="no workers for 60 s"):
        tasks._supply()
    assert tasks.crew.lost == 2


def test_transfers_on_a_cluster_are_those_that_are_computed_here(cluster):
    circuit, x, y = moons()
    alone = loss_budget(circuit, x, y, transfers=6, seed=1)
    workers = Workers(scheduler=cluster.scheduler_address, together=3)
    assert loss_budget(circuit, x, y, transfers=6, seed=1, workers=workers) == alone
