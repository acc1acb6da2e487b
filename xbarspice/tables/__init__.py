"""Tables of measured numbers as instruments, spreadsheets and programs write them.

`read_table` finds columns by name and unit; `read_grid` reads a bare rectangle of numbers. Both say
how the file was understood and count everything that they do not hand on.
"""

from xbarspice.tables.columns import Column, Quantity, Table, read_table
from xbarspice.tables.grids import Grid, read_grid
from xbarspice.tables.sources import Options
from xbarspice.tables.units import DIMENSIONS, Unit, unit_of

__all__ = [
    "DIMENSIONS",
    "Column",
    "Grid",
    "Options",
    "Quantity",
    "Table",
    "Unit",
    "read_grid",
    "read_table",
    "unit_of",
]
