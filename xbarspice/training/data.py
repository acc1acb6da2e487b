"""Data sets of the studies, split so that no test point is ever trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarspice.config import DataConfig
from xbarspice.core.errors import broken_rule, missing_package
from xbarspice.core.seeds import child_rng
from xbarspice.core.types import Array, Indices

__all__ = ["Split", "digits", "fresh_half_moons", "half_moons", "half_moons_posterior"]

ARC = 200
"""Points of each half circle that stand for its densities."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Points (n, features) and classes (n,) for training, validation and test."""

    x_train: Array
    y_train: Indices
    x_validation: Array
    y_validation: Indices
    x_test: Array
    y_test: Indices

    @classmethod
    def of_points(
        cls, x: Array, y: Indices, *, train: Indices, validation: Indices, test: Indices
    ) -> Split:
        """The split of points (points, features) and classes (points,) by their numbers."""
        return cls(
            x_train=x[train],
            y_train=y[train],
            x_validation=x[validation],
            y_validation=y[validation],
            x_test=x[test],
            y_test=y[test],
        )


def half_moons(config: DataConfig) -> Split:
    """The two interleaved half circles of scikit-learn, as used by arXiv:2305.18495.

    The 1000 distinct points are split without overlap (the released protocol draws test points
    that were also trained on). Min-max scaling to [0, 1] uses the training points alone, so a
    validation or test feature may lie a little outside.
    """
    x, y, (test, validation, train), low, high = _draw(config)
    x = (x - low) / (high - low)
    y = y.astype(np.intp)
    return Split.of_points(x, y, train=train, validation=validation, test=test)


def _scikit_learn() -> Any:
    """`sklearn.datasets`, loaded on first use."""
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    return datasets


def _draw(config: DataConfig) -> tuple[Any, Any, list[Any], Array, Array]:
    """Points, classes, their numbers (test, validation, training), range of training features."""
    moons: Any = _scikit_learn().make_moons(
        config.points, noise=config.noise, random_state=config.seed
    )
    x, y = moons
    order = child_rng(config.seed, "split").permutation(config.points)
    parts = np.split(order, [config.test, config.test + config.validation])
    train = x[parts[2]]
    return x, y, parts, train.min(axis=0), train.max(axis=0)


def fresh_half_moons(
    config: DataConfig, count: int, *, draw: int | None = None
) -> tuple[Array, Indices]:
    """Newly drawn points of the law behind `half_moons`, in the scaling of its training points.

    A share of 200 test points has a standard error of about 3 points of a percent; this tells what
    a network does on the law itself. The points are nobody's training, validation or test points.

    Args:
        config: the law, and the points whose scaling is used.
        count: points.
        draw: number of the draw; every number, and None, gives points of its own.

    Returns:
        Points (count, 2) and classes (count,).
    """
    *_, low, high = _draw(config)
    label = "fresh points" if draw is None else f"fresh points, draw {draw}"
    state = int(child_rng(config.seed, label).integers(2**31))
    new: Any = _scikit_learn().make_moons(count, noise=config.noise, random_state=state)
    return (new[0] - low) / (high - low), new[1].astype(np.intp)


def half_moons_posterior(config: DataConfig, x: Array) -> Array:
    """Probability of class 1 at points in the scaling of `half_moons`, by the law itself.

    The law is normal noise around points that are spread evenly over two half circles, with as many
    points of each class. Its larger class at every point is the best classifier there is.

    Args:
        config: the law, and the points whose scaling is used.
        x: points, (n, 2).

    Returns:
        (n,), 0..1.

    Raises:
        InputError: the law has no noise, and so no densities.
    """
    if config.noise == 0:
        raise broken_rule("`noise` must be > 0 for a law with densities", 0.0, "0.2 is usual.")
    *_, low, high = _draw(config)
    raw = low + x * (high - low)
    angle = np.linspace(0, np.pi, ARC)
    centres = (
        np.stack([np.cos(angle), np.sin(angle)], axis=-1),
        np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=-1),
    )
    density = [
        np.mean([np.exp(-np.sum((raw - c) ** 2, axis=1) / (2 * config.noise**2)) for c in arc], 0)
        for arc in centres
    ]
    total = np.maximum(density[0] + density[1], np.finfo(float).tiny)
    return density[1] / total


def digits(seed: int = 0) -> Split:
    """The 1797 handwritten digits of 8x8 pixels that scikit-learn ships, inputs in [0, 1].

    1197 training, 200 validation and 400 test points without overlap. Source: Alpaydin and Kaynak
    1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.

    Args:
        seed: of the split.
    """
    bunch: Any = _scikit_learn().load_digits()
    x, y = bunch.data / 16.0, bunch.target.astype(np.intp)
    order = child_rng(seed, "digits split").permutation(len(x))
    test, validation, train = np.split(order, [400, 600])
    return Split.of_points(x, y, train=train, validation=validation, test=test)
