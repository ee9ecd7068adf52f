"""Red-team runs: senders that learn of decisions and adapt, among benign people and businesses."""

from wavebreak_lab.red_team.config import RedTeamConfig, load_config
from wavebreak_lab.red_team.programme import (
    FAMILIES,
    RedTeamResult,
    RunOptions,
    resolve_families,
    run_red_team,
)
from wavebreak_lab.red_team.report import red_team_report

__all__ = [
    "FAMILIES",
    "RedTeamConfig",
    "RedTeamResult",
    "RunOptions",
    "load_config",
    "red_team_report",
    "resolve_families",
    "run_red_team",
]
