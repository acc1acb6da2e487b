"""A designer's own rule and comparison decks, run by KLayout, Magic and netgen.

The decks are run as they are; the programs must be installed. A tool that is missing is an error
before any work, a deck that gives no verdict is a failure: nothing is skipped.
"""

from xbarspice.tapeout.decks.records import Deck, DeckReport, Item, Place, decks_of
from xbarspice.tapeout.decks.run import programs_of, run_deck

__all__ = ["Deck", "DeckReport", "Item", "Place", "decks_of", "programs_of", "run_deck"]
