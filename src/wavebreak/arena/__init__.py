"""The arena: senders who see our answers and adapt, among people who must not be hurt."""

from wavebreak.arena.match import FAMILIES, Match, Setting, chosen, play, save
from wavebreak.arena.showing import print_match, write_html
from wavebreak.arena.terms import load_terms

__all__ = [
    "FAMILIES",
    "Match",
    "Setting",
    "chosen",
    "load_terms",
    "play",
    "print_match",
    "save",
    "write_html",
]
