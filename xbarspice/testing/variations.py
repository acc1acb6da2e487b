"""The kit for variations: seeded, pure, alike for arrays and tensors; absent devices stay."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from xbarspice.core.types import Array
from xbarspice.testing.rules import Rules, need
from xbarspice.variability import Compose, Variation, from_config, registry, to_config

__all__ = ["check_variation"]


def check_variation(
    variation: Variation,
    *,
    shape: tuple[int, int] = (24, 24),
    low: float = 50e-6,
    high: float = 500e-6,
    random: bool = True,
) -> list[str]:
    """Hold a variation to the rules of `xbarspice.variability.Variation`.

    Args:
        variation: the variation, or a composition of several.
        shape: rows and columns of the arrays that it is tried on.
        low, high: range of their conductances, S.
        random: whether it draws anything; rounding, for example, does not.

    Returns:
        The rules that held.

    Raises:
        AssertionError: a rule broke; the text names it.
    """
    rules = Rules(f"variation {variation.name!r}")
    G = np.linspace(low, high, 3 * shape[0] * shape[1]).reshape(3, *shape)
    G[0, 0, 0] = G[1, -1, -1] = 0.0
    for kind in ("NumPy array", "torch tensor"):
        _check_draws(rules, variation, G, kind, random=random)
    _check_kinds(rules, variation, G)
    _check_records(rules, variation)
    return rules.held


def _global_state() -> bytes:
    """State of the generators that nothing may draw from."""
    import torch

    return pickle.dumps((np.random.get_state(), torch.get_rng_state().tolist()))  # noqa: NPY002


def _draw(variation: Variation, G: Array, kind: str, seed: int) -> Array:
    if kind == "NumPy array":
        return variation.apply(G, np.random.default_rng(seed))
    import torch

    return variation.apply(torch.as_tensor(G), torch.Generator().manual_seed(seed)).numpy()


def _check_draws(rules: Rules, variation: Variation, G: Array, kind: str, *, random: bool) -> None:
    before, state = G.copy(), _global_state()
    first, second, third = (_draw(variation, G, kind, seed) for seed in (1, 1, 2))
    with rules.rule(f"{kind}: its argument and global random state are not changed"):
        assert_array_equal(G, before)
        need(_global_state() == state, "numpy.random or torch drew from its global generator")
    with rules.rule(f"{kind}: equal seeds give equal conductances"):
        assert_array_equal(first, second)
    if random:
        with rules.rule(f"{kind}: other seeds give other conductances"):
            need(not np.array_equal(first, third), "seeds 1 and 2 give the same")
        with rules.rule(f"{kind}: the members of a batch are drawn independently"):
            equal = np.broadcast_to(G[2], G.shape).copy()
            a, b, _ = _draw(variation, equal, kind, 1)
            need(not np.array_equal(a, b), "two equal arrays of a batch got the same draw")
    with rules.rule(f"{kind}: the shape is kept"):
        need(first.shape == G.shape, f"{first.shape} instead of {G.shape}")
    with rules.rule(f"{kind}: absent devices (G = 0) stay absent"):
        need(np.all(first[G == 0] == 0), "an absent device conducts")
    with rules.rule(f"{kind}: no conductance is negative, infinite or NaN"):
        need(np.all(np.isfinite(first) & (first >= 0)), f"the least is {np.min(first):g} S")


def _check_kinds(rules: Rules, variation: Variation, G: Array) -> None:
    import torch

    with rules.rule("a tensor with a NumPy generator gives the numbers of the array"):
        a, b = (variation.apply(x, np.random.default_rng(5)) for x in (G, torch.as_tensor(G)))
        need(isinstance(a, np.ndarray) and isinstance(b, torch.Tensor), "the kind changed")
        assert_allclose(b.numpy(), a, rtol=1e-12)
    with rules.rule("the number type of a tensor is kept"):
        single = torch.as_tensor(G, dtype=torch.float32)
        out = variation.apply(single, torch.Generator().manual_seed(1))
        need(out.dtype == torch.float32, f"float32 became {out.dtype}")
    with rules.rule("gradients pass through, and are finite"):
        leaf = torch.as_tensor(G).requires_grad_()
        total: Any = variation.apply(leaf, torch.Generator().manual_seed(1)).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
        need(bool(torch.isfinite(gradient).all()), "a gradient is NaN or infinite")


def _check_records(rules: Rules, variation: Variation) -> None:
    with rules.rule("it can be pickled and compared"):
        need(pickle.loads(pickle.dumps(variation)) == variation, "the copy is another one")  # noqa: S301 - its own bytes
    parts = variation.parts if isinstance(variation, Compose) else (variation,)
    if not all(part.name in registry for part in parts):
        return
    with rules.rule("from_config(to_config(it)) is the same variation"):
        rebuilt = from_config(to_config(variation))
        need(rebuilt == Compose(parts), f"it came back as {rebuilt}")
