"""The rules of a technology as a DRC script for KLayout's application.

The script needs nothing but KLayout 0.28 or later. In the application it checks the layout that is
shown; ``klayout -b -r FILE -rd input=LAYOUT -rd report=OUT.lyrdb`` checks a file. Every rule is one
category of the report, under the name that `rules_of` gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

from xbarspice.core.errors import broken_rule
from xbarspice.core.files import store_errors, write_whole
from xbarspice.tapeout.rules.rule import Kind, Rule, drawing_layers, rules_of
from xbarspice.tapeout.technology import Technology

__all__ = ["refuse_ending", "rule_script", "save_script"]

_HEAD = """\
# Rules of the technology {title}, written by xbarspice for KLayout 0.28 or later.
#
# In the application: Tools > DRC checks the layout that is shown.
# On a file: klayout -b -r THIS -rd input=LAYOUT -rd report=OUT.lyrdb [-rd cell=NAME]
# Antenna, latch-up and everything that the technology file does not state are not checked.

$input and ($cell ? source($input, $cell) : source($input))
$report ? report({quoted}, $report) : report({quoted})

steps = {grid} / dbu
if (steps - steps.round).abs > 1e-6
  raise "the database unit of the layout must divide the grid of {grid} um"
end

# Shapes of `inner` that `outer` does not exceed by `d` on two opposite sides.
def short(inner, outer, d)
  good = inner.dup.raw.sized(d, 0).raw.inside(outer)
  good += inner.dup.raw.sized(0, d).raw.inside(outer)
  inner.not_inside(good.merged)
end

# Shapes closer than `d`; only those with edges that are close are held against each other.
def close(layer, d)
  marks = layer.edges.space(d, euclidian).polygons(1.dbu)
  (layer.interacting(marks) + layer.non_rectilinear).space(d, euclidian)
end

# Boxes of the windows in which `metal` covers a share below `low` or above `high`.
def windows(metal, extent, side, step, low, high)
  side, step = (side / dbu).round, (step / dbu).round
  starts = lambda {{ |a, b| b - a <= side ? [a] : a.step(b - side - 1, step).to_a + [b - side] }}
  region, found = metal.data, RBA::Region.new
  smaller = [extent.width, extent.height].min < side
  return polygon_layer if extent.empty? || (low > 0 && smaller)
  starts.call(extent.left, extent.right).each do |x|
    starts.call(extent.bottom, extent.top).each do |y|
      box = RBA::Box.new(x, y, x + side, y + side)
      share = (region & RBA::Region.new(box)).area / (side.to_f * side)
      found.insert(box) if share < low - 1e-9 || share > high + 1e-9
    end
  end
  DRC::DRCLayer.new(self, found)
end
"""

_MACRO = """\
<?xml version="1.0" encoding="utf-8"?>
<klayout-macro>
 <description>Rules of {name} (xbarspice)</description>
 <version/>
 <category>drc</category>
 <prolog/>
 <epilog/>
 <doc/>
 <autorun>false</autorun>
 <autorun-early>false</autorun-early>
 <priority>0</priority>
 <shortcut/>
 <show-in-menu>true</show-in-menu>
 <group-name>drc_scripts</group-name>
 <menu-path>tools_menu.drc.end</menu-path>
 <interpreter>dsl</interpreter>
 <dsl-interpreter-name>drc-dsl-xml</dsl-interpreter-name>
 <text>{text}</text>
</klayout-macro>
"""


def rule_script(technology: Technology) -> str:
    """The script; equal technologies give equal texts."""
    layers = drawing_layers(technology)
    title = "".join(c if c.isprintable() else " " for c in technology.name)
    quoted = "'" + title.replace("\\", "\\\\").replace("'", "\\'") + "'"
    lines = [_HEAD.format(title=title, quoted=quoted, grid=f"{technology.grid:.10g}")]
    lines.append("# A layer as it is drawn, overlapping shapes apart, and with its shapes joined.")
    for name, (a, b) in layers.items():
        lines.append(f"{_layer(name)}_drawn = input({a}, {b}).raw")
        lines.append(f"{_layer(name)} = input({a}, {b}).merged")
    lines.append(f"extent = {' + '.join(f'{_layer(name)}.data.bbox' for name in layers)}")
    for via in technology.device.excludes:
        cell = technology.device.cell
        source = f'layout.select("-{cell.name}")' if cell else "layout"
        a, b = layers[via]
        lines.append(f"{_layer(via)}_outside = {source}.input({a}, {b})")
    lines.append("")
    for rule in rules_of(technology):
        lines.append(f'{_FORMS[rule.kind](rule)}.output("{rule.name}", "{rule.words}")')
    return "\n".join(lines) + "\n"


def save_script(technology: Technology, path: Path) -> None:
    """Write the script: ``.drc`` as plain text, ``.lydrc`` as a macro of the application.

    Raises:
        InputError: the name ends otherwise.
        StoreError: the file cannot be written.
    """
    refuse_ending(path)
    text = rule_script(technology)
    if path.suffix == ".lydrc":
        text = _MACRO.format(name=escape(technology.name), text=escape(text))
    with store_errors("a DRC script", path):
        write_whole({path: text})


def refuse_ending(path: Path) -> None:
    """Refuse a name that KLayout would not take for a DRC script.

    Raises:
        InputError: the name ends otherwise.
    """
    if path.suffix not in (".drc", ".lydrc"):
        raise broken_rule(
            "a DRC script of KLayout ends in .drc or .lydrc", path.name, "Name it like that."
        )


def _layer(name: str) -> str:
    """The script's variable of a drawing layer."""
    return "l_" + name.replace(".", "_")


def _um(length: float) -> str:
    return f"{length:.10g}.um" if length % 1 else f"{length:.1f}.um"


def _form(expression: str) -> Callable[[Rule], str]:
    """A form with one expression in which A is the layer, B the first other one, D the limit."""

    def write(rule: Rule) -> str:
        other = _layer(rule.others[0]) if rule.others else ""
        words = {"A": _layer(rule.layer), "B": other, "D": _um(rule.limit)}
        return re.sub(r"\b[ABD](?=_drawn\b|\b)", lambda match: words[match[0]], expression)

    return write


def _enclosure(rule: Rule) -> str:
    close = "A.enclosed(B, D, euclidian).polygons(1.dbu) + " if rule.limit else ""
    return _form(f"({close}(A - B))")(rule)


def _wide(rule: Rule) -> str:
    layer, half = _layer(rule.layer), _um(rule.above / 2)
    wide = f"({layer}.sized(-{half}).sized({half}) & {layer})"
    edges = f"({wide}.edges & {layer}.edges)"
    return f"{edges}.separation({layer}.edges, {_um(rule.limit)}, euclidian)"


def _area(rule: Rule) -> str:
    return f"{_layer(rule.layer)}.with_area(nil, {rule.limit:.10g})"


def _exclusion(rule: Rule) -> str:
    return f"({_layer(rule.others[0])}_outside & {_layer(rule.layer)})"


def _contact(rule: Rule) -> str:
    vias = " + ".join(["polygon_layer", *map(_layer, rule.others)])
    return f"{_layer(rule.layer)}.not_interacting({vias})"


def _density(rule: Rule) -> str:
    smallest = rule.kind == "smallest density"
    low, high = (rule.limit, 1.0) if smallest else (0.0, rule.limit)
    lengths = f"{rule.above:.10g}, {rule.step:.10g}"
    return f"windows({_layer(rule.layer)}, extent, {lengths}, {low:.10g}, {high:.10g})"


_FORMS: dict[Kind, Callable[[Rule], str]] = {
    "grid": _form("A_drawn.ongrid(D)"),
    "width": _form("A.width(D, euclidian)"),
    "space": _form("close(A, D)"),
    "wide space": _wide,
    "area": _area,
    "contact": _contact,
    "largest density": _density,
    "smallest density": _density,
    "size": _form("(A - A.rectangles.with_bbox_width(D).with_bbox_height(D))"),
    "enclosure": _enclosure,
    "one direction": _form("short(A, B, D)"),
    "touching": _form("(A.interacting(A_drawn, 2) | A.interacting(A_drawn.merged(2)))"),
    "exclusion": _exclusion,
}
