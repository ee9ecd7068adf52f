"""Notices to account holders as the service knows them: texts of the operator, and where they are.

`HolderPages` is what the console offers to the API and to webhooks where its pages are served:
links that holders open without signing in, and appeals. The service alone writes statements, and
leads to the platform's own pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from django.apps import apps
from django.db.models import F

from wavebreak.engine import Engine
from wavebreak.notices import (
    Circumstances,
    Language,
    Links,
    Platform,
    Statement,
    build_statement,
    load_platform,
    notice_time,
)
from wavebreak.rules import Feedback, Policy, load_policy
from wavebreak.schema.events import Challenge
from wavebreak_server.service.decide import load_decide_policy


class Notice(msgspec.Struct, frozen=True):
    """Where a holder reads a statement, and from when (ms)."""

    url: str
    notify_at_ms: int


@dataclass(frozen=True)
class HolderNotices:
    """What a statement needs beside its decision.

    Attributes:
        platform: The operator's names, terms and links.
        feedback: The policy's delays of notices.
        challenges: The kind of challenge that each action asks for.

    """

    platform: Platform = field(default_factory=load_platform)
    feedback: Feedback = field(default_factory=lambda: load_policy().feedback)
    challenges: Mapping[str, Challenge] = field(
        default_factory=lambda: load_decide_policy(None).challenge
    )

    @classmethod
    def load(cls, policy: Policy, directory: Path | None) -> HolderNotices:
        """Return the notices of a policy and its directory (None: the shipped files)."""
        challenges = load_decide_policy(directory).challenge
        return cls(load_platform(directory), policy.feedback, challenges)

    def notify_at_ms(self, decision: Mapping[str, Any]) -> int:
        """Return when the holder is notified of a decision (ms)."""
        return notice_time(decision, self.feedback)

    def statement(
        self,
        decision: Mapping[str, Any],
        language: Language,
        now_ms: int,
        links: Links | None = None,
        *,
        found_automatically: bool | None = None,
    ) -> Statement:
        """Write the statement of reasons of a decision."""
        return build_statement(
            decision,
            platform=self.platform,
            language=language,
            now_ms=now_ms,
            links=links,
            circumstances=Circumstances(
                zone=self.platform.time_zone,
                notified_ms=self.notify_at_ms(decision),
                challenge=self.challenges.get(str(decision.get("action", ""))),
                automated_detection=found_automatically,
            ),
        )


def erase_holder_texts(account: str, now_ms: int) -> int:
    """Erase an account's statements of appeals and its shown notices, in the open transaction.

    With a statement go the keyed digests of its words and of the device that it came from; with one
    that its holder has not confirmed goes the whole appeal.

    Returns:
        How many statements of appeals were erased.

    """
    apps.get_model("console", "NoticeState").objects.filter(account=account).delete()
    rows = apps.get_model("console", "Appeal").objects.filter(account=account)
    erased = rows.filter(statement__isnull=False)
    count = int(erased.update(statement=None, erased_ms=now_ms, version=F("version") + 1))
    rows.filter(opened_ms=None).delete()
    rows.update(text_key="", device_key="")
    return count


class NewAppeal(msgspec.Struct, frozen=True):
    """An appeal that a platform submits for a holder whom it has authenticated."""

    decision: str
    statement: str
    language: str


class HolderPages(Protocol):
    """Pages for holders, and their appeals, where a console serves them."""

    def notice(self, decision: Mapping[str, Any]) -> Notice | None:
        """Return where the holder reads a decision's statement; None where there is no notice."""

    def statement(self, decision: Mapping[str, Any], language: Language, now_ms: int) -> Statement:
        """Return the statement with its links and corrections, and store it as shown."""

    def ties(self, engine: Engine, account: str) -> Any:
        """Read what appeals are grouped by, on the engine's thread."""

    def open_appeal(
        self, new: NewAppeal, ties: Any, by: str, reason: str, now_ms: int, store: Any
    ) -> tuple[dict[str, Any], bool]:
        """Open an appeal in the open transaction; return it, and whether it is new."""

    def appeals(self, since: int, limit: int) -> list[dict[str, Any]]:
        """Return appeals with an id above `since`, in order."""

    def appeal(self, appeal_id: int) -> dict[str, Any] | None:
        """Return an appeal."""
