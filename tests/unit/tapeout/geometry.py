"""Rules of a technology, looked up in a drawing with KLayout's own checks, for the tests alone."""

from __future__ import annotations

import klayout.db as kdb


def region(layout, layer, cell=None):
    """All shapes of a layer, merged."""
    cell = cell or layout.top_cell()
    return kdb.Region(cell.begin_shapes_rec(layout.layer(*layer))).merged()


def broken(layout, technology):
    """Rules that a drawing breaks, with how often."""
    out = {}
    metals = {m.name: region(layout, m.layer) for m in technology.metal}

    def count(name, violations):
        if violations:
            out[name] = violations

    def units(um):
        return round(um / technology.dbu)

    for metal in technology.metal:
        shapes = metals[metal.name]
        count(f"{metal.name}.width", shapes.width_check(units(metal.width)).count())
        count(f"{metal.name}.space", shapes.space_check(units(metal.space)).count())
        if metal.wide:
            half = units(metal.wide.above) // 2 + 1
            wide = shapes.sized(-half).sized(half) & shapes
            edges, others = wide.edges() & shapes.edges(), shapes.edges() - wide.edges()
            pairs = edges.separation_check(others, units(metal.wide.space))
            count(f"{metal.name}.wide", pairs.count())
            count(f"{metal.name}.wide", edges.space_check(units(metal.wide.space)).count())
        least = round(metal.area / technology.dbu**2)
        count(f"{metal.name}.area", shapes.with_area(0, least, False).count())
        if metal.needs_contact:
            cuts = kdb.Region()
            for via in technology.via:
                if metal.name in (via.lower, via.upper):
                    cuts += region(layout, via.layer)
            count(f"{metal.name}.contact", (shapes - shapes.interacting(cuts)).count())
    for via in technology.via:
        cuts, size = region(layout, via.layer), units(via.size)
        squares = [p.is_box() and p.bbox().width() == p.bbox().height() == size for p in cuts]
        count(f"{via.name}.size", squares.count(False))
        count(f"{via.name}.space", cuts.space_check(units(via.space)).count())
        for side, name in (("lower", via.lower), ("upper", via.upper)):
            enclosure = getattr(via.enclosure, side)
            bare = [not covers(metals[name], cut, enclosure.all, units) for cut in cuts]
            count(f"{via.name}.{side}.all", sum(bare))
            count(f"{via.name}.{side}.two", uncovered(cuts, metals[name], units(enclosure.along)))
    devices, device = region(layout, technology.device.layer), technology.device
    count("device.width", devices.width_check(units(device.min_size)).count())
    count("device.space", devices.space_check(units(device.space)).count())
    for name in (device.bottom, device.top):
        overhang = uncovered(devices, metals[name], units(device.overhang))
        count(f"device.overhang.{name}", overhang)
    for name in device.excludes:
        cuts = region(layout, technology.vias[name].layer)
        count(f"device.excludes.{name}", (devices & cuts).count())
    for index in layout.layer_indexes():
        shapes = kdb.Region(layout.top_cell().begin_shapes_rec(index))
        step = units(technology.grid)
        count(f"grid.{layout.get_info(index)}", shapes.grid_check(step, step).count())
    return out


def covers(metal, cut, um, units):
    """Whether metal reaches beyond a shape on all sides, corners left out."""
    box, d = cut.bbox(), units(um)
    cross = kdb.Region(box.enlarged(d, 0)) + kdb.Region(box.enlarged(0, d))
    return (cross - metal).is_empty()


def uncovered(shapes, metal, d):
    """How many shapes the metal does not reach beyond on two opposite sides."""
    return sum(
        not (kdb.Region(s.bbox().enlarged(d, 0)) - metal).is_empty()
        and not (kdb.Region(s.bbox().enlarged(0, d)) - metal).is_empty()
        for s in shapes
    )


def nets(layout, technology, cell=None):
    """Names on every connected piece of metal and cuts (not through devices), as sets."""
    name = (cell or layout.top_cell()).name
    layout = layout.dup()
    cell = layout.cell(name)
    cell.flatten(-1, True)
    l2n = kdb.LayoutToNetlist(kdb.RecursiveShapeIterator(layout, cell, []))
    made = {p.name: l2n.make_layer(layout.layer(*p.layer), p.name) for p in technology.metal}
    for via in technology.via:
        cuts = l2n.make_layer(layout.layer(*via.layer), via.name)
        for name in (via.lower, via.upper):
            l2n.connect(cuts, made[name])
    for metal in technology.metal:
        l2n.connect(made[metal.name])
        if metal.label:
            texts = l2n.make_text_layer(layout.layer(*metal.label), f"{metal.name} label")
            l2n.connect(made[metal.name], texts)
    l2n.extract_netlist()
    circuit = l2n.netlist().circuit_by_name(cell.name)
    return sorted(net.name for net in circuit.each_net() if net.name)
