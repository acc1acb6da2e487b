"""Campaigns: hashes, results that come back, resuming, failures, locks."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import xbarspice as xb
from tests import campaign_work as work
from tests.helpers import asymmetric_crossbar
from xbarspice import campaign
from xbarspice.campaign import journal, row_files
from xbarspice.campaign.items import function_name
from xbarspice.core.errors import InputError
from xbarspice.variability import drolet_2023


def test_equal_content_has_equal_hashes_and_other_content_another():
    crossbar, V = asymmetric_crossbar()
    again, _ = asymmetric_crossbar()
    base = campaign.content_hash({"c": crossbar, "V": V})
    assert base == campaign.content_hash({"V": np.array(V), "c": again})
    others = [
        {"c": crossbar.replace(R_wl=5.5), "V": V},
        {"c": crossbar.replace(device="sinh_tio2"), "V": V},
        {"c": crossbar.replace(R_wl=np.full((2, 2), 5.0)), "V": V},
        {"c": crossbar.replace(R_wl=[[5.0, 5.0], [5.0, 5.5]]), "V": V},
        {"c": crossbar.replace(G=crossbar.G * (1 + 1e-15)), "V": V},
        {"c": crossbar, "V": V.astype(np.float32)}, {"c": crossbar, "V": V[None]},
        {"c": crossbar, "V": V.tolist()}, {"c": crossbar, "V": V, "n": 1},
        {"c": crossbar, "V": V, "n": 1.0}, {"c": crossbar, "V": V, "n": True},
        {"c": crossbar, "V": V, "n": "1"}, {"c": crossbar, "V": V, "n": None},
    ]  # fmt: skip
    hashes = [campaign.content_hash(o) for o in others]
    assert len({base, *hashes}) == len(others) + 1


def test_the_hash_sees_values_not_memory_layout():
    a = np.arange(12.0).reshape(3, 4)
    assert campaign.content_hash(a) == campaign.content_hash(np.asfortranarray(a))
    assert campaign.content_hash(a) == campaign.content_hash(a.astype(">f8"))
    assert campaign.content_hash(a) != campaign.content_hash(a.T)


def test_what_cannot_be_hashed_is_refused():
    with pytest.raises(InputError, match=r"NodalEngine at item\.engine"):
        campaign.Item({"engine": xb.engines.get("nodal")})
    with pytest.raises(InputError, match="must be a dictionary"):
        campaign.Item([1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_kind_of_value_comes_back(tmp_path, workers):
    """Kinds, names and shapes survive, also when items differ in shape."""
    path = tmp_path / "c.h5"
    done = campaign.run([{"n": 2}, {"n": 3}, {"n": 2}], work.rich, path, workers=workers)
    assert (done.items, done.finished, done.failed, done.repeated) == (2, 2, 0, 1)
    results = campaign.load(path)
    for n, key in zip((2, 3), results, strict=True):
        assert key == campaign.Item({"n": n}).key
        got = results[key]
        assert got["shape"].tolist() == [1.0] * n
        assert (got["float"], got["int"], got["flag"], got["none"]) == (0.1, 7, True, None)
        assert [type(got[k]) for k in ("float", "int", "flag")] == [float, int, bool]
        assert got["word"] == "µS"
        assert math.isnan(got["nan"])
        assert got["empty"].shape == (0, 3)
        assert got["scalar"].shape == ()
        assert got["scalar"] == 2.5
        assert got["ints"].dtype == np.uint8
        assert got["complex"] == 1 + 2j
        assert got["flags"].tolist() == [True, False]
        assert got["list"].tolist() == [1.0, 2.0]
        assert np.array_equal(got["nested/deep/a"], np.eye(2))
        assert results.settings(key) == {"n": n}
    with pytest.raises(InputError, match="one shape"):
        results.column("shape")
    with pytest.raises(KeyError):
        results["0" * 64]


def test_results_are_in_the_order_of_the_items(tmp_path):
    path = tmp_path / "c.h5"
    campaign.run((i for i in work.items(40)), work.square, path, workers=2)
    results = campaign.load(path)
    assert results.column("square").tolist() == [n * n for n in range(40)]
    some = [campaign.Item(i) for i in work.items(40)[5:2:-1]]
    assert results.column("row", some).tolist() == [[0, n, 2 * n, 3 * n] for n in (5, 4, 3)]
    assert results.seconds().shape == (40,)


def test_the_file_stands_alone_and_is_plain_hdf5(tmp_path):
    """After a campaign there is one file, and h5py shows names and columns."""
    path = tmp_path / "c.h5"
    campaign.run(work.items(5), work.square, path, workers=0)
    assert list(tmp_path.iterdir()) == [path]
    with h5py.File(path) as file:
        assert file["tables/0/values/square"][...].tolist() == [0, 1, 4, 9, 16]
        assert file["tables/0/settings/n"][...].tolist() == [0, 1, 2, 3, 4]
        assert file.attrs["function"] == "tests.campaign_work:square"


def test_resume_does_only_what_is_missing(tmp_path):
    path, log = tmp_path / "c.h5", str(tmp_path / "log")
    campaign.run(work.items(4, log=log), work.square, path, workers=0)
    with pytest.raises(InputError, match="resume=True"):
        campaign.run(work.items(9, log=log), work.square, path, workers=0)
    calls = []
    done = campaign.run(
        work.items(9, log=log), work.square, path, workers=0, resume=True,
        progress=lambda *counts: calls.append(counts),
    )  # fmt: skip
    assert (done.items, done.already, done.finished) == (9, 4, 9)
    assert sorted(map(int, Path(log).read_text().split())) == list(range(9))
    assert calls[-1] == (9, 9)
    assert campaign.load(path).column("square").tolist() == [n * n for n in range(9)]


def test_a_file_belongs_to_one_function(tmp_path):
    path = tmp_path / "c.h5"
    one = functools.partial(work.square)
    campaign.run(work.items(2), one, path, workers=0)
    campaign.run(work.items(3), functools.partial(work.square), path, workers=0, resume=True)
    for other in (work.fussy, functools.partial(work.square, a=np.ones(2))):
        with pytest.raises(InputError, match="belongs to one function"):
            campaign.run(work.items(2), other, path, workers=0, resume=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_failed_items_are_recorded_with_their_reason_and_the_rest_go_on(tmp_path, workers):
    path = tmp_path / "c.h5"
    items = [campaign.Item(i) for i in work.items(10)]
    done = campaign.run(items, work.fussy, path, workers=workers)
    assert (done.finished, done.failed) == (6, 4)
    results = campaign.load(path)
    assert [k for k, item in enumerate(items) if item.key in results.failures] == [0, 3, 6, 9]
    failure = results.failures[items[3].key]
    assert failure.error == "ValueError"
    assert failure.text == "3 is a multiple of three \\0 \\udcff"
    with pytest.raises(InputError, match=r"failed \(ValueError: 0 is"):
        results.column("half", items)
    again = campaign.run(items, work.fussy, path, workers=0, resume=True)
    assert (again.finished, again.failed) == (6, 4)
    assert campaign.load(path).failures[items[3].key].attempts == 1


def test_failed_items_are_tried_again_on_request(tmp_path):
    path, file = tmp_path / "c.h5", tmp_path / "ready"
    items = [campaign.Item({"file": str(file)})]
    campaign.run(items, work.mends, path, workers=0)
    campaign.run(items, work.mends, path, workers=0, resume=True, retry_failed=True)
    assert campaign.load(path).failures[items[0].key].attempts == 2
    file.touch()
    done = campaign.run(items, work.mends, path, workers=0, resume=True, retry_failed=True)
    assert (done.finished, done.failed) == (1, 0)
    results = campaign.load(path)
    assert results[items[0]] == {"ok": True}
    assert not results.failures


def test_what_cannot_be_stored_fails_the_item_and_not_the_campaign(tmp_path):
    path = tmp_path / "c.h5"
    hows = ["list", "object", "slash", "big", "nul", "words", "lone", "key", "exits"]
    done = campaign.run([{"how": h} for h in [*hows, "well"]], work.misbehaves, path, workers=1)
    assert (done.finished, done.failed) == (1, len(hows))
    errors = {f.error for f in campaign.load(path).failures.values()}
    assert errors == {"TypeError", "ValueError", "UnicodeEncodeError", "SystemExit"}


def test_large_items_and_results_do_not_block_the_pipes(tmp_path):
    path = tmp_path / "c.h5"
    items = [{"data": np.full(200_000, float(n))} for n in range(8)]
    campaign.run(items, work.large, path, workers=2)
    assert campaign.load(path).column("twice")[:, 0].tolist() == [2.0 * n for n in range(8)]


def test_many_segments_are_merged_on_the_way_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FAN", 4)
    path = tmp_path / "c.h5"
    book = journal.Journal(path, "f", resume=False)
    for n in range(70):
        book.commit(
            [
                row_files.Row(
                    key=n.to_bytes(32, "big"), index=n, seconds=0.0, settings={}, values={"n": n}
                )
            ]
        )
        assert len(journal.segments_of(path)) < 4 * journal.FAN
        if n == 40:
            assert campaign.load(path).column("n").tolist() == list(range(41))
    total = n + 1
    assert campaign.load(path).column("n").tolist() == list(range(total))
    again = journal.Journal(path, "f", resume=True)
    assert len(again.finished) == total
    again.finish()
    assert list(tmp_path.iterdir()) == [path]
    assert campaign.load(path).column("n").tolist() == list(range(total))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"path": "c.hdf"}, "end in .h5"), ({"path": "no/where/c.h5"}, "existing folder"),
        ({"workers": -1}, "`workers`"), ({"workers": 2, "scheduler": "tcp://a:1"}, "`workers`"),
        ({"function": lambda parameters: {}}, "top level of a module"),
        ({"function": 3}, "top level of a module"),
    ],
)  # fmt: skip
def test_misuse_is_refused_before_any_work(tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    given = {"function": work.square, "path": "c.h5"} | arguments
    function, path = given.pop("function"), given.pop("path")
    with pytest.raises(InputError, match=text):
        campaign.run(work.items(1), function, path, **given)
    assert not any(tmp_path.iterdir())


def test_a_missing_campaign_cannot_be_loaded(tmp_path):
    with pytest.raises(InputError, match="must exist"):
        campaign.load(tmp_path / "c.h5")


@pytest.mark.parametrize("engine", ["nodal", "ngspice"])
def test_solve_item_gives_what_solve_gives(tmp_path, engine):
    crossbar, V = asymmetric_crossbar(device="sinh_tio2")
    items = [
        campaign.Item({"crossbar": crossbar, "V_in": k * V, "engine": engine, "full": True})
        for k in (1.0, 0.5)
    ]
    assert campaign.run(items, campaign.solve_item, tmp_path / "c.h5", workers=2).finished == 2
    results = campaign.load(tmp_path / "c.h5")
    for k, item in zip((1.0, 0.5), items, strict=True):
        want = xb.solve(crossbar, k * V, engine=engine, full=True)
        for name in ("I_out", "I_in", "V_wl", "V_bl", "I_device"):
            assert np.array_equal(results[item][name], getattr(want, name))


def test_a_circuit_item_gives_what_the_circuit_gives(tmp_path):
    """Transfers, engines, wires and points of a model in memory, in another process."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = torch.rand(5, 3, dtype=torch.float64), np.array([0, 1, 1, 0, 1])
    config = xb.ArrayConfig(variation=drolet_2023(), device="sinh_tio2")
    circuit = xb.nn.convert(model, config, calibrate=x).eval()
    packed = campaign.CircuitModel.of(circuit)
    function = functools.partial(campaign.circuit_item, model=packed, x=[x.numpy()], y=y)
    items = [
        campaign.Item({"engine": "nodal", "transfer": 3, "R_wl": 5.0}),
        campaign.Item({"engine": "surrogate", "transfer": None, "points": (1, 4)}),
    ]
    campaign.run(items, function, tmp_path / "c.h5", workers=1)
    results = campaign.load(tmp_path / "c.h5")
    with torch.no_grad():
        np.testing.assert_allclose(results[items[1]]["output0"], circuit(x[1:4]), rtol=1e-12)
        for layer in xb.nn.crossbar_layers(circuit).values():
            matrix = layer.matrices["weight"]
            matrix.config = dataclasses.replace(matrix.config, R_wl=5.0)
        xb.nn.program(circuit, 3)
        with xb.nn.through("nodal"):
            want = circuit(x)
    np.testing.assert_allclose(results[items[0]]["output0"], want, rtol=1e-12)
    decided = want.argmax(dim=1).numpy()
    assert np.array_equal(results[items[0]]["predictions"], decided)
    assert results[items[0]]["accuracy"] == np.mean(decided == y)
    xb.nn.program(circuit, None)
    assert campaign.CircuitModel.of(circuit) != packed  # its wires have changed
    one, two = (campaign.CircuitModel.of(packed.circuit()) for _ in range(2))
    assert one == two
    names = [
        function_name(functools.partial(campaign.circuit_item, model=m, x=[x.numpy()]))
        for m in (one, two, packed)
    ]
    assert names[0] == names[1] != names[2]


def test_a_circuit_item_knows_its_parameters():
    circuit = xb.nn.convert(nn.Sequential(nn.Linear(2, 2)), calibrate=torch.rand(3, 2))
    model = campaign.CircuitModel.of(circuit)
    with pytest.raises(InputError, match="must be among"):
        campaign.circuit_item({"engine": "nodal", "wires": 2}, model=model, x=np.ones((1, 2)))
