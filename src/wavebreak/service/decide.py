"""Quota of new chats: NONE, FIRST_WARNING, SECOND_WARNING, CAPPED.

Counted from the engine's exact table of known pairs: chats that the account opened in the last
sixteen buckets of 96 minutes and that were not answered. An answer frees the chat's place.

What `decide` answers: one event in, what it would lead to or has led to out.

An answer is for the platform: it names rules. What an account holder may be told is the platform's
to say, and holds neither rules nor thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Meta, Struct

from wavebreak import config
from wavebreak.engine import Engine
from wavebreak.errors import EventError
from wavebreak.features.dry_run import Tried
from wavebreak.features.fact_kinds import KINDS
from wavebreak.features.facts import NO_FACT, fact_kinds
from wavebreak.features.layout import BUCKETS, BY_SCORE, NO_RULE, OUTCOMES, REPLIED, SHARDS, STARTED
from wavebreak.features.pair_table import of_owner
from wavebreak.features.shards import Core
from wavebreak.io.arrow_columns import wire_batch_of_one
from wavebreak.io.jsonl import decode_event
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, Program, Rule, duration_seconds
from wavebreak.rules.model import Duration, Stage
from wavebreak.schema.events import EVENTS, TYPES, AccountRegistered, Event

BUCKET_S = 5_760
CYCLE_S = BUCKETS * BUCKET_S

State = Literal["NONE", "FIRST_WARNING", "SECOND_WARNING", "CAPPED"]


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """What `quota.toml` says: shares at which an account is warned, chats given once a cycle."""

    first_warning: Annotated[float, Meta(gt=0, le=1)]
    second_warning: Annotated[float, Meta(gt=0, le=1)]
    extension: Annotated[int, Meta(ge=0, le=100_000)]


class _Sheet(Struct, frozen=True, forbid_unknown_fields=True):
    """All of `quota.toml`."""

    quota: Terms


class Quota(Struct, frozen=True, kw_only=True):
    """How an account stands to its quota: chats of the cycle that are not answered yet."""

    state: State
    used: int | None
    limit: Annotated[int, Meta(description="the quota, with an extension")] | None
    left: int | None
    cycle_s: int = CYCLE_S
    next_free_ms: Annotated[int, Meta(description="when the oldest chat leaves the cycle")] | None
    extension: Literal["none", "available", "used"]


class Chats(NamedTuple):
    """Chats that an account opened in its cycle: how many, how many answered, the oldest open."""

    opened: int
    answered: int
    oldest_s: int | None


def load_terms(local: Path | None = None) -> Terms:
    """Load the shipped terms, or those of a local policy that has its own `quota.toml`.

    Raises PolicyError for a file that cannot be read or does not hold what it must.

    >>> load_terms().first_warning
    0.5
    """
    return config.load_config(config.resolve_path("quota.toml", local), _Sheet).quota


def chats(core: Core, slot: int, now_s: int) -> Chats:
    """Count the chats that account `slot` opened in the cycle that ends at `now_s` (event time)."""
    flags, first = of_owner(core.pairs[slot % SHARDS], slot // SHARDS)
    opened = ((flags & STARTED) > 0) & (first > now_s // BUCKET_S - BUCKETS)
    waits = opened & ((flags & REPLIED) == 0)
    oldest = int(first[waits].min()) * BUCKET_S if waits.any() else None
    return Chats(int(opened.sum()), int((opened & ~waits).sum()), oldest)


def quota(terms: Terms, limit: int | None, found: Chats | None, extended: bool) -> Quota:
    """Say how an account stands: `limit` is its quota (None, as `found`: it is not limited).

    >>> terms = Terms(0.5, 0.8, 5)
    >>> [quota(terms, 10, Chats(n, 0, 0), False).state for n in (4, 5, 8, 10)]
    ['NONE', 'FIRST_WARNING', 'SECOND_WARNING', 'CAPPED']
    >>> quota(terms, 10, Chats(10, 4, 0), False).left, quota(terms, 10, Chats(10, 0, 0), True).left
    (4, 5)
    """
    if limit is None or found is None:
        return Quota(state="NONE", used=None, limit=None, left=None, next_free_ms=None,
                     extension="none")  # fmt: skip
    used = found.opened - found.answered
    frees = None if found.oldest_s is None else (found.oldest_s + CYCLE_S) * 1000
    whole = limit + terms.extension * extended
    steps: tuple[tuple[State, float], ...] = (
        ("CAPPED", whole), ("SECOND_WARNING", terms.second_warning * whole),
        ("FIRST_WARNING", terms.first_warning * whole),
    )  # fmt: skip
    state: State = next((name for name, at in steps if used >= at), "NONE")
    return Quota(state=state, used=used, limit=whole, left=max(0, whole - used),
                 next_free_ms=frees, extension="used" if extended else "available")  # fmt: skip


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
    return config.load_config(config.resolve_path("service.toml", directory), Manners)


def event_of(content: bytes) -> Event:
    """Read one event; raises EventError with the refusal's words."""
    found = decode_event(content)
    if isinstance(found, Event):
        return found
    raise EventError(found.message.removeprefix("line 1: "))


def log_of(event: Event, edge: Pseudonymizer) -> pa.RecordBatch:
    """Take one event over the privacy edge: a narrow batch of one row, as a trial reads it.

    An id that it lacks is not made, as it would be in the log.
    """
    named = event if event.id else msgspec.structs.replace(event, id="asked")
    log, refused = edge.split(wire_batch_of_one(named), narrow=True)
    if refused:
        raise EventError(refused[0].message.removeprefix("line 1: "))
    return log


class Answering:
    """Answers under one policy.

    `quota` gives the new chats that a limited account has at a time (ms; default: the policy's).
    """

    def __init__(
        self, policy: Policy, manners: Manners, edge: Pseudonymizer,
        quota: Callable[[str, int], int] | None = None,
    ) -> None:  # fmt: skip
        self.policy, self.manners, self.edge = policy, manners, edge
        self._quota = quota or (lambda _account, _now_ms: policy.enforcement.new_chats_1d)
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
        return max(0, min(left, duration_seconds(self.manners.retry_after.at_most) * 1000))

    def failing(self, event: Event) -> Answer:
        """Answer without the engine, as the rules that would have judged the act say."""
        code = EVENTS.index(type(event))
        closed = code in self._closed
        wait = duration_seconds(self.manners.retry_after.closed) * 1000 if closed else None
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
