"""Facts about an account for the pages: features among the population, decisions, neighbours.

The engine is asked between two batches of the log; what it returns is copied. Nothing here decides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from asgiref.sync import async_to_sync
from django.db.models import Count, QuerySet

from wavebreak.engine import Engine
from wavebreak.explain import narrative
from wavebreak.features.catalog import FEATURES, describe
from wavebreak.features.descriptions import feature_title
from wavebreak.languages import Language, msgid
from wavebreak.model import describe_direction
from wavebreak.outcomes import OUTCOMES, row_of
from wavebreak.rules import load_policy
from wavebreak.schema.events import TYPES
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.lanes.service import LANE_WORDS
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.storage.event_log import read_log
from wavebreak_server.storage.models import (
    Decision,
    EnforcementState,
    LedgerEntry,
    LedgerOpening,
    LogBatch,
)
from wavebreak_server.texts import page_language, translate

SAMPLE = 2_000
SAMPLE_EVERY_S = 300.0
SHOWN_DECISIONS = 100
TIMELINE_BATCHES = 4_000
TIMELINE_EVENTS = 3_000_000
LANES = {
    "message.sent": msgid("sent"),
    "typing.started": msgid("typed"),
    "contact.looked_up": msgid("looked up"),
    "user.reported": msgid("reports made"),
    "user.blocked": msgid("blocks made"),
    "group.created": msgid("groups made"),
    "group.member_added": msgid("members added"),
    "session.started": msgid("sessions"),
    "challenge.passed": msgid("challenges passed"),
    "challenge.failed": msgid("challenges failed"),
    "label.assigned": msgid("labels"),
    "call.started": msgid("calls made"),
}
AIMED = {
    "message.sent": msgid("received"),
    "user.reported": msgid("reported by"),
    "user.blocked": msgid("blocked by"),
    "call.started": msgid("called by"),
}
KEY_FEATURES = (
    "age_s", "stranger_contacts", "stranger_answers", "stranger_complaints",
    "unanswered_strangers_1d", "first_contacts_1h", "first_contacts_1d", "reply_share_7d",
    "reciprocity", "mutual_contacts", "gap_equal_share", "typed_share_32", "size_repeat_share_32",
    "hour_entropy", "operator_accounts", "operator_abusive_accounts", "score",
)  # fmt: skip
"""Features that a reviewer looks at first, in this order; the others follow by name."""


class Strip(NamedTuple):
    """A feature among the population: its value, and its percentile (None: missing)."""

    name: str
    title: str
    meaning: str
    value: str
    percentile: int | None
    key: bool

    @property
    def at(self) -> float:
        """Where the mark begins, so that it lies within the strip."""
        return round(0.984 * (self.percentile or 0), 1)


@dataclass
class _Population:
    """Sorted feature values of a sample of accounts, float64[accounts, features], NaN last."""

    values: Any = None
    at: float = -1e9


_population = _Population()


def decision_shown(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decision with what a page shows of it: sentences, and its reasons in words.

    A rule's numbers are shown to reviewers; a holder's notice withholds them.
    """
    if not decision:
        return {}
    rules, language = rule_abouts(), page_language()
    reasons = [
        {
            "feature": r["feature"],
            "title": feature_title(r["feature"], language),
            "meaning": describe(r["feature"], language),
            "value": narrative.format_value(r["feature"], r.get("value"), language=language),
            "direction": "" if r.get("contribution") is None
            else describe_direction(r["contribution"], r.get("value"), language),
        }
        for r in decision.get("reasons") or ()
    ]  # fmt: skip
    return dict(decision) | {
        "sentence": narrative.evidence_sentence(dict(decision), language),
        "basis_words": narrative.basis_clause(dict(decision), language),
        "score_words": narrative.describe_score(dict(decision), language),
        "reasons": reasons,
        "rules": [{"id": r, "about": rules.get(r, "")} for r in decision.get("rules") or ()],
        "refuses": row_of(decision["outcome"]).refusal_words,
    }


@cache
def rule_abouts() -> dict[str, str]:
    """Return what each shipped rule is about."""
    return {rule.id: rule.about for rule in load_policy().rules}


def account_page(acting: ActingUser, account: str, *, blind: bool = False) -> dict[str, Any]:
    """Return what the account's page shows at once; raises ApiError (404) if it is unknown.

    A `blind` page leaves out what people decided.
    """
    state: actions.AccountState = async_to_sync(actions.sealed_state)(acting.context, account)
    # The engine's thread renders no page: it has no language of its own.
    language = page_language()
    facts: dict[str, Any] = acting.ask(lambda engine: _facts(engine, account, language))
    rows = Decision.objects.filter(account=account).order_by("-number")[:SHOWN_DECISIONS]
    decisions = [
        decision_shown(msgspec.json.decode(bytes(body))) | {"number": number_}
        for number_, body in rows.values_list("number", "body")
    ]
    if blind:
        decisions = [d for d in decisions if d.get("basis") not in ("person", "challenge")]
    outcome = OUTCOMES[state.outcome]
    return {
        "name": account,
        "outcome": "–" if blind else outcome,
        "until_ms": None if blind else state.until_ms,
        "refuses": row_of(outcome).refusal_words,
        "ends": actions.describe_end(outcome, state.until_ms),
        "now_ms": state.now_ms,
        "decisions": decisions,
        "acts": [] if blind else list(
            PersonAct.objects.filter(account=account).select_related("by", "undone_by")
            .order_by("-id")[:50]
        ),
        "cases": [] if blind else list(ReviewCase.objects.filter(account=account)
                                       .order_by("-id")[:10]),
        "facts": facts,
        "lane": state.lane,
        "lane_words": LANE_WORDS[state.lane],
        "notice": None if blind else statements.newest_notice(
            acting.context.app.holder_notices, account, acting.now_ms
        ),
    }  # fmt: skip


def _facts(engine: Engine, account: str, language: Language) -> dict[str, Any]:
    """Read an account's counts and features on the engine's thread."""
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    row = engine.core.row_of(slot)
    registered = int(row["registered"])
    return {
        "slot": slot,
        "registered_ms": (registered - 1) * 1000 if registered else None,
        "first_seen_ms": (int(row["first_seen"]) - 1) * 1000,
        "last_seen_ms": int(row["clock"]) * 1000,
        "sends": int(row["sends"]),
        "received": int(row["received"]),
        "strips": _strips(engine, slot, language),
    }


def _strips(engine: Engine, slot: int, language: Language) -> list[Strip]:
    values = np.array(engine.core.values_of(slot), np.float64)
    population = _sample(engine)
    strips = []
    for k, feature in enumerate(FEATURES):
        value = float(values[k])
        missing = value != value
        column = population[:, k]
        known = column[column == column]
        share = None
        if not missing and known.size:
            share = _percentile(np.sort(known), value)
        strips.append(
            Strip(
                feature.name,
                feature_title(feature.name, language),
                describe(feature.name, language),
                narrative.format_value(feature.name, None if missing else value, language=language),
                share,
                feature.name in KEY_FEATURES,
            )
        )
    order = {name: k for k, name in enumerate(KEY_FEATURES)}
    return sorted(strips, key=lambda s: (order.get(s.name, len(order)), s.name))


def _percentile(known: Any, value: float) -> int:
    """Return the percentile of a value among sorted ones; of equal ones, the middle.

    >>> _percentile(np.array([0.0] * 9 + [5.0]), 0.0), _percentile(np.array([1.0, 2.0]), 9.0)
    (45, 100)
    """
    below, upto = (int(np.searchsorted(known, value, side)) for side in ("left", "right"))
    return round(50 * (below + upto) / int(known.size))


def _sample(engine: Engine) -> Any:
    """Return the feature values of up to `SAMPLE` accounts, sampled again every five minutes."""
    if time.monotonic() - _population.at > SAMPLE_EVERY_S or _population.values is None:
        many = engine.core.accounts
        slots = np.unique(np.linspace(0, max(0, many - 1), min(SAMPLE, many)).astype(np.int64))
        used = [s for s in slots.tolist() if int(engine.core.row_of(s)["first_seen"]) > 0]
        rows = [np.array(engine.core.values_of(s), np.float64) for s in used]
        _population.values = np.array(rows or [np.full(len(FEATURES), np.nan)])
        _population.at = time.monotonic()
    return _population.values


def known_account(engine: Engine, account: str) -> bool:
    """Whether the log contains an account."""
    slot = int(engine.fanout.accounts.find(pa.array([account]))[0])
    return bool(0 <= slot < engine.core.accounts)


def accounts_with(outcome: str) -> QuerySet:
    """Return the accounts that have an outcome, or any where there is no such one, by name."""
    rows = EnforcementState.objects.exclude(outcome="allow").order_by("account")
    return rows.filter(outcome=outcome) if outcome in OUTCOMES else rows


def accounts_by_outcome() -> dict[str, int]:
    """Return how many accounts have each outcome in force."""
    rows = EnforcementState.objects.values_list("outcome").annotate(n=Count("account"))
    return dict(rows)


def accounts_beginning_with(text: str, most: int) -> list[str]:
    """Return accounts that were decided on whose names begin with a text."""
    rows = EnforcementState.objects.filter(account__startswith=text).order_by("account")
    return list(rows.values_list("account", flat=True)[:most])


def accounts_by_number(number_pseudonym: str) -> list[str]:
    """Return the accounts that registered with a pseudonymised number, newest first.

    At most `TIMELINE_EVENTS` events are searched, from the end of the log.
    """
    found: list[str] = []
    for events in events_from_the_end():
        if events is None or "number" not in events.schema.names:
            continue
        same = pc.fill_null(pc.equal(events.column("number"), number_pseudonym), False)
        found += reversed(events.filter(same).column("account").to_pylist())
    return list(dict.fromkeys(found))


def events_from_the_end() -> Iterator[pa.RecordBatch | None]:
    """Read the log's rows from its end; one None at the end if not all was read."""
    read = 0
    firsts = LogBatch.objects.order_by("-first").values_list("first", "count")
    for first, count in firsts[:TIMELINE_BATCHES].iterator():
        if read >= TIMELINE_EVENTS:
            yield None
            return
        read += count
        segment = next(read_log(first, rows=1), None)
        if segment is not None and segment.events is not None:
            yield segment.events


class AccountEvents(NamedTuple):
    """Events in which an account acts or is the peer, oldest first; whether they are all."""

    events: list[dict[str, Any]]
    complete: bool


_FIELDS = ("id", "ts", "type", "account", "peer", "group", "count", "attempted", "seconds")


def account_events(account: str) -> AccountEvents:
    """Read an account's own events, and those aimed at it, from the end of the log.

    At most `TIMELINE_EVENTS` events are read; `complete` says whether that was the whole log.
    """
    newest_first: list[list[dict[str, Any]]] = []
    complete = True
    for events in events_from_the_end():
        if events is None:
            complete = False
        else:
            newest_first.append(_events_of(events, account))
    return AccountEvents([event for part in reversed(newest_first) for event in part], complete)


def _events_of(events: pa.RecordBatch, account: str) -> list[dict[str, Any]]:
    chosen = pc.equal(events.column("account"), account)
    if "peer" in events.schema.names:
        aimed = pc.fill_null(pc.equal(events.column("peer"), account), False)
        chosen = pc.or_(chosen, aimed)
    present = [name for name in _FIELDS if name in events.schema.names]
    missing = dict.fromkeys(set(_FIELDS) - set(present))
    return [missing | event for event in events.select(present).filter(chosen).to_pylist()]


def timeline(account: str, read: AccountEvents) -> dict[str, Any]:
    """Return the lanes of an account's events, and who reported or blocked it, newest first."""
    lanes: dict[str, list[int]] = {}
    reports: list[dict[str, Any]] = []
    for event in read.events:
        kind = TYPES[event["type"]]
        name = (LANES if event["account"] == account else AIMED).get(kind, "")
        if name:
            lanes.setdefault(name, []).append(int(event["ts"]))
        if name in ("reported by", "blocked by"):
            reports.append({"ts": int(event["ts"]), "by": event["account"], "what": name})
    order = [*LANES.values(), *AIMED.values()]
    return {
        "lanes": [
            {"label": translate(name), "times": sorted(lanes[name])}
            for name in order
            if name in lanes
        ],
        "reports": sorted(reports, key=lambda r: -r["ts"])[:50],
        "complete": read.complete,
    }


_SAID = ("outcome", "label", "state", "effect", "source")
"""Fields of a ledger entry that its line on the page shows."""


def ledger_entries(account: str) -> Iterator[dict[str, Any]]:
    """Return the sealed entries about an account whose openings are kept, newest first."""
    positions = list(
        LedgerOpening.objects.filter(account=account)
        .order_by("-position")
        .values_list("position", flat=True)[:50]
    )
    lines = dict(LedgerEntry.objects.filter(position__in=positions).values_list("position", "line"))
    for position in positions:
        entry = msgspec.json.decode(bytes(lines[position]))
        said = (entry["body"].get(name) for name in _SAID)
        yield {
            "position": position,
            "kind": entry["kind"],
            "at": entry["at"],
            "says": ", ".join(translate(str(value)) for value in said if value),
        }


def newest_decisions(account: str) -> list[dict[str, Any]]:
    """Return the newest decisions on an account as they are stored, oldest first."""
    rows = Decision.objects.filter(account=account).order_by("-number")[:SHOWN_DECISIONS]
    return [msgspec.json.decode(bytes(body)) for body in rows.values_list("body", flat=True)][::-1]


def outcome_in_force(engine: Engine, account: str) -> str:
    """Return the outcome in force; raises ApiError (404) where the log has no such account."""
    state = actions.read_account_state(engine, account)
    if state is None:
        raise ApiError(
            404, translate("the log has no such account"), fix=translate("search for it")
        )
    return OUTCOMES[state.outcome]
