"""An independent field solution of drawn metal: finite volumes on one grid of lines for all layers.

Every layer is a sheet of cells, cuts join the cells above each other, evenly over their area. It
shares nothing with the extraction: no nets, no straight pieces, no triangles, no electrodes but the
pin of the pad.
"""

from __future__ import annotations

import itertools

import klayout.db as kdb
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

FIRST, GROWTH, LARGEST = 0.01, 1.35, 3.0
"""Cells beside every edge, um, how they grow away from it, and the largest."""


class Sheets:
    """All metal of a cell, cut into cells."""

    def __init__(self, cell, technology):
        self.dbu, self.technology = cell.layout().dbu, technology
        layout = cell.layout()

        def region(layer):
            number = layout.find_layer(*layer)
            return (
                kdb.Region()
                if number is None
                else kdb.Region(cell.begin_shapes_rec(number)).merged()
            )

        self.metals = [region(m.layer) for m in technology.metal]
        self.vias = [region(v.layer) for v in technology.via]
        self.pins = [region(m.pin) for m in technology.metal]
        device = region(technology.device.layer)
        shapes = [*self.metals, *self.vias, *self.pins, device]
        corners = [(p.x, p.y) for r in shapes for q in r.each() for p in q.each_point_hull()]
        self.x, self.y = (_lines(sorted({c[k] for c in corners}), self.dbu) for k in (0, 1))
        self.dx, self.dy = np.diff(self.x), np.diff(self.y)
        self.inside = [self.covered(r) for r in self.metals]
        self.number = -np.ones((len(self.metals), len(self.dx), len(self.dy)), dtype=np.int64)
        flags = np.stack(self.inside)
        self.number[flags] = np.arange(flags.sum())
        self.G = self._conductances()

    def covered(self, region):
        """Which cells lie in a region of boxes."""
        out = np.zeros((len(self.dx), len(self.dy)), dtype=bool)
        mx, my = (self.x[1:] + self.x[:-1]) / 2, (self.y[1:] + self.y[:-1]) / 2
        for box in region.decompose_trapezoids_to_region().each():
            b = box.bbox()
            i = slice(*np.searchsorted(mx, [b.left * self.dbu, b.right * self.dbu]))
            j = slice(*np.searchsorted(my, [b.bottom * self.dbu, b.top * self.dbu]))
            out[i, j] = True
        return out

    def _conductances(self):
        sheet, via_R = self.technology.at("typ").sheet, self.technology.at("typ").via
        i, j, g = [], [], []

        def join(a, b, value):
            meets = (a >= 0) & (b >= 0)
            i.append(a[meets])
            j.append(b[meets])
            g.append(np.broadcast_to(value, a.shape)[meets])

        for m, metal in enumerate(self.technology.metal):
            n, R = self.number[m], sheet[metal.name]
            join(n[:-1], n[1:], self.dy[None, :] / ((self.dx[1:] + self.dx[:-1]) / 2 * R)[:, None])
            join(
                n[:, :-1],
                n[:, 1:],
                self.dx[:, None] / ((self.dy[1:] + self.dy[:-1]) / 2 * R)[None, :],
            )
        names = [m.name for m in self.technology.metal]
        area = self.dx[:, None] * self.dy[None, :]
        for via, region in zip(self.technology.via, self.vias, strict=True):
            cut = self.covered(region)
            below, above = (self.number[names.index(k)] for k in (via.lower, via.upper))
            lower, upper = np.where(cut, below, -1), np.where(cut, above, -1)
            join(lower, upper, area / (via_R[via.name] * via.size**2))
        i, j, g = (np.concatenate(v) for v in (i, j, g))
        n = self.number.max() + 1
        return coo_array(
            (np.concatenate([g, g]), (np.concatenate([i, j]), np.concatenate([j, i]))), (n, n)
        ).tocsr()

    def potentials(self, pad, metal, tip):
        """Potentials of all cells of a metal with 1 A from a strip of it into a pad at 0 V.

        Args:
            pad: a point on the pad's pin, um; the pin is one electrode.
            metal: index of the metal.
            tip: (left, bottom, right, top) of the strip, um.
        """
        at = np.searchsorted(self.x, pad[0]) - 1, np.searchsorted(self.y, pad[1]) - 1
        layer = next(m for m, pin in enumerate(self.pins) if self.covered(pin)[at])
        spot = kdb.Region(
            kdb.Box(
                *(
                    round(v / self.dbu)
                    for v in (pad[0] - 0.01, pad[1] - 0.01, pad[0] + 0.01, pad[1] + 0.01)
                )
            )
        )
        pin = self.covered(self.pins[layer].interacting(spot))
        _, member = connected_components(self.G, directed=False)
        ground = np.zeros(len(member), dtype=bool)
        ground[self.number[layer][pin]] = True
        free = (member == member[np.flatnonzero(ground)[0]]) & ~ground
        strip = self.covered(kdb.Region(kdb.Box(*(round(v / self.dbu) for v in tip))))
        weight = np.where(strip & (self.number[metal] >= 0), self.dx[:, None] * self.dy[None, :], 0)
        current = np.zeros(len(member))
        np.add.at(current, self.number[metal][weight > 0], (weight / weight.sum())[weight > 0])
        total = np.asarray(self.G.sum(axis=1)).ravel()
        A = (coo_array((total[free], (np.arange(free.sum()),) * 2)) - self.G[free][:, free]).tocsc()
        V = np.full(len(member), np.nan)
        V[ground], V[free] = 0.0, spsolve(A, current[free])
        out = np.full(self.number[metal].shape, np.nan)
        out[self.number[metal] >= 0] = V[self.number[metal][self.number[metal] >= 0]]
        return out

    def mean(self, potentials, box):
        """Mean over a box, um."""
        cells = self.covered(kdb.Region(kdb.Box(*(round(v / self.dbu) for v in box))))
        weight = np.where(cells & np.isfinite(potentials), self.dx[:, None] * self.dy[None, :], 0)
        return float(np.nansum(potentials * weight) / weight.sum())


def _lines(marks, dbu):
    """Grid lines, um: close to every edge, wider apart between them."""
    out = [marks[0] * dbu]
    for a, b in itertools.pairwise(m * dbu for m in marks):
        steps, size = [0.0], FIRST
        while steps[-1] + size < (b - a) / 2 - dbu / 100:  # no cell without a width
            steps.append(steps[-1] + size)
            size = min(size * GROWTH, LARGEST)
        out += [a + s for s in steps[1:]] + [b - s for s in steps[:0:-1]] + [b]
    return np.array(out)
