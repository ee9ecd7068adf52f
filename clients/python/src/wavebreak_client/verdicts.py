"""The answer to an attempt, and what takes its place where there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from wavebreak_client.errors import SettingsError
from wavebreak_client.event_base import Event
from wavebreak_client.states import CALM, OUTCOMES

Act = Literal["registration", "messaging"]
Failure = Literal["open", "closed"]

ON_FAILURE: Mapping[Act, Failure] = {"registration": "closed", "messaging": "open"}
"""What happens to an act while the service gives no answer."""
RETRY_AFTER_MS = 2_000


@dataclass(frozen=True)
class Verdict:
    """Whether an act may happen.

    Attributes:
        account: The account that acts.
        outcome: allow, observe, request, challenge, limit, restrict, suspend or ban; the strictest
            of several events.
        allowed: Whether the act may happen. A client in shadow mode always has True here.
        until_ms: When the outcome ends, in milliseconds of the service's time.
        challenge: What the account can pass to be allowed: captcha, code or push.
        retry_after_ms: When it is worth another try.
        rules: The ids of the rules that decided. Not for the holder.
        by_score: Whether the model's score decided.
        mode: attempt or ask; on_failure where the service gave no answer.
        refused: Which of several events are refused.
        notify_at_ms: When the holder may be notified; None: at once.
        notice: What to show the holder, by language.
        statement_url: Where the holder reads the statement of reasons, and objects.
        deliver_as: How an act that may happen reaches its recipient: as a message, or as a request:
            no notification, no media, no link preview, and the question whether they know the
            sender. A client in shadow mode always has message here.
        requests: Which of several events are to arrive as requests.
        remaining: How many new chats with strangers a limit leaves, this act counted.
        frees_at_ms: When the next place comes back; an answer frees one at once.
        near_limit: Whether few are left, so that the holder should hear of it, once a limit.
        listed_by: Outside lists for which a first message arrives as a request. `notice` says so:
            show it once.
        owner_away: Whether what decides did not answer in time, so that the outcome in force
            answered. Another try asks it again.
        events: The events that were asked about, with their ids. Where they are allowed and then
            happen, hand them to `tell`.

    """

    account: str
    outcome: str
    allowed: bool
    until_ms: int | None = None
    challenge: str | None = None
    retry_after_ms: int | None = None
    rules: tuple[str, ...] = ()
    by_score: bool = False
    mode: str = "attempt"
    refused: tuple[int, ...] = ()
    notify_at_ms: int | None = None
    notice: Mapping[str, str] | None = None
    statement_url: str | None = None
    deliver_as: Literal["message", "request"] = "message"
    requests: tuple[int, ...] = ()
    remaining: int | None = None
    frees_at_ms: int | None = None
    near_limit: bool = False
    listed_by: tuple[str, ...] = ()
    owner_away: bool = False
    events: tuple[Event, ...] = field(default=(), repr=False, compare=False)

    @property
    def answered(self) -> bool:
        """Whether the service answered."""
        return self.mode != "on_failure"


def read_verdict(body: bytes, events: Sequence[Event] = (), *, shadow: bool = False) -> Verdict:
    """Return the verdict that the body of an answer holds.

    Args:
        body: The answer of `POST /v1/decide`.
        events: The events that were asked about.
        shadow: Allow in any case.

    Raises:
        ValueError: Where it is no verdict.

    """
    read = json.loads(body)
    if not isinstance(read, dict):
        raise ValueError("a verdict is no object")
    account, outcome, allowed = (read.get(name) for name in ("account", "outcome", "allowed"))
    if not isinstance(account, str) or outcome not in OUTCOMES or not isinstance(allowed, bool):
        raise ValueError("a verdict lacks account, outcome or allowed")
    notice = read.get("notice")
    quiet = read.get("deliver_as") == "request" and not shadow
    return Verdict(
        account,
        outcome,
        allowed or shadow,
        _typed(read, "until", int),
        _typed(read, "challenge", str),
        _typed(read, "retry_after_ms", int),
        tuple(each for each in read.get("rules") or () if isinstance(each, str)),
        bool(read.get("by_score")),
        _typed(read, "mode", str) or ("ask" if shadow else "attempt"),
        tuple(each for each in read.get("refused") or () if isinstance(each, int)),
        _typed(read, "notify_at_ms", int),
        notice if isinstance(notice, dict) else None,
        _typed(read, "statement_url", str),
        "request" if quiet else "message",
        tuple(each for each in read.get("requests") or () if quiet and isinstance(each, int)),
        _typed(read, "remaining", int),
        _typed(read, "frees_at", int),
        read.get("near_limit") is True,
        tuple(each for each in read.get("listed_by") or () if isinstance(each, str)),
        read.get("owner_away") is True,
        tuple(events),
    )


def _typed(members: Mapping[str, Any], name: str, kind: type) -> Any:
    value = members.get(name)
    return value if isinstance(value, kind) else None


def act_of(events: Sequence[Event]) -> Act:
    """Return which kind of act the events are."""
    registers = any(event.TYPE == "account.registered" for event in events)
    return "registration" if registers else "messaging"


def failed_verdict(
    events: Sequence[Event],
    on_failure: Mapping[Act, Failure],
    *,
    status: int = 0,
    shadow: bool = False,
) -> Verdict:
    """Return what happens to an act that the service gave no answer to.

    Args:
        events: The act.
        on_failure: What to do, by kind of act.
        status: The status of the answer, 0 where there was none. A refusal of the request itself
            (a wrong key, an event that the service does not know) never closes an act.
        shadow: Allow in any case.

    """
    closed = not shadow and not is_fault(status) and on_failure[act_of(events)] == "closed"
    return Verdict(
        str(events[0].to_json()["account"]),
        "limit" if closed else "allow",
        not closed,
        retry_after_ms=RETRY_AFTER_MS if closed else None,
        mode="on_failure",
        refused=tuple(range(len(events))) if closed and len(events) > 1 else (),
        events=tuple(events),
    )


def judge(
    status: int,
    body: bytes,
    events: Sequence[Event],
    on_failure: Mapping[Act, Failure],
    *,
    shadow: bool = False,
) -> tuple[Verdict, bool]:
    """Return the verdict on an act, and whether the service answered it or the request's fault.

    Args:
        status: The status of the answer; 0 where there was none.
        body: The body of the answer.
        events: The act.
        on_failure: What to do, by kind of act, where there is no answer.
        shadow: Allow in any case.

    """
    if status == 200:
        try:
            return _opened(read_verdict(body, events, shadow=shadow), on_failure), True
        except ValueError:
            status = 0
    return failed_verdict(events, on_failure, status=status, shadow=shadow), is_fault(status)


def _opened(verdict: Verdict, on_failure: Mapping[Act, Failure]) -> Verdict:
    """Allow a registration that the service refuses only because its engine does not answer.

    It says so itself then; an enforcement that it knows of holds.
    """
    wanting = not verdict.answered and verdict.outcome in CALM
    registers = act_of(verdict.events) == "registration"
    if not (wanting and registers and on_failure["registration"] == "open"):
        return verdict
    return replace(verdict, allowed=True, retry_after_ms=None, refused=())


def is_fault(status: int) -> bool:
    """Return whether a status says that the request is at fault, not the service."""
    return 400 <= status < 500 and status not in (408, 429)


def read_on_failure(given: Mapping[str, str] | None) -> Mapping[Act, Failure]:
    """Return the failure table of a client, with the defaults filled in.

    Raises:
        SettingsError: Where a kind of act is unknown, or messaging would close.

    """
    chosen: dict[Any, Any] = {**ON_FAILURE, **(given or {})}
    for act, failure in chosen.items():
        if act not in ON_FAILURE:
            raise SettingsError("on_failure has an unknown act", fix="use registration, messaging")
        if failure not in ("open", "closed"):
            raise SettingsError("on_failure has an unknown value", fix="use open or closed")
    if chosen["messaging"] != "open":
        raise SettingsError(
            "on_failure would stop all messages while the service is away",
            fix='leave "messaging" at "open"',
        )
    return chosen
