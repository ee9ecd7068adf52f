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
from wavebreak_lab.red_team.weeks import WEEK_FAMILIES, Weeks, run_weeks
from wavebreak_lab.red_team.weeks_report import print_weeks

__all__ = [
    "FAMILIES",
    "WEEK_FAMILIES",
    "RedTeamConfig",
    "Tournament",
    "TournamentConfig",
    "Weeks",
    "load_config",
    "print_report",
    "print_weeks",
    "resolve_families",
    "run_tournament",
    "run_weeks",
    "write_html",
    "write_json",
]
