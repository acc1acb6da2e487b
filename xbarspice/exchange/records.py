"""What an import gives: arrays in our convention, and how they relate to the file's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xbarspice.core.array import Crossbar
from xbarspice.core.errors import broken_rule
from xbarspice.core.types import Array, Indices
from xbarspice.core.values import array_of
from xbarspice.core.wires import WIRES, as_record

__all__ = ["ImportedArray", "ImportedFile", "WeightShare"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightShare:
    """The part of an array in the matrix product ``y = W x``, W of the shape (outputs, inputs).

    Attributes:
        matrix: name of the matrix in the file, "" where it has one.
        inputs: index of the input that drives each word line, (rows,); -1: held at 0 V.
        signs: its sign, 1 or -1, (rows,).
        outputs: index of the output that each bit line adds to, (cols,).
        siemens: conductance that stands for a weight of 1, S, (cols,); below 0 where the current is
            subtracted.
        G_zero: conductance that stands for a weight of 0 where no second device takes it away, S.
    """

    inputs: Indices
    signs: Array
    outputs: Indices
    siemens: Array
    G_zero: float = 0.0
    matrix: str = ""

    def voltages(self, x: npt.ArrayLike, V_read: float) -> Array:
        """Voltages of the word lines, V, (..., rows).

        Args:
            x: inputs, (..., inputs).
            V_read: voltage that stands for an input of 1, V.
        """
        driven = np.take(np.asarray(x, dtype=np.float64), self.inputs, axis=-1)
        return np.where(self.inputs >= 0, V_read * self.signs * driven, 0.0)

    def products(self, I_out: Array, V_in: Array, V_read: float) -> Array:
        """What the currents of the bit lines add to their outputs, (..., cols).

        Args:
            I_out: currents, A, (..., cols).
            V_in: voltages that they belong to, V, (..., rows).
            V_read: as in `voltages`, V.
        """
        offset = self.G_zero * V_in.sum(axis=-1, keepdims=True)
        return (I_out - offset) / (V_read * self.siemens)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImportedArray:
    """One array of a file.

    Attributes:
        name: of the array.
        crossbar: the array; shapes, units and signs as in `xbarspice.Crossbar`.
        V_in, V_out: voltages in the file, V, (vectors, rows) and (vectors, cols); None without any.
        I_out: currents in the file, A, (vectors, cols); None without any.
        word_lines, bit_lines: what the file calls the lines, from the top and from the left; empty
            where they have no names.
        share: what the array computes of a matrix product; None where it holds no matrix.
    """

    name: str
    crossbar: Crossbar
    V_in: Array | None = None
    V_out: Array | None = None
    I_out: Array | None = None
    word_lines: tuple[str, ...] = ()
    bit_lines: tuple[str, ...] = ()
    share: WeightShare | None = None

    def record(self) -> dict[str, Any]:
        """The array for JSON, without its conductances."""
        c = self.crossbar
        out: dict[str, Any] = {"name": self.name, "rows": c.rows, "cols": c.cols}
        out |= {f"{name}_ohm": as_record(getattr(c, name)) for name in WIRES}
        out |= {"G_least_S": float(c.G.min()), "G_most_S": float(c.G.max())}
        out |= {"devices": int((c.G > 0).sum())}
        out |= {"word_lines": list(self.word_lines), "bit_lines": list(self.bit_lines)}
        if self.share is not None:
            share = self.share
            out["weights"] = {
                "matrix": share.matrix,
                "inputs": share.inputs.tolist(),
                "signs": share.signs.tolist(),
                "outputs": share.outputs.tolist(),
                "siemens": share.siemens.tolist(),
                "G_zero_S": share.G_zero,
            }
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class ImportedFile:
    """All arrays of a file.

    Attributes:
        form: what the file is.
        arrays: in the order of the file.
        notes: what was assumed, and by name everything that the arrays do not hold.
    """

    form: str
    arrays: tuple[ImportedArray, ...]
    notes: tuple[str, ...] = ()

    def matrix(self, name: str) -> ImportedFile:
        """The arrays of one matrix of the file.

        Raises:
            InputError: there is no matrix of that name.
        """
        arrays = tuple(a for a in self.arrays if a.share is not None and a.share.matrix == name)
        if not arrays:
            names = sorted({a.share.matrix for a in self.arrays if a.share is not None})
            raise broken_rule(
                "the matrix must be one of the file's", repr(name), f"It has {', '.join(names)}."
            )
        return replace(self, arrays=arrays)

    def voltages(self, x: npt.ArrayLike, V_read: float = 0.2) -> dict[str, Array]:
        """Voltages of the word lines of every array for inputs of the matrix, V, (..., rows).

        Args:
            x: inputs, (..., inputs).
            V_read: voltage that stands for an input of 1, V.

        Raises:
            InputError: an array holds no matrix, or there are fewer or more inputs than it has.
        """
        shares = self._shares()
        inputs = 1 + max(int(share.inputs.max()) for share in shares.values())
        x = array_of("x", x, remedy="Pass inputs of the matrix.")
        if x.ndim < 1 or x.shape[-1] != inputs:
            raise broken_rule(
                f"`x` must end in the axis of the {inputs} inputs", x.shape, "Give each a value."
            )
        return {name: share.voltages(x, V_read) for name, share in shares.items()}

    def product(
        self, I_out: Mapping[str, Array], V_in: Mapping[str, Array], V_read: float = 0.2
    ) -> Array:
        """Outputs of the matrix product from the currents of all arrays, (..., outputs).

        Args:
            I_out: currents of the bit lines of each array by its name, A, (..., cols).
            V_in: voltages that they belong to, as of `voltages`, V, (..., rows).
            V_read: as in `voltages`, V.

        Raises:
            InputError: an array holds no matrix.
        """
        shares = self._shares()
        outputs = 1 + max(int(share.outputs.max()) for share in shares.values())
        lead = np.broadcast_shapes(*(I_out[name].shape[:-1] for name in shares))
        out = np.zeros((*lead, outputs))
        for name, share in shares.items():
            part = share.products(I_out[name], V_in[name], V_read)
            out += part @ np.eye(outputs)[share.outputs]
        return out

    def record(self) -> dict[str, Any]:
        """Everything but the conductances, for JSON."""
        return {
            "form": self.form,
            "arrays": [array.record() for array in self.arrays],
            "notes": list(self.notes),
        }

    def _shares(self) -> dict[str, WeightShare]:
        shares = {a.name: a.share for a in self.arrays if a.share is not None}
        if len(shares) < len(self.arrays):
            raise broken_rule(
                "every array must hold a part of a matrix",
                f"{self.form}, whose arrays are conductances alone",
                "Drive them with voltages (`xb.solve`).",
            )
        names = {share.matrix for share in shares.values()}
        if len(names) > 1:
            raise broken_rule(
                "products are of one matrix", ", ".join(sorted(names)), "Choose one: .matrix(NAME)."
            )
        return shares
