"""Red-team runs: senders that learn of decisions and adapt, among benign people and businesses."""

from wavebreak_lab.red_team.config import RedTeamConfig, load_config
from wavebreak_lab.red_team.report import tournament_report
from wavebreak_lab.red_team.tournament import (
    FAMILIES,
    Tournament,
    TournamentConfig,
    resolve_families,
    run_tournament,
)
from wavebreak_lab.red_team.weeks import WEEK_FAMILIES, Weeks, run_weeks
from wavebreak_lab.red_team.weeks_report import weeks_report

__all__ = [
    "FAMILIES",
    "WEEK_FAMILIES",
    "RedTeamConfig",
    "Tournament",
    "TournamentConfig",
    "Weeks",
    "load_config",
    "resolve_families",
    "run_tournament",
    "run_weeks",
    "tournament_report",
    "weeks_report",
]
