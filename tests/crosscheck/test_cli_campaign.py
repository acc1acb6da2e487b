"""`xbarspice campaign`, as a person calls it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np

from xbarspice import mapping, store
from xbarspice.studies import campaign
from xbarspice.studies.inference import infer


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "xbarspice", "campaign", *map(str, arguments)],
        capture_output=True, text=True, timeout=240, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip


def test_a_sweep_of_transfers_in_ngspice_and_its_resumption(tmp_path, network):
    file, out, points = tmp_path / "m.h5", tmp_path / "c.h5", tmp_path / "p.npz"
    mapped = mapping.map_network(network)
    store.save_mapped(file, mapped)
    x, y = np.array([[0.3, 0.8], [0.9, 0.1], [0.2, 0.2]]), np.array([0, 1, 1])
    np.savez(points, x=x, y=y)
    usual = (file, "--out", out, "--inputs", points, "--sweep", "R_wl=0,2", "--json")
    done = call(*usual)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["items"], record["finished"], record["failed"]) == (2, 2, 0)
    results = campaign.load(out)
    for key, R_wl in zip(results, (0.0, 2.0), strict=True):
        assert results.settings(key) == {"engine": "ngspice", "transfer": None, "R_wl": R_wl}
        arrays = tuple(a.replace(R_wl=R_wl) for a in mapped.arrays)
        want = infer(dataclasses.replace(mapped, arrays=arrays), x, "nodal")
        assert np.allclose(results[key]["logits"], want.sums[-1], rtol=0, atol=1e-9)
        assert results[key]["accuracy"] == np.mean(want.predictions == y)
    refused = call(*usual)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    more = call(*usual, "--resume", "--transfers", 3)
    assert more.returncode == 0, more.stderr
    record = json.loads(more.stdout)
    assert (record["items"], record["already"], record["finished"]) == (6, 0, 6)
    assert len(campaign.load(out)) == 8
    again = json.loads(call(*usual, "--resume", "--transfers", 4).stdout)
    assert (again["items"], again["already"], again["finished"]) == (8, 6, 8)


def test_a_wrong_sweep_is_refused(tmp_path, network):
    file = tmp_path / "m.h5"
    store.save_mapped(file, mapping.map_network(network))
    done = call(file, "--out", tmp_path / "c.h5", "--sweep", "G=1,2")
    assert done.returncode == 2
    assert "R_wl=0,1,2" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]
