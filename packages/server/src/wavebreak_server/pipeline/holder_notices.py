"""Notices to account holders: texts of the operator, when they are due, and where they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

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
from wavebreak_server.pipeline.decide import load_decide_policy


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
        public_url: Address under which holders read, without a slash at its end ("": none).

    """

    platform: Platform = field(default_factory=load_platform)
    feedback: Feedback = field(default_factory=lambda: load_policy().feedback)
    challenges: Mapping[str, Challenge] = field(
        default_factory=lambda: load_decide_policy(None).challenge
    )
    public_url: str = ""

    @classmethod
    def load(cls, policy: Policy, directory: Path | None, public_url: str = "") -> HolderNotices:
        """Return the notices of a policy and its directory (None: the shipped files)."""
        challenges = load_decide_policy(directory).challenge
        return cls(load_platform(directory), policy.feedback, challenges, public_url)

    def address(self, page: str, token: str) -> str:
        """Return the public address of a page for holders: `notice` or `appeal`."""
        return f"{self.public_url}/{page}/{token}"

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
