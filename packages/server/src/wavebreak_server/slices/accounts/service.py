"""Facts about an account for the pages: features among the population, decisions, neighbours.

What decides is asked; what it returns is copied. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from asgiref.sync import async_to_sync
from django.db.models import Count, Q, QuerySet

from wavebreak.engine import account_queries
from wavebreak.explain import narrative
from wavebreak.features.catalog import FEATURES, describe
from wavebreak.features.descriptions import feature_title
from wavebreak.languages import Language, msgid
from wavebreak.outcomes import OUTCOMES, row_of
from wavebreak.rules import load_policy
from wavebreak.schema.event_kinds import EVENT_KINDS
from wavebreak.schema.events import TYPES
from wavebreak_server.slices.acts import actions
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.slices.lanes.service import LANE_WORDS
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.statements import service as statements
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.storage import models
from wavebreak_server.storage.event_log import read_log
from wavebreak_server.texts import page_language, translate

SHOWN_DECISIONS = 100
TIMELINE_BATCHES = 4_000
TIMELINE_EVENTS = 3_000_000
TIMELINE_TEXTS = {
    "account.registered": (msgid("registered"), ""),
    "session.started": (msgid("sessions"), ""),
    "typing.started": (msgid("typed"), ""),
    "message.sent": (msgid("sent"), msgid("received")),
    "message.delivered": (msgid("deliveries to it"), msgid("deliveries of its messages")),
    "message.read": (msgid("read"), msgid("read by others")),
    "message.undeliverable": (msgid("undeliverable"), ""),
    "contact.looked_up": (msgid("looked up"), ""),
    "contact.added": (msgid("contacts added"), msgid("added as a contact")),
    "contact.removed": (msgid("contacts removed"), msgid("removed as a contact")),
    "contact.requested": (msgid("contact requests sent"), msgid("contact requests received")),
    "contact.accepted": (msgid("requests accepted"), msgid("its requests accepted")),
    "contact.refused": (msgid("requests declined"), msgid("its requests declined")),
    "group.created": (msgid("groups made"), ""),
    "group.member_added": (msgid("members added"), msgid("added to groups")),
    "group.joined": (msgid("groups joined"), ""),
    "group.left": (msgid("groups left"), msgid("members who left")),
    "user.reported": (msgid("reports made"), msgid("reported by")),
    "user.blocked": (msgid("blocks made"), msgid("blocked by")),
    "user.unblocked": (msgid("blocks lifted"), msgid("unblocked by")),
    "call.started": (msgid("calls made"), msgid("called by")),
    "call.ended": (msgid("calls ended"), msgid("incoming calls ended")),
    "consent.granted": (msgid("consents given"), ""),
    "consent.revoked": (msgid("consents withdrawn"), ""),
    "challenge.passed": (msgid("challenges passed"), ""),
    "challenge.failed": (msgid("challenges failed"), ""),
    "label.assigned": (msgid("labels"), ""),
    "account.declared": (msgid("lanes declared"), ""),
    "account.listed": (msgid("listed elsewhere"), ""),
    "account.unlisted": (msgid("unlisted elsewhere"), ""),
    "account.deleted": (msgid("deleted"), ""),
}
"""What the timeline calls an event of the account, and one of another account about it."""
TIMELINE_LANES = {row.type: TIMELINE_TEXTS[row.type] for row in EVENT_KINDS}
COMPLAINTS = ("user.reported", "user.blocked")
KEY_FEATURES = (
    "age_s", "stranger_contacts", "stranger_answers", "stranger_complaints",
    "unanswered_strangers_1d", "first_contacts_1h", "first_contacts_1d", "reply_share_7d",
    "reciprocity", "mutual_contacts", "typed_share_32", "size_repeat_share_32",
    "hour_entropy", "score",
)  # fmt: skip
"""Features that a reviewer looks at first, in this order; the others follow by name."""


LINKED_COUNTS = ("operator_accounts", "operator_abusive_accounts")
"""Measures without a row: their values are of the last epoch, and the page counts the accounts that
it lists (`neighbours.membership`)."""


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


def decision_shown(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decision with what a page shows of it: sentences, and its reasons in words.

    A rule's numbers are shown to reviewers; a holder's notice withholds them.
    """
    if not decision:
        return {}
    rules, language = rule_abouts(), page_language()
    reasons = [
        {
            "title": reason.title,
            "meaning": describe(reason.feature, language),
            "value": reason.value,
            "direction": reason.direction,
        }
        for reason in narrative.describe_reasons(decision, language)
    ]
    return dict(decision) | {
        "sentence": narrative.evidence_sentence(dict(decision), language),
        "basis_words": narrative.basis_clause(dict(decision), language),
        "reasons": reasons,
        "rules": [{"id": r, "about": rules.get(r, "")} for r in decision.get("rules") or ()],
        "refuses": row_of(decision["outcome"]).refusal_words,
    }


@cache
def rule_abouts() -> dict[str, str]:
    """Return what each shipped rule is about."""
    return {rule.id: rule.about for rule in load_policy().rules}


def account_page(acting: ActingUser, account: str) -> dict[str, Any]:
    """Return what the account's page shows at once; raises ApiError (404) if it is unknown."""
    state: account_queries.AccountState = async_to_sync(actions.sealed_state)(
        acting.context, account
    )
    facts = acting.query(account_queries.account_facts, [account])[account]
    rows = models.Decision.objects.filter(account=account).order_by("-number")[:SHOWN_DECISIONS]
    decisions = [
        decision_shown(msgspec.json.decode(bytes(body))) | {"number": number_}
        for number_, body in rows.values_list("number", "body")
    ]
    outcome = OUTCOMES[state.outcome]
    return {
        "name": account,
        "outcome": outcome,
        "until_ms": state.until_ms,
        "refuses": row_of(outcome).refusal_words,
        "ends": actions.describe_end(outcome, state.until_ms),
        "now_ms": state.now_ms,
        "decisions": decisions,
        "acts": list(
            PersonAct.objects.filter(account=account).select_related("by", "undone_by")
            .order_by("-id")[:50]
        ),
        "cases": list(ReviewCase.objects.filter(account=account).order_by("-id")[:10]),
        "facts": facts,
        "strips": _strips(facts, page_language()),
        "lane": state.lane,
        "lane_words": LANE_WORDS[state.lane],
        "notice": statements.newest_notice(
            acting.context.app.holder_notices, account, acting.now_ms
        ),
    }  # fmt: skip


def _strips(facts: account_queries.AccountFacts, language: Language) -> list[Strip]:
    strips = [
        Strip(
            feature.name,
            feature_title(feature.name, language),
            describe(feature.name, language),
            narrative.format_value(
                feature.name, value if value == value else None, language=language
            ),
            percentile,
            feature.name in KEY_FEATURES,
        )
        for feature, value, percentile in zip(
            FEATURES, facts.values, facts.percentiles, strict=True
        )
        if feature.name not in LINKED_COUNTS
    ]
    order = {name: k for k, name in enumerate(KEY_FEATURES)}
    return sorted(strips, key=lambda s: (order.get(s.name, len(order)), s.name))


def known_account(acting: ActingUser, account: str) -> bool:
    """Return whether the log contains an account."""
    return account in acting.query(account_queries.account_states, [account])


def accounts_with(outcome: str, now_ms: int) -> QuerySet:
    """Return the accounts on which an outcome is in force, or any where there is no such one."""
    rows = models.EnforcementState.objects.exclude(outcome="allow").order_by("account")
    rows = rows.filter(Q(until=None) | Q(until__gt=now_ms))
    return rows.filter(outcome=outcome) if outcome in OUTCOMES else rows


def accounts_by_outcome(now_ms: int) -> dict[str, int]:
    """Return how many accounts have each outcome in force."""
    rows = accounts_with("", now_ms).order_by().values_list("outcome")
    return dict(rows.annotate(n=Count("account")))


def accounts_beginning_with(text: str, most: int) -> list[str]:
    """Return accounts that were decided on whose names begin with a text."""
    rows = models.EnforcementState.objects.filter(account__startswith=text).order_by("account")
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
    firsts = models.LogBatch.objects.order_by("-first").values_list("first", "count")
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
        kind, is_own = TYPES[event["type"]], event["account"] == account
        own, aimed = TIMELINE_LANES[kind]
        name = own if is_own else aimed
        if name:
            lanes.setdefault(name, []).append(int(event["ts"]))
        if kind in COMPLAINTS and not is_own:
            reports.append({"ts": int(event["ts"]), "by": event["account"], "what": name})
    order = [name for side in zip(*TIMELINE_TEXTS.values(), strict=True) for name in side]
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
        models.LedgerOpening.objects.filter(account=account)
        .order_by("-position")
        .values_list("position", flat=True)[:50]
    )
    lines = dict(
        models.LedgerEntry.objects.filter(position__in=positions).values_list("position", "line")
    )
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
    rows = models.Decision.objects.filter(account=account).order_by("-number")[:SHOWN_DECISIONS]
    return [msgspec.json.decode(bytes(body)) for body in rows.values_list("body", flat=True)][::-1]
