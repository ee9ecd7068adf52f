"""The arena: senders who see our answers and adapt, among people who must not be hurt."""

from wavebreak.red_team.config import load_terms
from wavebreak.red_team.report import print_match, write_html
from wavebreak.red_team.tournament import FAMILIES, Match, Setting, chosen, play, save

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
