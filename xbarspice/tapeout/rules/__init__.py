"""The rule check of a layout in Python, and the same rules as a script for KLayout."""

from xbarspice.tapeout.rules.check import RuleReport, Violation, check_file, check_layout
from xbarspice.tapeout.rules.rule import Rule, rules_of
from xbarspice.tapeout.rules.script import rule_script, save_script

__all__ = [
    "Rule",
    "RuleReport",
    "Violation",
    "check_file",
    "check_layout",
    "rule_script",
    "rules_of",
    "save_script",
]
