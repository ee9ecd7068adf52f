"""ORM models of the app `console`, as Django finds them: the slices declare them."""

from __future__ import annotations

from wavebreak_server.slices.acts.models import Batch, PersonAct
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.help.models import HelpAnswer
from wavebreak_server.slices.queries.models import SavedView
from wavebreak_server.slices.queue.models import (
    CampaignSummary,
    CaseSkip,
    DailyCount,
    IndexerState,
    Review,
    ReviewCase,
)
from wavebreak_server.slices.shares.models import SharedCase
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.slices.users.models import User
from wavebreak_server.slices.versions.models import (
    ModelReplay,
    ModelVersion,
    PolicyReplay,
    PolicyVersion,
)

__all__ = [
    "Appeal",
    "Batch",
    "CampaignSummary",
    "CaseSkip",
    "DailyCount",
    "HelpAnswer",
    "IndexerState",
    "ModelReplay",
    "ModelVersion",
    "NoticeState",
    "PersonAct",
    "PolicyReplay",
    "PolicyVersion",
    "Review",
    "ReviewCase",
    "SavedView",
    "SharedCase",
    "User",
]
