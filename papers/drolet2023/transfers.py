"""The transfer study with a tester: one network programmed thousands of times, by a procedure.

A transfer draws the errors of one programming of the arrays; inference then classifies every test
point. The figure of merit is that of Drolet et al. 2023 (arXiv:2305.18495): the share of the test
points that are classified right in at least 95 % of the transfers. A nearly linear boundary scores
high on it by being always right or always wrong, so the noise-free accuracy stands beside it.

Transfers are drawn in chunks of `CHUNK`, and every effect of every chunk has a generator of its
own: a study of fewer transfers is the beginning of a longer one, leaving an effect out leaves the
draws of the others as they were, and an interrupted study goes on where it stopped.

`xbarspice.transfer` does this for any model, without a tester's procedure; here all transfers of a
chunk are one batch of arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from papers.drolet2023 import batched
from papers.drolet2023.batched import Batch
from papers.drolet2023.chain import Chain
from papers.drolet2023.remedies import Procedure, Tester, program
from xbarspice.core import hdf5
from xbarspice.core.errors import broken_rule
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Flags, Indices
from xbarspice.core.values import labels_of
from xbarspice.engines import Engine
from xbarspice.surrogate.trust import warn_outside
from xbarspice.variability import Variation

__all__ = ["CHUNK", "Interval", "TransferStudy", "fingerprint", "metric", "transfer"]


CHUNK = 100
"""Transfers that are drawn, solved and stored together."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def metric(right: Flags, threshold: float = 0.95) -> float:
    """Share of points that are right in at least `threshold` of the transfers.

    Args:
        right: (transfers, points).
        threshold: 0..1.
    """
    return float(np.mean(right.sum(axis=0) >= threshold * len(right) - 1e-9))


@dataclass(frozen=True, kw_only=True, eq=False)
class TransferStudy:
    """What a transfer study found.

    Attributes:
        engine: name of the engine.
        labels: classes of the points, (points,).
        logits: (transfers, points, outputs).
        clean: logits without any transfer error through the same engine, (points, outputs).
    """

    engine: str
    labels: Indices
    logits: Array = field(repr=False)
    clean: Array = field(repr=False)

    @property
    def predictions(self) -> Indices:
        """Classes, (transfers, points)."""
        return _classes(self.logits)

    @property
    def right(self) -> Flags:
        """Whether each point was classified right in each transfer, (transfers, points)."""
        return self.predictions == self.labels

    @property
    def by_point(self) -> Array:
        """Share of the transfers in which each point is right, (points,)."""
        return self.right.mean(axis=0)

    @property
    def by_transfer(self) -> Array:
        """Accuracy of each transfer, (transfers,)."""
        return self.right.mean(axis=1)

    @property
    def noise_free(self) -> float:
        """Accuracy without transfer errors."""
        return float(np.mean(_classes(self.clean) == self.labels))

    def metric(self, threshold: float = 0.95) -> float:
        """Share of points that are right in at least `threshold` of the transfers."""
        return metric(self.right, threshold)

    def interval(
        self, threshold: float = 0.95, *, samples: int = 1000, points: bool = True, seed: int = 0
    ) -> Interval:
        """The metric with a percentile bootstrap over transfers and, with `points`, test points.

        Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
        """
        rng = np.random.default_rng(seed)
        T, P = self.right.shape
        weights = rng.multinomial(T, np.full(T, 1 / T), size=samples).astype(np.float32)
        good = weights @ self.right.astype(np.float32) >= threshold * T - 1e-3
        weights = rng.multinomial(P, np.full(P, 1 / P), size=samples) if points else np.ones((1, P))
        values = (good * weights).sum(axis=1) / P
        low, high = np.quantile(values, [0.025, 0.975])
        return Interval(value=self.metric(threshold), low=float(low), high=float(high))

    def summary(self) -> dict[str, Any]:
        """The figures of the study as plain numbers (shares 0..1)."""
        interval, accuracies = self.interval(), self.by_transfer
        return {
            "engine": self.engine,
            "transfers": len(self.logits),
            "points": len(self.labels),
            "metric": interval.value,
            "metric_low": interval.low,
            "metric_high": interval.high,
            "noise_free": self.noise_free,
            "mean": float(accuracies.mean()),
            "low_5_percent": float(np.quantile(accuracies, 0.05)),
            "worst": float(accuracies.min()),
        }


def _classes(logits: Array) -> Indices:
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(np.intp)
    return np.argmax(logits, axis=-1)


def transfer(
    chain: Chain,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    variation: Variation,
    transfers: int = 2000,
    seed: int = 0,
    engine: str | Engine = "ideal",
    read: Variation | None = None,
    procedure: Procedure = Procedure(),  # noqa: B008 - frozen
    calibration: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    path: Path | None = None,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> TransferStudy:
    """Transfer a model many times and classify every point each time.

    Args:
        chain: the model on its arrays.
        x, y: test points, (points, inputs), and their classes, (points,).
        variation: the transfer errors; with a procedure of several passes, they are drawn anew
            for what is written anew.
        transfers: how many.
        seed: seed of all errors; equal seeds give equal errors for every engine and network.
        engine: "ideal", "matrix" or an engine; see `batched.logits`.
        read: noise of every read.
        procedure: how the tester programs; the default writes every device once.
        calibration: points and classes that the tester may use (never test points); needed by
            procedures that look at answers.
        path: HDF5 file that is written chunk by chunk; an unfinished study in it is continued.
        progress: called with (transfers done, transfers in all).

    Raises:
        InputError: arguments do not fit; `path` holds another study; a procedure lacks its
            calibration points.
        EngineError, StoreError: as the engine and the store.

    Warns:
        TrustWarning: "ideal" or "matrix" where the trust map does not vouch for it.
    """
    if transfers < 1:
        raise broken_rule("`transfers` must be >= 1", transfers, "2000 is usual.")
    points = chain.points(x)
    labels = labels_of("y", y, len(points))
    name = engine if isinstance(engine, str) else engine.name
    level = {"matrix": "linear"}.get(name, name)  # anything else is exact and says nothing
    warn_outside(level, [a.crossbar for a in chain.arrays], chain.config.V_read)
    tester = Tester.of(chain, procedure, calibration, circuit=name != "ideal")
    key = fingerprint(chain, points, labels, variation, seed, name, read, procedure, calibration)
    logits = _read(path, key)
    for start in range(len(logits), transfers, CHUNK):
        batch = program(tester, variation, count=CHUNK, seed=seed, chunk=start // CHUNK)
        batch = batch.part(0, min(CHUNK, transfers - start))
        rng = child_rng(seed, f"read {start // CHUNK}") if read is not None else None
        new = batched.logits(chain, points, batch, engine, read=read, rng=rng)
        logits = np.concatenate([logits, new]) if len(logits) else new
        if path is not None and batch.transfers == CHUNK:
            _write(path, key, logits, labels, name)
        progress(len(logits), transfers)
    logits = logits[:transfers]
    clean = batched.logits(chain, points, Batch(G=tuple(G[None] for G in chain.wanted)), engine)
    study = TransferStudy(engine=name, labels=labels, logits=logits, clean=clean[0])
    if path is not None:
        _write(path, key, logits, labels, name)
    return study


def fingerprint(chain: Chain, *things: Any) -> str:
    """Equal for equal studies, whatever the number of transfers."""
    digest = hashlib.sha256()
    for array in chain.arrays:
        digest.update(np.ascontiguousarray(array.crossbar.G).tobytes())
    for stage in chain.stages:
        told = (stage.sum_scale, stage.volts_per_unit, stage.V_bias, stage.digital.tolist())
        configs = [part.tile.config for part in stage.passes]
        digest.update(f"{told} {configs} {stage.after}".encode())
    for thing in things:
        parts = thing if isinstance(thing, tuple) else (thing,)
        for part in parts:
            is_array = isinstance(part, np.ndarray)
            digest.update(np.ascontiguousarray(part).tobytes() if is_array else repr(part).encode())
    return digest.hexdigest()


def _read(path: Path | None, key: str) -> Array:
    """Logits of the transfers that an earlier run finished."""
    if path is None or not path.exists():
        return np.empty((0, 0, 0))
    tree = hdf5.read_tree(path, "transfer study")
    if tree["fingerprint"] != key:
        raise broken_rule(
            f"`{path.name}` must be new or hold an unfinished run of this very study",
            "a study with other settings, weights or points",
            "Choose another file, or remove it.",
        )
    return tree["logits"]


def _write(path: Path, key: str, logits: Array, labels: Indices, engine: str) -> None:
    right = _classes(logits) == labels
    tree = {
        "fingerprint": key,
        "engine": engine,
        "logits": logits,
        "labels": labels,
        "right": right,
        "accuracy": right.mean(axis=1),
    }
    hdf5.write_tree(path, tree, "transfer study")
