"""Formulas of the features that `features/account_features.py` declares.

Those of enforcement are valid where no rule has fired: people alone set outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracle.account_history import (
    LARGE,
    NAN,
    PROOF,
    SMALL,
    AccountHistory,
    Fact,
    channels_at,
    share,
)
from oracle.enforcement import Enforcement
from oracle.evidence import Evidence
from oracle.message_features import Formula
from wavebreak.features.shared_state import UNPROVEN_COUNTED
from wavebreak.outcomes import SEVERITIES
from wavebreak.schema.events import UNDETERMINED

HOUR_S, WEEK_S = 3_600, 604_800


def _accused_last(s: AccountHistory) -> float:
    return float(sum(min(s.shared.accused(f.peer or "", f.epoch), 255) for f in s.blind[-1:]))


def _since(s: AccountHistory, facts: list[Fact]) -> float:
    return s.clock - facts[-1].now if facts else NAN


def _registered(s: AccountHistory, name: str) -> Any:
    """Return a field of the last registration; None where it, or a registration, is absent."""
    registrations = s.of("registered")
    return registrations[-1].fields.get(name) if registrations else None


def _attempts(s: AccountHistory) -> float:
    return min(_registered(s, "attempts") or 0, 255) or NAN


def _ever(truths: list[bool]) -> float:
    return float(any(truths)) if truths else NAN


def _attested(s: AccountHistory) -> float:
    fields = [fact.fields for fact in s.of("registered")]
    return _ever([f["attested"] for f in fields if "attested" in f])


def _country_mismatch(s: AccountHistory) -> float:
    of = ("number_country", "network_country")
    pairs = [[fact.fields.get(c) for c in of] for fact in s.of("registered")]
    return _ever([number != network for number, network in pairs if number and network])


def _verification_weak(s: AccountHistory) -> float:
    verification = _registered(s, "verification")
    return NAN if verification is None else float(verification != 0)


def _channel(s: AccountHistory) -> float:
    return float([0, *channels_at(s).values()][-1])


def _bad(entity: str) -> Formula:
    def formula(s: AccountHistory) -> float:
        if entity not in s.places[-1]:
            return NAN
        at = (entity, s.places[-1][entity])
        good, bad = (s.shared.weight(table, at, s.epoch) for table in ("good", "bad"))
        bad = max(bad - (at in blamed_places(s)), 0.0)
        return (bad + 0.4) / (good + bad + 20.0)

    return formula


def blamed_places(s: AccountHistory) -> list[tuple[str, str]]:
    """Places that the account itself lowered, which its own reputation leaves out."""
    blames = set(Evidence(s).blames)
    places: list[tuple[str, str]] | None = None
    proven, label = False, None
    for i, fact in enumerate(s.facts):
        before = label
        proven |= i in blames
        given = fact.fields["label"] if fact.kind == "labelled" else None
        label = label if given is None else given
        if (i in blames or given == 0) and places is None:
            places = list(s.places[i].items())
        elif given == 1 or (given == UNDETERMINED and before == 0 and not proven):
            places = None
        proven &= given != 1
    return places or []


def _recipients_on_device(s: AccountHistory) -> float:
    changes = {*map(id, s.moves("device")), *map(id, _linked(s))}
    last: dict[str | None, int] = {}
    moved: int | None = None
    count = 0
    for fact, known in s.met:
        if id(fact) in changes:
            moved, count = max(moved or 0, fact.now), 0
        elif fact.kind == "sent":
            # The pair keeps its last send by 5,760 s, and forgets it with the rest.
            before = last.get(fact.peer, 0) if known & {"addressed"} else 0
            count = min(count + (moved is not None and before < moved // 5760), SMALL)
            last[fact.peer] = max(before, fact.now // 5760)
    return NAN if moved is None else count


def _arrivals(entity: str) -> Formula:
    def formula(s: AccountHistory) -> float:
        if entity not in s.places[-1]:
            return NAN
        return s.shared.weight("arrivals", (entity, s.places[-1][entity]), s.epoch)

    return formula


def _young(entity: str) -> Formula:
    return lambda s: s.shared.weight("joined", (entity, s.places[-1][entity]), s.epoch)


def _cold(entity: str) -> Formula:
    return lambda s: s.shared.weight("cold", (entity, s.places[-1][entity]), s.epoch)


def _answered(entity: str) -> Formula:
    def formula(s: AccountHistory) -> float:
        at = (entity, s.places[-1][entity])
        opened, answered = (s.shared.weight(t, at, s.epoch) for t in ("opened", "answered"))
        return min((answered + 2.0) / (opened + 4.0), 1.0)

    return formula


def _where_it_stands(entity: str, formula: Formula) -> Formula:
    return lambda s: formula(s) if entity in s.places[-1] else NAN


_CLUSTERS: dict[str, Formula] = {
    f"{entity}_{name}": _where_it_stands(entity, formula(entity))
    for entity in ("network", "block", "device")
    for name, formula in (("young", _young), ("cold", _cold), ("answered", _answered))
}


def _linked(s: AccountHistory) -> list[Fact]:
    """Sessions of companions that are new: the first, and those of another device than the last."""
    found: list[Fact] = []
    companion: str | None = None
    for fact in s.of("session"):
        if fact.fields.get("linked"):
            device = fact.fields.get("device")
            if not found or (device is not None and device != companion):
                found.append(fact)
            companion = device or companion
    return found


def _first_contacts_on_device(s: AccountHistory) -> float:
    changes = [*map(id, s.moves("device")), *map(id, _linked(s))]
    first = set(map(id, s.first_sends()))
    count: int | None = None
    for fact in s.facts:
        if id(fact) in changes:
            count = 0
        elif id(fact) in first and count is not None:
            count = min(count + 1, SMALL)
    return NAN if count is None else count


def _left(s: AccountHistory) -> int:
    return s.count(s.of("member_left"), "7d")


def _lookups(s: AccountHistory, field: str, default: int) -> int:
    amounts = ((f.now, f.fields.get(field, default)) for f in s.of("looked_up"))
    return sum(s.buckets(amounts, "1d", LARGE))


def _first(s: AccountHistory, window: str) -> int:
    return s.count(s.first_sends(), window)


def _undeliverable(s: AccountHistory) -> int:
    return s.count(s.of("undeliverable"), "7d")


def _complaints(s: AccountHistory, kind: str, *, unproven: bool = False) -> float:
    facts = [f for _, f, known in s.complaints(kind) if not (unproven and known & PROOF)]
    return s.count(facts, "7d", SMALL)


def _crowd(s: AccountHistory) -> float:
    return _complaints(s, "reported_by", unproven=True)


def _weight(s: AccountHistory, kind: str) -> float:
    """Reports or blocks, weighted in whole 1/256."""
    before = s.reporters_before()
    weights = []
    for i, fact, known in s.complaints(kind):
        who = fact.peer or ""
        weight = s.shared.credibility(who, fact.epoch)
        if not known & PROOF:
            crowd = kind == "blocked_by" or _crowd(s.until(i)) > UNPROVEN_COUNTED
            weight = 0 if crowd else weight // 64
        else:
            weight //= 4 if "replied" in known else 1
            weight //= 4 if s.shared.kin(who, before[i], fact.epoch) else 1
        weights.append((fact.now, weight))
    return sum(s.buckets(weights, "7d", LARGE)) / 256


def _evidence(read: Callable[[Evidence], float]) -> Formula:
    return lambda s: read(Evidence(s))


def _in_an_hour(read: Callable[[Evidence], list[Fact]]) -> Formula:
    return lambda s: s.count(read(Evidence(s)), "1h", SMALL)


def _label(s: AccountHistory, code: int) -> float:
    labels = [fact.fields["label"] for fact in s.of("labelled")]
    return float(bool(labels) and labels[-1] == code)


def _label_unconfirmed(s: AccountHistory) -> float:
    called = False
    for fact in s.of("labelled", "labelled_by_others"):
        if fact.kind == "labelled_by_others":
            called = fact.fields["label"] == 0
        elif fact.fields["label"] == 1:
            called = False
    return float(called)


def _allowance(s: AccountHistory) -> float:
    """Unanswered strangers within an hour by lane, server or channel, and what a firm earns."""
    channel = FORMULAS["channel"](s)
    if channel > 1:
        return NAN
    contacts, complaints = FORMULAS["stranger_contacts"](s), FORMULAS["stranger_complaints"](s)
    lane = int(FORMULAS["lane"](s))
    new = FORMULAS["age_s"](s) < 7 * 86_400
    if lane and complaints < 2 + 0.01 * contacts:
        return (60.0, 120.0, 300.0, 200.0)[lane - 1]
    if FORMULAS["origin_bad"](s) >= 0.1:
        return 15.0
    if channel == 0:
        return 25.0 if new else 60.0
    earlier = contacts - FORMULAS["strangers_contacted_1h"](s)
    return (15.0 if new else 60.0) + max(min(earlier / 4 - 12 * complaints, 60.0), 0.0)


def _without_rules(_: AccountHistory) -> float:
    return 0.0


def _without_links(_: AccountHistory) -> float:
    return 1.0


FORMULAS: dict[str, Formula] = _CLUSTERS | {
    "age_s": lambda s: _since(s, s.of("registered")),
    "known_s": lambda s: s.clock - s.facts[0].now,
    "attempts": _attempts,
    "attested": _attested,
    "verification_weak": _verification_weak,
    "country_mismatch": _country_mismatch,
    "channel": _channel,
    "network_bad": _bad("network"),
    "block_bad": _bad("block"),
    "device_bad": _bad("device"),
    "client_bad": _bad("client"),
    "origin_bad": _bad("origin"),
    "network_arrivals": _arrivals("network"),
    "block_arrivals": _arrivals("block"),
    "device_arrivals": _arrivals("device"),
    "device_age_s": lambda s: _since(s, s.moves("device")),
    "linked_age_s": lambda s: _since(s, _linked(s)),
    "first_contacts_on_device": _first_contacts_on_device,
    "groups_created_1d": lambda s: s.count(s.of("group_created"), "1d", SMALL),
    "strangers_added_1d": lambda s: s.count(s.strangers_added, "1d"),
    "blind_reports": lambda s: min(len(s.blind), 255),
    "accused_last": _accused_last,
    "left_after_add_7d": _left,
    "mass_mentions_1h": lambda s: s.count(s.mass_mentions, "1h", SMALL),
    "people_mentioned_1d": lambda s: sum(
        s.buckets(((f.now, f.fields["mentions"]) for f in s.mass_mentions), "1d", LARGE)
    ),
    "trap_contacts_28d": lambda s: s.count(
        [fact for fact in s.first_sends() if fact.fields.get("trap")], "28d", SMALL
    ),
    "group_reports_1d": lambda s: s.count(s.group_reports, "1d", SMALL),
    "lookups_1d": lambda s: _lookups(s, "count", 1),
    "lookup_hit_share_1d": lambda s: share(_lookups(s, "hits", 0), _lookups(s, "count", 1)),
    "undeliverable_7d": _undeliverable,
    "undeliverable_share_7d": lambda s: share(
        _undeliverable(s), _undeliverable(s) + _first(s, "7d")
    ),
    "reports_7d": lambda s: _complaints(s, "reported_by"),
    "report_weight_7d": lambda s: _weight(s, "reported_by"),
    "unproven_reports_7d": lambda s: _complaints(s, "reported_by", unproven=True),
    "blocks_7d": lambda s: _complaints(s, "blocked_by"),
    "block_weight_7d": lambda s: _weight(s, "blocked_by"),
    "enforcement_level": lambda s: SEVERITIES[Enforcement(s).outcome],
    "strikes": _without_rules,
    "refused": _without_rules,
    "attempts_after_notice": _without_rules,
    "unanswered_evidence": _evidence(lambda e: e.reply),
    "complaint_evidence": _evidence(lambda e: e.complaint),
    "reaction_evidence": _evidence(lambda e: e.first_reactions),
    "later_complaint_evidence": _evidence(lambda e: e.later_complaints),
    "unwanted_evidence": _evidence(
        lambda e: max(e.complaint, e.first_reactions, e.later_complaints)
    ),
    "leave_evidence": _evidence(lambda e: e.leave),
    "undeliverable_evidence": _evidence(lambda e: e.failure),
    "stranger_contacts": _evidence(lambda e: e.contacted),
    "stranger_answers": _evidence(lambda e: e.answers),
    "stranger_complaints": _evidence(lambda e: e.complaints),
    "unanswered_strangers_1d": _evidence(Evidence.taken),
    "strangers_contacted_1h": _in_an_hour(lambda e: e.contacts),
    "answers_of_strangers_1h": _in_an_hour(lambda e: e.answer_times),
    "first_contact_allowance_1h": _allowance,
    "recipients_on_device": _recipients_on_device,
    "operator_accounts": _without_rules,
    "operator_abusive_accounts": _without_rules,
    "operator_unanswered_evidence": _without_links,
    "operator_complaint_evidence": _without_links,
    "label_abusive": lambda s: _label(s, 0),
    "label_unconfirmed": _label_unconfirmed,
    "label_benign": lambda s: _label(s, 1),
    "lane": lambda s: float([0, *(f.fields.get("lane", 0) for f in s.of("declared"))][-1]),
}
