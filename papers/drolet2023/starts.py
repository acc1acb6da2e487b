"""Small networks that ours begins with: three steep neurons, trained without errors."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from xbarspice.core.seeds import child_rng
from xbarspice.importers.perceptron import Perceptron
from xbarspice.training.data import Split

__all__ = ["replicate", "small_networks", "steep"]


def replicate(network: Perceptron, hidden: int) -> Perceptron:
    """The same function on more hidden neurons: every neuron several times, the largest first."""
    order = np.argsort(-np.abs(network.W[1]).max(axis=1), kind="stable")
    neurons = order[np.arange(hidden) % len(order)]
    copies = np.bincount(neurons, minlength=len(order))[neurons]
    return Perceptron(
        W=(network.W[0][:, neurons], network.W[1][neurons] / copies[:, None]),
        b=(network.b[0][neurons], network.b[1]),
        activation=network.activation,
    )


def small_networks(split: Split, count: int, seed: int, steps: int = 1500) -> list[Perceptron]:
    """The most accurate of four times as many 2-3-1 networks trained without errors.

    Args:
        split: trained and judged on training and validation points.
        count: networks that are returned, the most accurate first.
        seed: of their random weights.
        steps: full-batch steps of Adam at 0.1, falling to a tenth.
    """
    x = torch.as_tensor(np.concatenate([split.x_train, split.x_validation])).float()
    y = torch.as_tensor(np.concatenate([split.y_train, split.y_validation])).float()
    begun = [steep(seed, k) for k in range(4 * count)]
    leaves = [
        torch.stack([torch.as_tensor(np.array(of(net))).float() for net in begun]).requires_grad_()
        for of in (lambda n: n.W[0], lambda n: n.b[0], lambda n: n.W[1], lambda n: n.b[1])
    ]
    optimiser = torch.optim.Adam(leaves, lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=0.01)
    targets = y.expand(len(begun), -1)
    for _ in range(steps):
        optimiser.zero_grad()
        binary_cross_entropy_with_logits(_logits(leaves, x), targets).mul(len(begun)).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        accuracy = ((_logits(leaves, x) > 0) == (targets > 0.5)).float().mean(dim=1).numpy()
    W0, b0, W1, b1 = (leaf.detach().double().numpy() for leaf in leaves)
    return [
        Perceptron(W=(W0[k], W1[k]), b=(b0[k], b1[k]), activation="sigmoid")
        for k in np.argsort(-accuracy, kind="stable")[:count]
    ]


def _logits(leaves: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Logits of all networks, (networks, points)."""
    W0, b0, W1, b1 = leaves
    hidden = torch.sigmoid(torch.einsum("pi,nih->nph", x, W0) + b0[:, None])
    return torch.einsum("nph,nho->np", hidden, W1) + b1


def steep(seed: int, start: int, hidden: int = 3) -> Perceptron:
    """A random network of steep sigmoids through the unit square: it sees more than a line."""
    rng = child_rng(seed, f"start {start}")
    W = rng.normal(size=(2, hidden))
    W *= 10 / np.linalg.norm(W, axis=0)
    through = rng.uniform(0.2, 0.8, (2, hidden))
    return Perceptron(
        W=(W, 5 * rng.normal(size=(hidden, 1))),
        b=(-(W * through).sum(axis=0), np.zeros(1)),
        activation="sigmoid",
    )
