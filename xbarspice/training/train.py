"""Training of plain networks in PyTorch; the result is a `Perceptron` of NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from xbarspice.config import TrainConfig
from xbarspice.core.seeds import child_seed
from xbarspice.importers.perceptron import Perceptron, from_state_dict
from xbarspice.mapping import activations
from xbarspice.training.data import Split

__all__ = ["Trained", "train_perceptron"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network and its accuracies (0..1) on the three parts of the data."""

    network: Perceptron
    epochs: int
    accuracy_train: float
    accuracy_validation: float
    accuracy_test: float


def build(sizes: tuple[int, ...], activation: str, generator: torch.Generator) -> torch.nn.Module:
    """A multi-layer perceptron with Xavier-uniform weights and biases of 0.01."""
    layers: list[torch.nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        linear = torch.nn.Linear(n_in, n_out, dtype=torch.float64)
        torch.nn.init.xavier_uniform_(linear.weight, generator=generator)
        torch.nn.init.constant_(linear.bias, 0.01)
        layers += [linear, activations.get(activation).module()]
    return torch.nn.Sequential(*layers[:-1])


def train_perceptron(
    split: Split,
    config: TrainConfig,
    *,
    seed: int,
    progress: Callable[[int, int], None] = lambda count, total: None,
) -> Trained:
    """Train a network on a split; the weights of the best validation loss are kept.

    Args:
        split: the data.
        config: sizes, optimiser and stopping rule.
        seed: seed of the initial weights and of the batches.
        progress: called with (epochs done, epochs in all).
    """
    classes = int(split.y_train.max()) + 1
    outputs = 1 if classes == 2 else classes
    sizes = (split.x_train.shape[1], *config.hidden, outputs)
    generator = torch.Generator().manual_seed(child_seed(seed, "train"))
    model = build(sizes, config.activation, generator)
    x, y = _tensors(split.x_train, split.y_train, outputs)
    x_val, y_val = _tensors(split.x_validation, split.y_validation, outputs)
    loss_of = torch.nn.BCEWithLogitsLoss() if outputs == 1 else torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    best, best_state, since, epoch = np.inf, model.state_dict(), 0, 0
    for epoch in range(1, config.epochs + 1):
        order = torch.randperm(len(x), generator=generator)
        for part in order.split(config.batch):
            optimiser.zero_grad()
            loss_of(model(x[part]), y[part]).backward()
            optimiser.step()
        with torch.no_grad():
            loss = loss_of(model(x_val), y_val).item()
        since += 1
        if loss < best:
            best, since = loss, 0
            best_state = {k: v.clone() for k, v in model.state_dict().items()}
        progress(epoch, config.epochs)
        if since >= config.patience:
            break
    network = from_state_dict(best_state, config.activation)

    def accuracy(points: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean(network.predict(network.forward(points)[-1]) == labels))

    return Trained(
        network=network,
        epochs=epoch,
        accuracy_train=accuracy(split.x_train, split.y_train),
        accuracy_validation=accuracy(split.x_validation, split.y_validation),
        accuracy_test=accuracy(split.x_test, split.y_test),
    )


def _tensors(x: np.ndarray, y: np.ndarray, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.as_tensor(y)
    return torch.as_tensor(x), labels.double()[:, None] if outputs == 1 else labels
