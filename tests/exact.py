"""Line currents of ohmic arrays to 60 digits: no code of the package, no subtraction of voltages.

Every node is a number, every source and the ground too. Nodes without a source are removed one by
one by the star-mesh rule, which only adds, multiplies and divides positive numbers: what is left is
one conductance between each two sources, right in each digit but the last few. The current between
two sources is that conductance times the difference of two given voltages.

`line_currents` gives Decimals, `error` holds a solution against them. `node_voltages` puts the
removed nodes back, the last one first: each is a mean of its neighbours, weighted by conductances.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

DIGITS = 60


class _Joined:
    """Nodes that are joined by 0 ohm have one name."""

    def __init__(self):
        self.of = {}

    def name(self, node):
        while node in self.of:
            node = self.of[node]
        return node

    def join(self, node, second):
        node, second = self.name(node), self.name(second)
        if node == second:
            return
        if node[0] == "source":
            node, second = second, node
        self.of[node] = second


def _at(R, *place):
    """One resistance: the number of all, or what an array has at a place."""
    return float(R[place]) if hasattr(R, "shape") else R


def _resistors(crossbar, G=None):
    """Triples (node, node, S) and the names of joined nodes; sources begin with "source".

    `G` stands for the crossbar's conductances where it is given, [row][column] of Decimal.
    """
    rows, cols = crossbar.rows, crossbar.cols
    joined, resistors = _Joined(), []

    def resistor(a, b, R):
        if R == 0:
            joined.join(a, b)
        else:
            resistors.append((a, b, 1 / Decimal(R)))

    for i in range(rows):
        for j in range(cols - 1):
            resistor(("w", i, j), ("w", i, j + 1), _at(crossbar.R_wl, i, j))
    for i in range(rows - 1):
        for j in range(cols):
            resistor(("b", i, j), ("b", i + 1, j), _at(crossbar.R_bl, i, j))
    end_R = {"driven": crossbar.R_driver, "sensed": crossbar.R_sense}
    word = [[("w", i, 0) for i in range(rows)], [("w", i, cols - 1) for i in range(rows)]]
    bit = [[("b", 0, j) for j in range(cols)], [("b", rows - 1, j) for j in range(cols)]]
    before = {"driven": 0, "sensed": 0}
    for name, kinds, sides in (("in", crossbar.wl_ends, word), ("out", crossbar.bl_ends, bit)):
        for ends, nodes in zip(kinds.T, sides, strict=True):
            for line, (end, node) in enumerate(zip(map(str, ends), nodes, strict=True)):
                if end != "floating":
                    # a ground of its own for each line keeps the sense currents apart
                    R = _at(end_R[end], before[end] + line)
                    resistor(node, ("source", name, line, end), R)
            for end in {*map(str, ends)} - {"floating"}:
                before[end] += len(ends)
    G = crossbar.G.tolist() if G is None else G
    for i in range(rows):
        for j in range(cols):
            if G[i][j] > 0:
                resistors.append((("w", i, j), ("b", i, j), Decimal(G[i][j])))
    return resistors, joined


def _between_sources(resistors, joined):
    """Conductance between each two sources, {source: {source: S}}, and what was removed.

    The removed nodes are in their order, each as (node, {neighbour: S}, sum of S).
    """
    g, removed = {}, []
    for a, b, value in resistors:
        a, b = joined.name(a), joined.name(b)
        if a == b:
            continue
        for x, y in ((a, b), (b, a)):
            row = g.setdefault(x, {})
            row[y] = row.get(y, Decimal(0)) + value
    while True:
        inner = [n for n in g if n[0] != "source"]
        if not inner:
            return g, removed
        node = min(inner, key=lambda n: len(g[n]))
        row = g.pop(node)
        total = sum(row.values())
        removed.append((node, row, total))
        for x in row:
            del g[x][node]
        around = list(row)
        for k, x in enumerate(around):
            for y in around[k + 1 :]:
                value = row[x] * row[y] / total
                g[x][y] = g[x].get(y, Decimal(0)) + value
                g[y][x] = g[x][y]


def line_currents(crossbar, V_in, V_out):
    """`I_in` (rows) and `I_out` (cols) of one ohmic array as lists of Decimal, A.

    The ends of a line together give what its devices take: what flows from end to end of the same
    line is counted with both signs.
    """
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = DIGITS, -99999, 99999
        g, _ = _between_sources(*_resistors(crossbar))
        volts_of = {"in": V_in, "out": V_out}

        def volts(source):
            _, name, line, end = source
            return Decimal(float(volts_of[name][line])) if end == "driven" else Decimal(0)

        lines = {"in": [Decimal(0)] * crossbar.rows, "out": [Decimal(0)] * crossbar.cols}
        for source, row in g.items():
            for sink, value in row.items():
                lines[source[1]][source[2]] += value * (volts(source) - volts(sink))
        return lines["in"], [-current for current in lines["out"]]


def node_voltages(crossbar, V_in, V_out, G=None):
    """`V_wl` and `V_bl` of one ohmic array, [row][column] of Decimal, V.

    `G` is as in `_resistors`; voltages may be Decimal. Sources of one voltage are one node.
    """
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = DIGITS, -99999, 99999
        resistors, joined = _resistors(crossbar, G)
        volts_of = {"in": V_in, "out": V_out}

        def merged(node):
            node = joined.name(node)
            if node[0] != "source":
                return node
            _, name, line, end = node
            return ("source", Decimal(volts_of[name][line]) if end == "driven" else Decimal(0))

        kept = [(merged(a), merged(b), value) for a, b, value in resistors]
        g, removed = _between_sources(kept, _Joined())
        volts = {source: source[1] for source in g}
        for node, row, total in reversed(removed):
            volts[node] = sum(value * volts[x] for x, value in row.items()) / total

        def line(kind):
            nodes = [
                [merged((kind, i, j)) for j in range(crossbar.cols)] for i in range(crossbar.rows)
            ]
            return [[n[1] if n[0] == "source" else volts[n] for n in row] for row in nodes]

        return line("w"), line("b")


def error(crossbar, V_in, V_out, solution):
    """Largest error of `I_out` and `I_in` as a share of the largest exact output current.

    The output currents are those of the word lines where no bit line has an end. Infinity stands
    for an error of outputs that are exactly 0.
    """
    exact = line_currents(crossbar, V_in, V_out)
    off = max(
        abs(Decimal(float(answer)) - value)
        for currents, values in ((solution.I_in, exact[0]), (solution.I_out, exact[1]))
        for answer, value in zip(currents, values, strict=True)
    )
    by_bit_lines = any(end != "floating" for pair in crossbar.bl_ends for end in pair)
    largest = max(abs(value) for value in exact[1 if by_bit_lines else 0])
    if largest == 0:
        return 0.0 if off == 0 else float("inf")
    return float(off / largest)
