"""Red-team runs: senders that learn of decisions and adapt, among benign people and businesses."""

from wavebreak_lab.red_team.config import RedTeamConfig, load_config
from wavebreak_lab.red_team.report import print_report, write_html
from wavebreak_lab.red_team.tournament import (
    FAMILIES,
    Tournament,
    TournamentConfig,
    resolve_families,
    run_tournament,
    write_json,
)

__all__ = [
    "FAMILIES",
    "RedTeamConfig",
    "Tournament",
    "TournamentConfig",
    "load_config",
    "print_report",
    "resolve_families",
    "run_tournament",
    "write_html",
    "write_json",
]
