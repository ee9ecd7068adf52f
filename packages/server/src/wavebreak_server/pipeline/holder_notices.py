"""Notices to account holders: the operator's texts, when they are due, and where they are read.

A response of `decide` has a short text, its earliest time, and the address of the statement. In
shadow nothing is in force, so that nobody is sent a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import structlog
from django.db import Error, connection

from wavebreak.durations import DAY_MS
from wavebreak.errors import MissingExtraError, ServiceError
from wavebreak.notices import (
    Circumstances,
    Language,
    Links,
    Platform,
    Statement,
    appeal_deadline,
    build_statement,
    list_notices,
    load_platform,
    near_limit_notices,
    notice_time,
    short_notices,
)
from wavebreak.outcomes import WITHOUT_NOTICE, WITHOUT_STATEMENT
from wavebreak.rules import Feedback, Policy, load_policy
from wavebreak.schema.events import Challenge
from wavebreak_server.pipeline import public_links
from wavebreak_server.pipeline.decide import DecideResponse, load_decide_policy, load_quota_config
from wavebreak_server.storage.authentic_rows import checked_decisions
from wavebreak_server.storage.models import Decision

logger = structlog.stdlib.get_logger("wavebreak.notices")

LINK_DAYS = 30
"""For how long a link outlives the time for an appeal."""


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
        last_places: From so many places of a limit left on a holder is told how many.
        keepers: Where the keepers of outside lists can be asked, by list.
        is_enforced: Whether the service enforces its decisions (False: it runs in shadow).
    """

    platform: Platform = field(default_factory=load_platform)
    feedback: Feedback = field(default_factory=lambda: load_policy().feedback)
    challenges: Mapping[str, Challenge] = field(
        default_factory=lambda: load_decide_policy(None).challenge
    )
    public_url: str = ""
    last_places: int = 3
    keepers: Mapping[str, str] = field(default_factory=dict)
    is_enforced: bool = True

    @classmethod
    def load(cls, policy: Policy, directory: Path | None) -> HolderNotices:
        """Return the notices of a policy and its directory (None: the shipped files)."""
        return cls().reload(policy, directory)

    def reload(self, policy: Policy, directory: Path | None) -> HolderNotices:
        """Return these notices with the texts and delays of another policy."""
        return replace(
            self,
            platform=load_platform(directory),
            feedback=policy.feedback,
            challenges=load_decide_policy(directory).challenge,
            last_places=load_quota_config(directory).last_places,
        )

    def token(self, decision: Mapping[str, Any]) -> str:
        """Return the token of a decision's pages; the same each time."""
        deadline = appeal_deadline(decision, self.platform, self.notify_at_ms(decision))
        return public_links.sign(str(decision["id"]), deadline + LINK_DAYS * DAY_MS)

    def links(self, decision: Mapping[str, Any]) -> Links:
        """Return the addresses of a decision's pages; empty where no public address is known."""
        return public_links.addresses(self.public_url, self.token(decision))

    def notice(self, decision: Mapping[str, Any]) -> Notice | None:
        """Return where a decision's statement is, and from when; None where nobody is notified."""
        if not self.public_url or not self.is_enforced or not has_notice(decision):
            return None
        return Notice(self.links(decision).statement, self.notify_at_ms(decision))

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
        **circumstances: Any,
    ) -> Statement:
        """Write the statement of reasons of a decision; `circumstances` are further fields."""
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
                is_enforced=self.is_enforced,
                **circumstances,
            ),
        )


def has_notice(decision: Mapping[str, Any]) -> bool:
    """Whether a holder is notified of a decision."""
    return decision["outcome"] not in WITHOUT_STATEMENT


def warm() -> None:
    """Load the texts of notices, so that no answer waits for them."""
    with suppress(MissingExtraError):
        short_notices("limit", None)


def with_notice(response: DecideResponse, notices: HolderNotices) -> DecideResponse:
    """Return a response with a short notice, and of its decision when and where it is explained.

    In a pool thread, which keeps its connection. Where the database does not answer, or the
    packages of notices are missing, the answer goes without.
    """
    with suppress(MissingExtraError):
        response = add_notice(response, notices)
    if not notices.is_enforced or response.outcome in WITHOUT_NOTICE:
        return response
    try:
        newest = Decision.objects.filter(account=response.account).order_by("-number")[:1]
        rows = checked_decisions(newest)
        if not rows or rows[0].outcome != response.outcome:
            return response
        decision = msgspec.json.decode(bytes(rows[0].body))
        notice = notices.notice(decision)
    except (Error, ServiceError) as error:
        connection.close()
        logger.warning("an answer goes without its decision", cause=type(error).__name__)
        return response
    return msgspec.structs.replace(
        response,
        notify_at_ms=notices.notify_at_ms(decision),
        statement_url=notice.url if notice is not None else None,
    )


def add_notice(response: DecideResponse, notices: HolderNotices) -> DecideResponse:
    """Return a response with a short notice; near a limit it says how many places are left.

    Raises:
        MissingExtraError: The packages of notices are missing.
    """
    zone, text = notices.platform.time_zone, dict[str, str]()
    left, near = response.remaining, False
    if notices.is_enforced:
        text = short_notices(response.outcome, response.until, _challenge(response), zone)
        near = left is not None and left <= notices.last_places
    if left is not None and near:
        places = near_limit_notices(left, response.frees_at, zone)
        text = {code: f"{said} {places[code]}" for code, said in text.items()}
    if response.listed_by:
        keeper = notices.keepers.get(response.listed_by[0], "")
        of_list = list_notices(response.listed_by, keeper)
        text = {code: f"{text.get(code, '')} {said}".strip() for code, said in of_list.items()}
    return msgspec.structs.replace(response, notice=text or None, near_limit=near)


def _challenge(response: DecideResponse) -> Challenge | None:
    known = response.challenge in get_args(Challenge)
    return cast("Challenge", response.challenge) if known else None
