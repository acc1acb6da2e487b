"""What each kind of file of measured data holds.

Columns (SI units, or another unit in the head as in ``I [uA]``), datasets or variables:

=============  ===================================================================================
I-V sweeps     ``device`` (a label; may be left out), ``V`` (V), ``I`` (A): one point a row
array reads    ``V_in0 ... V_in<rows-1>`` (V), ``I_out0 ... I_out<cols-1>`` (A; empty if not
               measured), perhaps ``V_out0 ...`` (V), ``I_in0 ...`` (A), ``T`` (K): one read a row.
               HDF5 and .mat also: ``V_in`` (reads, rows), ``I_out`` (reads, cols), ``V_out``,
               ``I_in``
pulse trains   ``device`` or ``wordline`` and ``bitline``, ``V`` (V; 0: a read without a pulse),
               perhaps ``polarity`` (+ or -, pos or neg, 1 or -1) of it, ``width`` (s; 0: a read),
               and read after the pulse ``G`` (S), ``R`` (ohm), or ``I`` (A) with ``V_read`` (V; a
               column or in the head): in order of time
programming    ``device``, ``target`` and ``G`` (S) of each write, perhaps ``G_end`` (S) when the
               whole array was finished and ``later_writes``, the devices written in between
kelvin         ``line`` (wl or bl), ``segments`` or ``squares`` between the taps, ``R`` (ohm) with
               four terminals, perhaps ``T`` (K): one measurement a row
repeats        ``device``, and ``G`` (S) or ``R`` (ohm) of each read, perhaps ``t`` (s since the
               device was programmed); of a whole array: array reads with repeated voltages
tuning         ``target`` (S) or ``target_R`` (ohm), ``G`` or ``R`` reached, perhaps ``device`` and
               the number of ``pulses``: one write a row
retention      ``device``, ``t`` (s), ``G`` or ``R``, perhaps ``temperature`` (K)
cycling        ``device``, ``cycle``, ``G_HRS`` or ``R_HRS``, and ``G_LRS`` or ``R_LRS``
drifts         ``G`` (S) or ``R`` (ohm) of a device when it was left, ``G_end`` or ``R_end`` later,
               and ``later_writes``, the writes of other devices in between: one pair of reads a row
=============  ===================================================================================
"""

from __future__ import annotations

from xbarspice.tables import Quantity

__all__ = ["QUANTITIES"]

_DEVICE = Quantity(
    name="device", dimension="", aliases=("dut", "cell", "device id"), required=False
)
_V = Quantity(name="V", dimension="V", aliases=("voltage", "bias", "u"))
_G = Quantity(name="G", dimension="S", aliases=("conductance",), required=False)
_R = Quantity(name="R", dimension="ohm", aliases=("resistance",), required=False)
QUANTITIES: dict[str, tuple[Quantity, ...]] = {
    "sweeps": (_DEVICE, _V, Quantity(name="I", dimension="A", aliases=("current",))),
    "reads": (
        *(
            Quantity(
                name=name, dimension=name[0].replace("I", "A"), required=name in need, indexed=True
            )
            for need in [("V_in", "I_out")]
            for name in ("V_in", "I_out", "V_out", "I_in")
        ),
        Quantity(name="T", dimension="K", aliases=("temperature",), required=False),
    ),
    "kelvin": (
        Quantity(name="line", dimension="", aliases=("layer",)),
        Quantity(name="segments", dimension="1", required=False),
        Quantity(name="squares", dimension="1", aliases=("sq",), required=False),
        Quantity(name="R", dimension="ohm", aliases=("resistance",)),
        Quantity(name="T", dimension="K", aliases=("temperature",), required=False),
    ),
    "pulses": (
        _DEVICE,
        *(
            Quantity(name=name, dimension="", aliases=aliases, required=False)
            for name, aliases in (
                ("wordline", ("word line", "wl")),
                ("bitline", ("bit line", "bl")),
                ("polarity", ("sign",)),
            )
        ),
        Quantity(
            name="V",
            dimension="V",
            aliases=(*_V.aliases, "amplitude", "pulse amplitude", "pulse voltage"),
        ),
        Quantity(name="width", dimension="s", aliases=("pulse width", "pulsewidth", "duration")),
        _G,
        _R,
        Quantity(
            name="I",
            dimension="A",
            aliases=("current", "read current", "i_read", "read-back current"),
            required=False,
        ),
        Quantity(
            name="V_read",
            dimension="V",
            aliases=("read voltage", "readvoltage", "vread", "read bias"),
            required=False,
        ),
    ),
    "repeats": (
        _DEVICE,
        _G,
        _R,
        Quantity(name="t", dimension="s", aliases=("time",), required=False),
    ),
    "programming": (
        _DEVICE,
        Quantity(name="target", dimension="S"),
        Quantity(name="G", dimension="S", aliases=("conductance",)),
        Quantity(name="G_end", dimension="S", required=False),
        Quantity(name="later_writes", dimension="1", required=False),
    ),
    "tuning": (
        _DEVICE,
        Quantity(name="target", dimension="S", aliases=("setpoint", "target_g"), required=False),
        Quantity(name="target_R", dimension="ohm", required=False),
        _G,
        _R,
        Quantity(name="pulses", dimension="1", aliases=("pulse count",), required=False),
    ),
    "retention": (
        _DEVICE,
        _G,
        _R,
        Quantity(name="t", dimension="s", aliases=("time",)),
        Quantity(name="temperature", dimension="K", aliases=("temp",), required=False),
    ),
    "cycling": (
        _DEVICE,
        Quantity(name="cycle", dimension="1", aliases=("cycles",)),
        *(
            Quantity(name=f"{kind}_{state}", dimension=unit, required=False)
            for state in ("HRS", "LRS")
            for kind, unit in (("G", "S"), ("R", "ohm"))
        ),
    ),
    "drifts": (
        _DEVICE,
        _G,
        _R,
        Quantity(name="G_end", dimension="S", aliases=("g_after",), required=False),
        Quantity(name="R_end", dimension="ohm", aliases=("r_after",), required=False),
        Quantity(name="later_writes", dimension="1", aliases=("later writes",)),
    ),
}
"""What each kind of file holds."""
