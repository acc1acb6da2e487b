"""Small converted models for the tests of training."""

from __future__ import annotations

import torch
from torch import nn

import xbarspice as xb
from xbarspice.variability import Compose, RelativeNoise, StuckDevices

ERRORS = Compose([RelativeNoise(sigma=0.05), StuckDevices(rate_lrs=0.03, rate_hrs=0.02)])


def perceptron(seed: int = 0, *, outputs: int = 3, layout: str = "tiled", **options) -> nn.Module:
    """A 5-8-outputs network in float64 on arrays, in training mode."""
    torch.manual_seed(seed)
    plain = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, outputs)).double()
    sizes = {"tile_rows": 20, "tile_cols": 8} if layout == "folded" else {}
    settings = {"tile_rows": 4, "tile_cols": 6, "variation": ERRORS} | sizes | options
    config = xb.ArrayConfig(layout=layout, **settings)
    return xb.nn.convert(plain, config, calibrate=points(20)).train()


def points(count: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 5, dtype=torch.float64, generator=generator)


def gradients(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def three_classes(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (count, 2) in three clusters that touch, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (count,), generator=generator)
    centres = torch.tensor([[0.2, 0.2], [0.8, 0.3], [0.5, 0.8]], dtype=torch.float64)
    noise = torch.randn(count, 2, dtype=torch.float64, generator=generator)
    return (centres[y] + 0.1 * noise).clamp(0, 1), y
