"""Campaigns that are killed, meet a full disk, damaged files, dying workers or each other."""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests import campaign_work as work
from tests.helpers import PATIENCE, figures_of, headline_of, heed_ctrl_c, is_running, wait_until
from xbarspice import campaign
from xbarspice.campaign import journal, row_files, runner
from xbarspice.campaign.journal import folder_of, segments_of
from xbarspice.core.errors import EngineError, InputError, StoreError

ROOT = Path(__file__).parents[2]
SQUARES = [n * n for n in range(150)]


def start(path, log, count=150, seconds=0.01, before="", more=()):
    """A campaign in a process (and session) of its own."""
    program = f"{before}\nfrom tests.campaign_work import main\nimport sys\nmain(*sys.argv[1:])"
    script = path.with_suffix(".py")
    script.write_text(
        "\n".join(["if __name__ == '__main__':", *(f"    {p}" for p in program.splitlines())])
    )
    return subprocess.Popen(
        [sys.executable, str(script), str(path), str(count), str(seconds), str(log), *more],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )


def members(session):
    """The processes of a session that still run."""
    processes = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            its = stat.read_text().rpartition(")")[2].split()[3]
        except OSError:
            continue
        if int(its) == session and is_running(int(stat.parent.name)):
            processes.append(int(stat.parent.name))
    return processes


def wait_for_end(session):
    wait_until(lambda: not members(session))


def finished(path):
    return set(campaign.load(path)) if path.exists() else set()


def test_killed_again_and_again_a_campaign_ends_with_every_item_once(tmp_path):
    """kill -9 at random moments: readable after each, nothing finished is lost or done again."""
    path, log = tmp_path / "c.h5", tmp_path / "log"
    chance = random.Random(4)  # noqa: S311
    before, done_before, kills = set(), [0] * 150, 0
    while True:
        process = start(path, log)
        assert process.stdout is not None
        told = 0
        if kills < 6:
            for _ in range(chance.choice([1, 1, 2])):  # the first report comes with a commit
                told = int(process.stdout.readline() or told)
            time.sleep(chance.random() * 0.4)
            process.kill()
            kills += 1
        process.wait(timeout=PATIENCE)
        process.stdout.close()
        wait_for_end(process.pid)
        now = finished(path)
        assert before <= now
        assert len(now) >= told
        counts = [log.read_text().split().count(str(n)) for n in range(150)]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        for n, item in enumerate(work.items(150, seconds=0.01, log=str(log))):
            if campaign.Item(item).key in before:
                assert counts[n] == done_before[n], "a finished item was done again"
        before, done_before = now, counts
    results = campaign.load(path)
    assert len(results) == 150
    whole = tmp_path / "whole.h5"
    campaign.run(work.items(150, seconds=0.01, log=str(log)), work.square, whole, workers=2)
    for key, values in campaign.load(whole).items():
        assert results[key].keys() == values.keys()
        assert all(np.array_equal(results[key][name], values[name]) for name in ("square", "row"))
        assert results[key]["word"] == values["word"]
    assert not folder_of(path).exists()


def commit_every_item(monkeypatch):
    monkeypatch.setattr(runner, "COMMIT_EVERY", 0.0)
    monkeypatch.setattr(runner, "COMMIT_LATEST", 0.0)


def forked(act):
    """Run in a copy of this process, which ends when `act` does; gives the exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_at_every_single_step_to_the_disk(tmp_path, monkeypatch):
    """A campaign is killed just before its first, second, ... write, sync, rename and removal."""
    monkeypatch.setattr(journal, "FAN", 3)
    items, total = work.items(6), 0
    for step in itertools.count(1):
        folder = tmp_path / str(step)
        folder.mkdir()
        path = folder / "c.h5"

        def dies(step=step, path=path):
            commit_every_item(monkeypatch)
            calls = itertools.count(1)
            for owner, name in (
                (Path, "replace"),
                (os, "fsync"),
                (Path, "unlink"),
                (Path, "write_bytes"),
                (row_files, "_copy"),
            ):
                real = getattr(owner, name)

                def counted(*arguments, real=real, **more):
                    if next(calls) == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*arguments, **more)

                setattr(owner, name, counted)
            campaign.run(items, work.square, path, workers=0)

        status = forked(dies)
        before = finished(path)
        done = campaign.run(items, work.square, path, workers=0, resume=True)
        assert not done.damaged
        assert done.already == len(before)
        results = campaign.load(path)
        assert before <= set(results)
        assert results.column("square").tolist() == SQUARES[:6]
        assert list(folder.iterdir()) == [path]
        if status == 0:
            break
        assert status == -signal.SIGKILL
        total = step
    assert total > 30


def test_ctrl_c_leaves_a_state_that_resumes(tmp_path):
    path, log, go = tmp_path / "c.h5", tmp_path / "log", tmp_path / "go"
    page = path.with_suffix(".html")
    process = start(path, log, count=60, more=[str(go)])
    assert process.stdout is not None
    while int(process.stdout.readline()) < 2:
        pass
    assert headline_of(page)[0].startswith("RUNNING")
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers too
    _, errors = process.communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt" in errors
    wait_for_end(process.pid)
    assert 1 < len(finished(path)) <= work.HELD
    assert not folder_of(path).exists()
    count = len(finished(path))
    word, text = headline_of(page)
    assert word == "STOPPED"
    assert text.startswith(f"{count} of 60 are done, 0 failed. It was interrupted")
    go.touch()
    items = work.items(60, seconds=0.01, log=str(log), go=str(go))
    again = campaign.run(items, work.square, path, workers=2, resume=True, page=page)
    assert (again.already, again.finished) == (count, 60)
    assert headline_of(page) == ("COMPLETE", "60 of 60 are done, 0 failed.")
    assert figures_of(page)["of them by earlier runs"] == str(count)
    assert campaign.load(path).column("square").tolist() == SQUARES[:60]


def test_a_second_campaign_on_the_same_file_is_refused_at_once(tmp_path):
    path, log, go = tmp_path / "c.h5", tmp_path / "log", tmp_path / "go"
    process = start(path, log, more=[str(go)])
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(InputError, match=f"which process {process.pid} is writing"):
        campaign.run(work.items(3), work.square, path, workers=0, resume=True)
    assert len(campaign.load(path)) > 0, "a running campaign can be read"
    go.touch()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert campaign.load(path).column("square").tolist() == SQUARES


def test_a_second_campaign_of_the_same_process_is_refused(tmp_path):
    path = tmp_path / "c.h5"

    def nested():
        yield from work.items(1)
        campaign.run(work.items(1), work.square, path, workers=0, resume=True)

    with pytest.raises(InputError, match="only one campaign"):
        campaign.run(nested(), work.square, path, workers=0)
    assert campaign.load(path).column("square").tolist() == [0]


def test_the_lock_of_a_dead_process_is_no_obstacle(tmp_path):
    path = tmp_path / "c.h5"
    (tmp_path / "c.h5.lock").write_text("1")
    campaign.run(work.items(3), work.square, path, workers=0)
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """A campaign that was killed, so that several segments lie beside its file."""
    path = tmp_path / "c.h5"

    def dying():
        commit_every_item(monkeypatch)
        yield from work.items(5)
        os.kill(os.getpid(), signal.SIGKILL)

    status = forked(lambda: campaign.run(dying(), work.square, path, workers=0))
    assert status == -signal.SIGKILL
    assert len(segments_of(path)) == 5
    return path, work.items(9)


@pytest.mark.parametrize("tenths", range(10))
def test_a_truncated_segment_is_noticed_and_its_items_done_again(killed, tenths):
    path, items = killed
    broken = segments_of(path)[-1].path
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) * tenths // 10])
    with pytest.raises(StoreError, match="it is damaged"):
        campaign.load(path)
    done = campaign.run(items, work.square, path, workers=0, resume=True)
    assert [p.name for p in done.damaged] == [broken.name + ".damaged"]
    assert done.already == 4
    assert campaign.load(path).column("square").tolist() == SQUARES[:9]


def test_a_changed_byte_in_a_segment_is_noticed(killed):
    path, items = killed
    broken = segments_of(path)[0].path
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    with pytest.raises(StoreError, match="it is damaged"):
        campaign.load(path)
    assert len(campaign.run(items, work.square, path, workers=0, resume=True).damaged) == 1
    assert campaign.load(path).column("square").tolist() == SQUARES[:9]


@pytest.mark.parametrize("tenths", range(10))
def test_a_truncated_campaign_file_is_refused_and_left_alone(tmp_path, tenths):
    path = tmp_path / "c.h5"
    campaign.run(work.items(20), work.square, path, workers=0)
    data = path.read_bytes()
    cut = data[: len(data) * tenths // 10]
    path.write_bytes(cut)
    for act in (
        lambda: campaign.load(path),
        lambda: campaign.run(work.items(20), work.square, path, workers=0, resume=True),
    ):
        with pytest.raises(StoreError, match="readable HDF5 file"):
            act()
    assert path.read_bytes() == cut


@pytest.mark.parametrize("count", [20, 1500])
def test_a_full_disk_stops_the_campaign_and_loses_nothing(tmp_path, monkeypatch, count):
    """Files may grow to a limit: commits or the merge fail, and with more room it goes on."""
    monkeypatch.setattr(journal, "FAN", 4)
    path = tmp_path / "c.h5"
    finished_before = 0
    stopped = 0
    for limit in (0, 1_000, 10_000, 20_000, 40_000, 80_000):

        def limited(limit=limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                campaign.run(work.items(count), work.square, path, workers=0, resume=True)
            except StoreError as error:
                if "must be written" not in str(error) or "resume" not in str(error):
                    raise
                os._exit(7)

        status = forked(limited)
        assert status in (0, 7)
        stopped += status == 7
        if path.exists():
            now = len(finished(path))
            assert now >= finished_before
            finished_before = now
    assert stopped >= 3
    done = campaign.run(work.items(count), work.square, path, workers=0, resume=True)
    assert done.already == finished_before
    assert not done.damaged
    assert campaign.load(path).column("square").tolist() == [n * n for n in range(count)]
    assert {p.name for p in tmp_path.iterdir()} == {"c.h5"}


def test_a_folder_without_permission_is_reported(tmp_path, monkeypatch):
    """Root may write everywhere, so the refusal of the system is made by hand."""

    def refuse(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match="folder that can be written"):
        campaign.run(work.items(1), work.square, tmp_path / "c.h5", workers=0)


def test_an_item_that_kills_its_worker_fails_alone(tmp_path):
    path = tmp_path / "c.h5"
    items = [campaign.Item({"how": how}) for how in ("a", "b", "killed", "c", "d", "e")]
    done = campaign.run(items, work.misbehaves, path, workers=2)
    assert (done.finished, done.failed) == (5, 1)
    assert (done.lost, done.again) == (2, 1)
    failure = campaign.load(path).failures[items[2].key]
    assert failure.error == "WorkerDied"
    assert "signal 9" in failure.text


def test_a_worker_that_dies_once_costs_nothing(tmp_path):
    path = tmp_path / "c.h5"
    items = [{"file": str(tmp_path / f"once{n}")} for n in range(3)]
    page = tmp_path / "c.html"
    done = campaign.run(items, work.dies_once, path, workers=2, page=page)
    assert (done.finished, done.failed, done.lost, done.again) == (3, 0, 3, 3)
    assert figures_of(page)["begun again after a lost worker"] == "3"
    assert figures_of(page)["workers lost"] == "3"


def test_a_program_without_the_usual_guard_is_told_so(tmp_path):
    script = tmp_path / "bare.py"
    script.write_text(
        "from tests import campaign_work as work\nfrom xbarspice import campaign\n"
        f"campaign.run(work.items(3), work.square, {str(tmp_path / 'c.h5')!r}, workers=2)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert 'if __name__ == "__main__"' in done.stderr.splitlines()[-1]


def test_a_generator_that_fails_leaves_what_was_done(tmp_path):
    path = tmp_path / "c.h5"

    def broken():
        yield from work.items(5, seconds=0.05)
        time.sleep(1.0)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        campaign.run(broken(), work.square, path, workers=1)
    campaign.run(work.items(5, seconds=0.05), work.square, path, workers=0, resume=True)
    assert campaign.load(path).column("square").tolist() == SQUARES[:5]


def test_ngspice_killed_during_an_item_fails_that_item_only(tmp_path, monkeypatch):
    """The engine's error is the item's reason; the others have ngspice's numbers."""
    import xbarspice as xb
    from tests.helpers import asymmetric_crossbar

    crossbar, _ = asymmetric_crossbar()
    real = subprocess.run(["which", "ngspice"], capture_output=True, text=True, check=True)
    killer = tmp_path / "ngspice"
    killer.write_text(
        '#!/bin/sh\ncase "$*" in *deck.cir*) grep -qF "0.7712345" deck.cir && kill -9 $$;; esac\n'
        f'exec {real.stdout.strip()} "$@"\n'
    )
    killer.chmod(0o755)
    settings = {"executable": str(killer)}
    items = [
        campaign.Item(
            {
                "crossbar": crossbar,
                "V_in": [v, 0.1],
                "engine": "ngspice",
                "engine_settings": settings,
            }
        )
        for v in (0.2, 0.7712345, 0.3)  # no random probe holds these digits
    ]
    done = campaign.run(items, campaign.solve_item, tmp_path / "c.h5", workers=1)
    results = campaign.load(tmp_path / "c.h5")
    assert (done.finished, done.failed) == (2, 1), results.failures
    assert "signal 9" in results.failures[items[1].key].text
    want = xb.solve(crossbar, [0.2, 0.1], engine="nodal").I_out
    assert np.allclose(results[items[0]]["I_out"], want, rtol=1e-10, atol=0)


def test_an_unreachable_scheduler_is_reported(tmp_path, monkeypatch):
    from xbarspice.campaign import cluster

    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    with pytest.raises(EngineError, match="scheduler must answer"):
        campaign.run(work.items(1), work.square, tmp_path / "c.h5", scheduler="tcp://127.0.0.1:1")
