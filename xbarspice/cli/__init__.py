"""The command line: parse, wire, print. Exit 0 done, 1 a gate failed, 2 usage, 3 engine."""

from xbarspice.cli.app import main

__all__ = ["main"]
