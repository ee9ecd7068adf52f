"""What `decide` answers: one event in, what it would lead to or has led to out.

An answer is for the platform: it names rules. What an account holder may be told is the platform's
to say, and holds neither rules nor thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa

from wavebreak import sheets
from wavebreak.edge import Edge
from wavebreak.errors import EventError
from wavebreak.events import EVENTS, TYPES, AccountRegistered, Event
from wavebreak.features.catalog import KINDS
from wavebreak.features.facts import NO_FACT, fact_kinds
from wavebreak.features.state import BY_SCORE, NO_RULE, OUTCOMES
from wavebreak.features.trial import Tried
from wavebreak.formats.lines import take_one
from wavebreak.formats.structs import wire_of_one
from wavebreak.pipeline import Engine
from wavebreak.rules import Policy, Program, Rule, seconds
from wavebreak.rules.declared import Duration, Stage
from wavebreak.service.quota import chats

_CHALLENGE, _LIMIT, _SUSPEND = map(OUTCOMES.index, ("challenge", "limit", "suspend"))


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After how long to ask again."""

    closed: Duration
    at_most: Duration


class Manners(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the service answers; see policy/service.toml."""

    on_failure: dict[Stage, Literal["open", "closed"]]
    challenge: dict[str, Literal["captcha", "code", "push"]]
    retry_after: Retry


class Answer(msgspec.Struct, frozen=True):
    """The answer: `outcome` is the standing in force with the act, `until` its end (ms).

    `allowed` says whether the act may pass. `mode` is ask, record or on_failure, `rules` are those
    that newly fired, `by_score` that the score decided.
    """

    account: str
    outcome: str
    allowed: bool
    until: int | None = None
    challenge: str | None = None
    retry_after_ms: int | None = None
    rules: tuple[str, ...] = ()
    by_score: bool = False
    mode: str = "ask"


def load(directory: Path | None) -> Manners:
    """Read service.toml of a policy directory, or the shipped one; raises PolicyError."""
    return sheets.read(sheets.chosen("service.toml", directory), Manners)


def event_of(content: bytes) -> Event:
    """Read one event; raises EventError with the refusal's words."""
    found = take_one(content)
    if isinstance(found, Event):
        return found
    raise EventError(found.message.removeprefix("line 1: "))


def log_of(event: Event, edge: Edge) -> pa.RecordBatch:
    """Take one event over the privacy edge: a narrow batch of one row, as a trial reads it.

    An id that it lacks is not made, as it would be in the log.
    """
    named = event if event.id else msgspec.structs.replace(event, id="asked")
    log, refused = edge.split(wire_of_one(named), narrow=True)
    if refused:
        raise EventError(refused[0].message.removeprefix("line 1: "))
    return log


class Answering:
    """Answers under one policy.

    `quota` gives the new chats that a limited account has at a time (ms; default: the policy's).
    """

    def __init__(
        self, policy: Policy, manners: Manners, edge: Edge,
        quota: Callable[[str, int], int] | None = None,
    ) -> None:  # fmt: skip
        self.policy, self.manners, self.edge = policy, manners, edge
        self._quota = quota or (lambda _account, _now_ms: policy.standing.new_chats_1d)
        self._closed = _closed(policy, manners)

    def tried(self, engine: Engine, event: Event, log: pa.RecordBatch, mode: str) -> Answer:
        """Answer by a trial of the event, and of what `log_of` made of it."""
        tried = engine.trial(log)
        fired, lead = 0, NO_RULE
        for hit in tried.hits:
            fired |= int(hit["hits"])
            lead = int(hit["rule"])
        program = engine.program
        known = lead < len(program.ids)
        until = tried.until * 1000 or None
        refused = _refused(event, tried) and not self._spared(engine, log, tried)
        challenged = tried.standing == _CHALLENGE
        action = program.actions[lead] if known else "challenge"
        return Answer(
            event.account,
            OUTCOMES[tried.standing],
            allowed=not refused,
            until=until if tried.standing else None,
            challenge=self.manners.challenge.get(action, "captcha") if challenged else None,
            retry_after_ms=self._wait(log, until) if refused else None,
            rules=_names(program, fired),
            by_score=lead == BY_SCORE,
            mode=mode,
        )

    def _spared(self, engine: Engine, log: pa.RecordBatch, tried: Tried) -> bool:
        """Whether a chat that a limit refuses has a place all the same: an answer frees one.

        The kernel counts answered chats too; where it enforces, its word stands.
        """
        if tried.standing != _LIMIT or engine.enforce:
            return False
        slot = int(engine.fanout.accounts.find(log.column("account"))[0])
        now_s = int(engine.fanout.clock[0]["newest"]) // 1000
        found = chats(engine.core, slot, now_s)
        quota = self._quota(log.column("account")[0].as_py(), now_s * 1000)
        return found.opened - found.answered < quota

    def _wait(self, log: pa.RecordBatch, until: int | None) -> int | None:
        """Milliseconds until it is worth asking again; None where no time changes anything."""
        if until is None:
            return None
        left = until - int(log.column("ts")[0].as_py())
        return max(0, min(left, seconds(self.manners.retry_after.at_most) * 1000))

    def failing(self, event: Event) -> Answer:
        """Answer without the engine, as the rules that would have judged the act say."""
        code = EVENTS.index(type(event))
        closed = code in self._closed
        wait = seconds(self.manners.retry_after.closed) * 1000 if closed else None
        return Answer(
            event.account, "allow", allowed=not closed, retry_after_ms=wait, mode="on_failure"
        )


def standing_of(engine: Engine, account: str) -> tuple[str, int | None]:
    """Give the outcome in force for an account, and its end (ms); call on the engine's thread."""
    slot = int(engine.fanout.accounts.find(pa.array([account], pa.string()))[0])
    if slot < 0 or slot >= engine.core.accounts:
        return "allow", None
    row = engine.core.row_of(slot)
    return OUTCOMES[int(row["standing"])], int(row["until"]) * 1000 or None


def _names(program: Program, fired: int) -> tuple[str, ...]:
    """The enforced rules among those that fired (a bit each)."""
    some = enumerate(program.ids) if fired else ()
    return tuple(name for k, name in some if fired >> k & 1 and not program.shadow[k])


def _refused(event: Event, tried: Tried) -> bool:
    # A registration is no act that a standing refuses: it is an account that must not come to be.
    registers = isinstance(event, AccountRegistered)
    return tried.standing >= _SUSPEND if registers else tried.refused


def closes(rule: Rule, manners: Manners) -> bool:
    """Whether what an enforced rule would have judged may not pass unjudged."""
    says = rule.on_failure or manners.on_failure.get(rule.stage, "open")
    return rule.mode == "enforce" and says == "closed"


def _closed(policy: Policy, manners: Manners) -> frozenset[int]:
    """Codes of the types of event that a rule which closes would have judged."""
    kinds = fact_kinds()
    found = set()
    for code, name in enumerate(TYPES):
        kind = int(kinds[code, 0])
        names = {"sent", "sent_group"} if name == "message.sent" else set()
        names |= {KINDS[kind]} if kind != NO_FACT else set()
        if any(closes(rule, manners) and names & set(rule.on) for rule in policy.rules):
            found.add(code)
    return frozenset(found)
