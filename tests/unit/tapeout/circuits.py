"""What the tests of tapeouts share: small models, the command, its manifest."""

from __future__ import annotations

import json

import torch
from torch import nn

import xbarspice as xb


def perceptron(seed=0):
    """Three inputs, four hidden, three classes, in double precision."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double().eval()


def points(count=6):
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def circuit_of(model=None, x=None, **config):
    x = points() if x is None else x
    config = {"tile_rows": 8, "tile_cols": 8, "R_wl": 1.0, "R_bl": 1.0} | config
    return xb.nn.convert(
        perceptron() if model is None else model, xb.ArrayConfig(**config), calibrate=x
    )


def command(base):
    return [
        "tapeout",
        base / "net.npz",
        "--inputs",
        base / "x.npz",
        "--dialect",
        "cdl",
        "--dialect",
        "spectre",
        "--set",
        "mapping.tile_rows=8",
        "--set",
        "mapping.tile_cols=8",
        "--set",
        "array.device=sinh_tio2",
    ]


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())
