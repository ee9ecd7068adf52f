"""The `decide` operation: the outcome of events of an account, and the quota of new chats.

A response is meant for the platform: it names rules. What an account holder may see is for the
platform to decide, and must include neither rules nor thresholds.

The quota counts, from the engine's exact table of known pairs, the strangers that an account wrote
to first in the last sixteen buckets of 96 minutes and that have not answered; an answer frees a
place. How many a limit leaves is the rule's that limited it. Its states are NONE, FIRST_WARNING,
SECOND_WARNING and CAPPED.

Where the engine does not answer, an outcome that is known to be in force still holds (see
`enforcement_cache`), and the policy's `on_failure` says what is done with everybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import UNSET, Meta, Struct, UnsetType

from wavebreak import config, outcomes
from wavebreak.durations import Duration, duration_ms
from wavebreak.engine import Engine
from wavebreak.engine.account_queries import BUCKET_S, CYCLE_S, ChatCounts, count_chats
from wavebreak.engine.enforcement import SENT_GROUP, SESSION, refuses
from wavebreak.engine.kernel_policy import effective_outcome
from wavebreak.engine.outside_lists import ListTerms, delaying_lists
from wavebreak.engine.owner_answers import OwnerAnswer
from wavebreak.engine.versions import Terms
from wavebreak.features.dry_run import DryRunResult
from wavebreak.features.facts import NO_FACT, fact_kinds
from wavebreak.features.layout import BY_SCORE, HELD, NO_RULE
from wavebreak.io.arrow_columns import wire_batch_of_one
from wavebreak.io.jsonl import decode_event
from wavebreak.io.line_splitter import MAX_LINE
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.rules import Policy, Program, Rule
from wavebreak.rules.model import Stage
from wavebreak.schema.event_kinds import FACTS, KINDS, Bar
from wavebreak.schema.events import (
    EVENTS,
    TYPES,
    AccountRegistered,
    Event,
    MessageSent,
    Refusal,
    is_mass_mention,
)
from wavebreak_server.errors import ApiError, rejection
from wavebreak_server.pipeline.decider import AsOf
from wavebreak_server.pipeline.enforcement_cache import ALLOWED, KnownState
from wavebreak_server.pipeline.request_decoder import concat_batches, date_event, with_sources

MAX_EVENTS = 50
"""Events of one question."""
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

State = Literal["NONE", "FIRST_WARNING", "SECOND_WARNING", "CAPPED"]


class QuotaConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Warning thresholds (shares of the quota, and places left), and the size of an extension."""

    first_warning: Annotated[float, Meta(gt=0, le=1)]
    second_warning: Annotated[float, Meta(gt=0, le=1)]
    extension: Annotated[int, Meta(ge=0, le=100_000)]
    last_places: Annotated[int, Meta(ge=0, le=100_000)] = 3


class _QuotaFile(Struct, frozen=True, forbid_unknown_fields=True):
    quota: QuotaConfig


class Quota(Struct, frozen=True, kw_only=True):
    """An account's quota: new chats of the cycle that got no reply yet."""

    state: State
    used: int | None
    limit: Annotated[int, Meta(description="the quota, with any extension")] | None
    left: int | None
    cycle_s: int = CYCLE_S
    next_free_ms: Annotated[int, Meta(description="when the oldest chat leaves the cycle")] | None
    extension: Literal["none", "available", "used"]


def load_quota_config(local: Path | None = None) -> QuotaConfig:
    """Load `quota.toml` of a local policy, or the shipped one; raises PolicyError if invalid.

    >>> load_quota_config().first_warning
    0.5
    """
    return config.load_config(config.resolve_path("quota.toml", local), _QuotaFile).quota


class EngineJudge:
    """An engine that has judged events of an account."""

    def __init__(self, engine: Engine, account: str) -> None:
        self._engine, self._account = engine, account
        self.program, self.enforce = engine.program, engine.enforce
        self.log_time_s = int(engine.fanout.clock[0]["newest"]) // 1000
        self._slot = engine.slots_of([account]).get(account)

    def challenges(self, number: int, trial: DryRunResult) -> bool:
        """Whether the account can be asked for a challenge."""
        return self._engine.challenges_by(trial.source)

    def chats(self) -> ChatCounts:
        """Count the strangers of the account; none of one that the engine does not know."""
        slot = -1 if self._slot is None else self._slot
        return count_chats(self._engine.core, slot, self.log_time_s)

    def lists(self, log: pa.RecordBatch, terms: Mapping[str, ListTerms]) -> tuple[str, ...]:
        """Return the outside lists that delay an act of an event towards a stranger."""
        engine = self._engine
        if not terms or not engine.lists.lists:
            return ()
        has_origin = log.schema.get_field_index("origin") >= 0
        origin = log.column("origin")[0].as_py() if has_origin else None
        slot = -1 if self._slot is None else self._slot
        listed = engine.lists_of(self._account, slot, self.log_time_s * 1000, origin)
        return delaying_lists(listed, terms)


class OwnerJudge:
    """The group of a job that holds an account and has judged its events; it reads no lists."""

    def __init__(self, deciding: Terms, answer: OwnerAnswer) -> None:
        self.program, self.enforce, self._answer = deciding.program, deciding.enforce, answer
        self.log_time_s = answer.time_s

    def challenges(self, number: int, trial: DryRunResult) -> bool:
        """Whether the account can be asked for a challenge, at one of the events."""
        return self._answer.challenges[number]

    def chats(self) -> ChatCounts:
        """Return the strangers of the account."""
        return self._answer.chats

    def lists(self, log: pa.RecordBatch, terms: Mapping[str, ListTerms]) -> tuple[str, ...]:
        """Return no list."""
        return ()


Judge = EngineJudge | OwnerJudge


def quota_status(
    terms: QuotaConfig, limit: int | None, chats: ChatCounts | None, extended: bool
) -> Quota:
    """Return an account's quota; `limit` and `chats` are None if the account is not limited.

    >>> terms = QuotaConfig(0.5, 0.8, 5)
    >>> [quota_status(terms, 10, ChatCounts(n, 0, 0), False).state for n in (4, 5, 8, 10)]
    ['NONE', 'FIRST_WARNING', 'SECOND_WARNING', 'CAPPED']
    >>> quota_status(terms, 10, ChatCounts(10, 4, 0), False).left
    4
    >>> quota_status(terms, 10, ChatCounts(10, 0, 0), True).left
    5
    """
    if limit is None or chats is None:
        return Quota(
            state="NONE", used=None, limit=None, left=None, next_free_ms=None, extension="none"
        )
    used = chats.opened - chats.answered
    next_free_ms = None if chats.oldest_s is None else (chats.oldest_s + CYCLE_S) * 1000
    quota = limit + terms.extension * extended
    steps: tuple[tuple[State, float], ...] = (
        ("CAPPED", quota),
        ("SECOND_WARNING", terms.second_warning * quota),
        ("FIRST_WARNING", terms.first_warning * quota),
    )
    state: State = next((name for name, places in steps if used >= places), "NONE")
    return Quota(
        state=state,
        used=used,
        limit=quota,
        left=max(0, quota - used),
        next_free_ms=next_free_ms,
        extension="used" if extended else "available",
    )


_KINDS = fact_kinds()


class RetryAfter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait before the action is trial again."""

    closed: Duration
    at_most: Duration


class DecidePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How `decide` responds; see policy/service.toml."""

    on_failure: dict[Stage, Literal["open", "closed"]]
    challenge: dict[str, Literal["captcha", "code", "push"]]
    retry_after: RetryAfter


class DecideResponse(msgspec.Struct, frozen=True):
    """The response: `outcome` is the outcome in force with the action, `until` its end (ms).

    `allowed` says whether the action may proceed. In shadow it says the same of a decision that is
    not in force, a person's act included, and comes without a notice: refuse nothing then.

    `challenge` is one to offer: it ends a challenge,
    and raises what a limit on doubt leaves. `mode` is ask, record, attempt or on_failure (the
    engine did not answer: `outcome` is the last one that is known), `rules` are those that newly
    fired, and `by_score` says that the model's score decided. Of an array of events, the response
    is that of the strictest, and `refused` holds the indexes of those that may not proceed.

    Where `deliver_as` is request, the act may proceed, and reaches its recipient as a request: no
    notification, no media, no link preview, and the question whether they know the sender; a call
    does not ring, and an add to a group is an invitation. Of an array, `requests` holds the indexes
    of those.

    Under a limit, `remaining` says to how many strangers more the account may write, this act
    counted, and `frees_at` when the next place comes back (ms); an answer frees one at once.
    `near_limit`: so few are left that the holder should hear of it, once a limit; `notice` says it.

    `listed_by` are outside lists for which a first message arrives as a request. A list refuses
    nothing, and makes no decision.

    `as_of` is there where a job on Flink decides: how far it had decided that the answer is from.
    `owner_away` is true where it did not answer an attempt in time: the outcome in force did, as of
    `ask`, and what depends on the account's chats waits.

    The holder is not notified before `notify_at_ms` (null: no decision is stored). `notice` is a
    short text for the holder by language, and `statement_url` where the statement of reasons is.
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
    refused: tuple[int, ...] | UnsetType = UNSET
    notify_at_ms: int | None = None
    notice: dict[str, str] | None = None
    statement_url: str | None = None
    deliver_as: Literal["message", "request"] = "message"
    requests: tuple[int, ...] | UnsetType = UNSET
    remaining: int | None = None
    frees_at: int | None = None
    near_limit: bool = False
    listed_by: tuple[str, ...] | UnsetType = UNSET
    as_of: AsOf | UnsetType = UNSET
    owner_away: bool | UnsetType = UNSET


def load_decide_policy(directory: Path | None) -> DecidePolicy:
    """Load `service.toml` of a policy directory, or the shipped one; raises PolicyError."""
    return config.load_config(config.resolve_path("service.toml", directory), DecidePolicy)


class ParsedEvents(NamedTuple):
    """The events of a request, and whether it holds an array of them."""

    events: tuple[Event, ...]
    array: bool


def parse_events(content: bytes, arrival_ms: int) -> ParsedEvents:
    """Parse one event, or an array of 1 to 50 events of one account.

    Args:
        content: The body of the request.
        arrival_ms: The time of events that have none.

    Raises:
        ApiError: An event is invalid (422), or there are too many (413).
    """
    text = content.strip(b" \t\r\n")
    if not text.startswith(b"["):
        if len(content) > MAX_LINE:
            raise ApiError(413, f"the body exceeds {MAX_LINE} bytes", fix="send one short event")
        return ParsedEvents((_parse_event(text, arrival_ms, ""),), False)
    try:
        items = _ITEMS.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(
            422,
            "the array is not valid JSON",
            fix="send one event, or an array of events, in JSON",
            cause="bad_json",
        ) from None
    if not 1 <= len(items) <= MAX_EVENTS:
        raise ApiError(
            422,
            f"{len(items)} events in one question",
            fix=f"ask about 1 to {MAX_EVENTS} events",
            cause="bad_value",
        )
    events = tuple(
        _parse_event(bytes(item), arrival_ms, f"item {n}: ") for n, item in enumerate(items, 1)
    )
    if len({event.account for event in events}) > 1:
        raise ApiError(
            422,
            "field `account`: the events are of several accounts",
            fix="ask about each account by itself",
            cause="bad_value",
            field="account",
        )
    return ParsedEvents(events, True)


def _parse_event(content: bytes, arrival_ms: int, where: str) -> Event:
    event = decode_event(content)
    if isinstance(event, Refusal) and (event.cause, event.field) == ("missing_field", "ts"):
        event = decode_event(date_event(content, arrival_ms))
    if isinstance(event, Event):
        return event
    raise _rejection(event, where)


def _rejection(refusal: Refusal, where: str = "") -> ApiError:
    """Return the error of a question: its only event, or the one at `where`, was refused."""
    message = where + refusal.message.removeprefix("line 1: ")
    return rejection(msgspec.structs.replace(refusal, line=1, message=message))


def pseudonymize_event(
    event: Event, pseudonymizer: Pseudonymizer, source: str = ""
) -> pa.RecordBatch:
    """Pseudonymize one event of a source: a narrow batch of one row for a dry run.

    A missing id is not generated, as it would be in the log.
    """
    named = event if event.id else msgspec.structs.replace(event, id="asked")
    log, refused = pseudonymizer.split(wire_batch_of_one(named), narrow=True)
    if refused:
        raise _rejection(refused[0])
    return with_sources(log, [source], [1])


class DecideResponder:
    """Responds to `decide` under one policy.

    Args:
        pseudonymizer: Pseudonymizes the events.
        extension: Returns the new chats that an account was given beyond its limit's, at a time
            (ms; default: none).
        challenges: Whether some account can be asked for a challenge.
        lists: What the administrator says of outside lists, by name.
    """

    def __init__(
        self,
        policy: Policy,
        decide_policy: DecidePolicy,
        pseudonymizer: Pseudonymizer,
        extension: Callable[[str, int], int] | None = None,
        *,
        challenges: bool = True,
        lists: Mapping[str, ListTerms] | None = None,
    ) -> None:
        self.challenges = challenges
        self.lists = lists or {}
        self.policy, self.decide_policy, self.pseudonymizer = policy, decide_policy, pseudonymizer
        self._extension = extension or (lambda _account, _now_ms: 0)
        self._closed = _fail_closed_types(policy, decide_policy)

    def respond_to_all(
        self, engine: Engine, events: Sequence[Event], logs: Sequence[pa.RecordBatch], mode: str
    ) -> list[DecideResponse]:
        """Respond to each event by one dry run, as if those before it had been sent."""
        trials = engine.trials(concat_batches(logs))
        return self.respond_by(EngineJudge(engine, events[0].account), trials, events, logs, mode)

    def respond_by(
        self,
        judge: Judge,
        trials: Sequence[DryRunResult],
        events: Sequence[Event],
        logs: Sequence[pa.RecordBatch],
        mode: str,
    ) -> list[DecideResponse]:
        """Respond to each event of an account by how it was judged."""
        return [
            self._respond(judge, events[k], logs[k], mode, trial, before=k)
            for k, trial in enumerate(trials)
        ]

    def respond(
        self, engine: Engine, event: Event, log: pa.RecordBatch, mode: str
    ) -> DecideResponse:
        """Respond by a dry run of the event; `log` is its pseudonymized batch."""
        return self.respond_to_all(engine, [event], [log], mode)[0]

    def _respond(
        self,
        judge: Judge,
        event: Event,
        log: pa.RecordBatch,
        mode: str,
        trial: DryRunResult,
        *,
        before: int,
    ) -> DecideResponse:
        """Respond by the result of an event's dry run; so many events are asked about before it."""
        fired, lead = 0, NO_RULE
        for hit in trial.hits:
            fired |= int(hit["hits"])
            lead = int(hit["rule"])
        program = judge.program
        is_rule = lead < len(program.ids)
        until = trial.until * 1000 or None
        # An extension is of new chats.
        refused = _refused(event, trial) and (
            _is_to_group(event) or not self._fits_quota(judge, log, trial, before)
        )
        raises = refused and trial.outcome == outcomes.LIMIT and trial.on_doubt
        challenges = self.challenges and judge.challenges(before, trial)
        challenged = challenges and (trial.outcome == outcomes.CHALLENGE or raises)
        action = program.actions[lead] if is_rule else "challenge"
        to_stranger = trial.stranger and not refused
        listed_by = judge.lists(log, self.lists) if to_stranger else ()
        quiet = to_stranger and (trial.outcome == outcomes.REQUEST or bool(listed_by))
        remaining, frees_at = self._places(judge, event, log, trial)
        return DecideResponse(
            event.account,
            outcome_in_force(outcomes.OUTCOMES[trial.outcome], challenges=challenges),
            allowed=not refused,
            until=until if trial.outcome else None,
            challenge=self.decide_policy.challenge.get(action, "captcha") if challenged else None,
            retry_after_ms=self._wait(judge, log, trial) if refused else None,
            rules=_enforced_rules(program, fired),
            by_score=lead == BY_SCORE,
            mode=mode,
            deliver_as="request" if quiet else "message",
            remaining=remaining,
            frees_at=frees_at,
            listed_by=listed_by or UNSET,
        )

    def _places(
        self, judge: Judge, event: Event, log: pa.RecordBatch, trial: DryRunResult
    ) -> tuple[int | None, int | None]:
        """Return how many places a limit leaves after an act that may take one, and when more."""
        kind = int(_KINDS[EVENTS.index(type(event)), 0])
        if trial.outcome != outcomes.LIMIT or _is_to_group(event) or kind == NO_FACT:
            return None, None
        if not FACTS[kind].bars & Bar.ALLOWANCE:
            return None, None
        remaining = max(0, trial.quota + self._extra(judge, log) - trial.taken)
        oldest = judge.chats().oldest_s
        # Who is the first takes the place from now on.
        bucket_s = int(log.column("ts")[0].as_py()) // 1000 // BUCKET_S * BUCKET_S
        frees_s = (bucket_s if oldest is None else oldest) + CYCLE_S
        return remaining, min(frees_s, trial.until or frees_s) * 1000

    def _extra(self, judge: Judge, log: pa.RecordBatch) -> int:
        """Return the places that an extension adds to the quota of an event's account now."""
        return self._extension(log.column("account")[0].as_py(), judge.log_time_s * 1000)

    def _fits_quota(
        self, judge: Judge, log: pa.RecordBatch, trial: DryRunResult, before: int
    ) -> bool:
        """Whether a chat that a limit refuses fits the quota with its extension.

        Each event before it may have taken a place. If the kernel enforces, its decision holds: it
        knows of no extension.
        """
        if trial.outcome != outcomes.LIMIT or judge.enforce:
            return False
        chats = judge.chats()
        return chats.opened - chats.answered + before < trial.quota + self._extra(judge, log)

    def _wait(self, judge: Judge, log: pa.RecordBatch, trial: DryRunResult) -> int | None:
        """Return the milliseconds until another try may succeed; None if waiting never helps.

        Under a limit that is when the oldest stranger without an answer leaves the cycle, unless
        the limit ends before; somebody's answer or a passed challenge may free a place earlier.
        """
        ends = [trial.until * 1000] if trial.until else []
        if trial.outcome == outcomes.LIMIT and trial.quota > 0:
            oldest = judge.chats().oldest_s
            ends += [(oldest + CYCLE_S) * 1000] if oldest is not None else []
        if not ends:
            return None
        wait_ms = min(ends) - int(log.column("ts")[0].as_py())
        return max(0, min(wait_ms, duration_ms(self.decide_policy.retry_after.at_most)))

    def fallback(
        self, event: Event, known: KnownState = ALLOWED, now_ms: int = 0, mode: str = "on_failure"
    ) -> DecideResponse:
        """Respond without the engine.

        An outcome that is known to be in force refuses what it would have refused. Where that
        depends on the account's chats, which only the engine knows, the answer is to ask again. All
        other events pass or wait as the `on_failure` of the rules for them says.

        Args:
            event: The event.
            known: The last known outcome of its account.
            now_ms: The service's clock.
            mode: What is answered; in other modes than on_failure what is known is fresh enough,
                and nobody else waits.
        """
        closed = mode == "on_failure" and EVENTS.index(type(event)) in self._closed
        refused, depends = known_refusal(event, known)
        closed_ms = duration_ms(self.decide_policy.retry_after.closed)
        if refused:
            max_ms = duration_ms(self.decide_policy.retry_after.at_most)
            retry_ms = None if known.until_ms is None else min(known.until_ms - now_ms, max_ms)
        else:
            retry_ms = closed_ms if closed or depends else None
        action = "recover" if known.quota == HELD else "challenge"
        challenged = known.outcome == outcomes.CHALLENGE and self.challenges
        return DecideResponse(
            event.account,
            outcome_in_force(outcomes.OUTCOMES[known.outcome], challenges=self.challenges),
            allowed=not (refused or depends or closed),
            until=known.until_ms,
            challenge=self.decide_policy.challenge.get(action, "captcha") if challenged else None,
            retry_after_ms=retry_ms,
            mode=mode,
        )


def strictest(responses: Sequence[DecideResponse], *, array: bool) -> DecideResponse:
    """Return the strictest response, with the indexes of refused events for an array.

    >>> allowed = DecideResponse("ann", "limit", True)
    >>> strictest([allowed, DecideResponse("ann", "limit", False)], array=True).refused
    (1,)
    """
    first = max(
        responses, key=lambda response: (not response.allowed, outcomes.rank_of(response.outcome))
    )
    if not array:
        return first
    refused = tuple(k for k, response in enumerate(responses) if not response.allowed)
    quiet = tuple(k for k, response in enumerate(responses) if response.deliver_as == "request")
    return msgspec.structs.replace(
        first,
        listed_by=next((response.listed_by for response in responses if response.listed_by), UNSET),
        refused=refused,
        deliver_as="request" if quiet else "message",
        requests=quiet or UNSET,
        remaining=responses[-1].remaining,
        frees_at=responses[-1].frees_at,
    )


def known_refusal(event: Event, known: KnownState) -> tuple[bool, bool]:
    """Whether a known outcome refuses an event, or may refuse it depending on the chats.

    No earlier outcome refuses a registration.
    """
    if outcomes.OUTCOMES[known.outcome] in outcomes.NOT_REFUSING or isinstance(
        event, AccountRegistered
    ):
        return False, False
    kind = int(_KINDS[EVENTS.index(type(event)), 0])
    friend = isinstance(event, MessageSent) and bool(event.in_contacts)
    if _is_to_group(event):
        kind = SENT_GROUP
        friend = not is_mass_mention(event)
    opens = int(bool(FACTS[kind].bars & (Bar.CHAT | Bar.ALLOWANCE)) and not friend)
    linked = int(kind == SESSION and bool(getattr(event, "linked", None)))
    possibly = refuses(known.outcome, kind, opens, linked, known.quota, known.quota)
    certainly = refuses(known.outcome, kind, 0, linked, 0, known.quota)
    return bool(certainly), bool(possibly and not certainly)


def _is_to_group(event: Event) -> bool:
    return isinstance(event, MessageSent) and event.group is not None


def enforcement_state(engine: Engine, account: str) -> tuple[str, int | None]:
    """Return an account's outcome in force and its end (ms); call on the engine thread."""
    slot = int(engine.fanout.accounts.find(pa.array([account], pa.string()))[0])
    if slot < 0 or slot >= engine.core.accounts:
        return "allow", None
    row = engine.core.row_of(slot)
    challenges = engine.challenges_by(engine.core.source_of(slot))
    outcome = outcome_in_force(outcomes.OUTCOMES[int(row["enforcement"])], challenges=challenges)
    return outcome, int(row["until"]) * 1000 or None


def outcome_in_force(outcome: str, *, challenges: bool) -> str:
    """Return an outcome by name as it is in force; see `kernel_policy.effective_outcome`.

    >>> outcome_in_force("challenge", challenges=False), outcome_in_force("ban", challenges=False)
    ('limit', 'ban')
    """
    return outcomes.OUTCOMES[effective_outcome(outcomes.code_of(outcome), challenges=challenges)]


def _enforced_rules(program: Program, fired: int) -> tuple[str, ...]:
    """Return the enforced rules among those that fired (one bit each)."""
    rules = enumerate(program.ids) if fired else ()
    return tuple(name for k, name in rules if fired >> k & 1 and not program.shadow[k])


def _refused(event: Event, trial: DryRunResult) -> bool:
    # No earlier outcome refuses a registration; its own decision can refuse the account.
    registers = isinstance(event, AccountRegistered)
    if registers:
        return outcomes.OUTCOMES[trial.outcome] in outcomes.REFUSING_ALL
    return trial.refused


def fails_closed(rule: Rule, decide_policy: DecidePolicy) -> bool:
    """Whether a rule is enforced and fails closed."""
    on_failure = rule.on_failure or decide_policy.on_failure.get(rule.stage, "open")
    return rule.mode == "enforce" and on_failure == "closed"


def _fail_closed_types(policy: Policy, decide_policy: DecidePolicy) -> frozenset[int]:
    """Return the codes of event types that have a rule which fails closed."""
    kinds = fact_kinds()
    types = set()
    for code, name in enumerate(TYPES):
        kind = int(kinds[code, 0])
        names = {"sent", "sent_group"} if name == "message.sent" else set()
        names |= {KINDS[kind]} if kind != NO_FACT else set()
        if any(fails_closed(rule, decide_policy) and names & set(rule.on) for rule in policy.rules):
            types.add(code)
    return frozenset(types)
