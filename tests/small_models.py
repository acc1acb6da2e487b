"""Small torch models as a user writes them, by name: factories for weights without code."""

from __future__ import annotations

import torch
from torch import nn


def convolutions() -> nn.Module:
    """Images (points, 1, 8, 8): a convolution with batch normalisation, a depthwise one, a head."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    model[1].running_var.uniform_(0.5, 2.0)
    return model.eval()


class Rows(nn.Module):
    """An LSTM over sequences (points, 6, 5), its last output read by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 7, batch_first=True)
        self.head = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def rows() -> nn.Module:
    torch.manual_seed(2)
    return Rows().eval()


class Branching(nn.Module):
    """A forward that depends on values, which no exported graph holds."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(5, 3)
        self.two = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) if float(x.sum()) > 0 else self.two(x)


def branching() -> nn.Module:
    torch.manual_seed(3)
    return Branching().eval()


def encoder() -> nn.Module:
    """A transformer encoder layer over (points, 6, 8) with a linear layer before it."""
    torch.manual_seed(4)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Linear(8, 8), layer).eval()
