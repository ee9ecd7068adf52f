"""Contributions of one account's events to the shared state."""

from __future__ import annotations

from collections.abc import Iterator

from oracle.account_history import (
    COMES_IN,
    PROOF,
    YOUNG_S,
    AccountHistory,
    is_attempt,
    is_cold,
)
from oracle.enforcement import Enforcement
from oracle.evidence import Evidence
from oracle.shared_state import Contribution, groups_of
from wavebreak.schema.events import UNDETERMINED

ESTABLISHED_S = 21_600
ESTABLISHED_CONTACTS = 3
ACCUSES_AT_MOST = 3
"""Reports of one account that count as approaches."""
LAST = 4
"""Cold targets that are marked: the last four."""


def contributions(account: str, story: AccountHistory) -> list[Contribution]:
    """Everything that an account contributes, in log order."""
    return sorted(
        [
            *_births(account, story),
            *_arrivals(story),
            *_clusters(account, story),
            *_places(account, story),
            *_friends(account, story),
            *_groups(account, story),
            *_established(story),
            *_feedback(story),
            *_outcomes(account, story),
        ],
        key=lambda gift: gift.epoch,
    )


def _everywhere(
    story: AccountHistory, number: int, table: str, amount: int
) -> Iterator[Contribution]:
    for entity in story.places[number].items():
        yield Contribution(story.facts[number].epoch, table, entity, amount)


def _births(account: str, story: AccountHistory) -> Iterator[Contribution]:
    for fact in story.of("registered"):
        yield Contribution(fact.epoch, "born", account, fact.now)


def _arrivals(story: AccountHistory) -> Iterator[Contribution]:
    for i, fact in enumerate(story.facts):
        if fact.kind == "registered":
            yield from (g for g in _everywhere(story, i, "arrivals", 1) if g.key[0] != "origin")
    for entity in ("network", "device"):
        for fact in story.moves(entity):
            yield Contribution(fact.epoch, "arrivals", (entity, fact.fields[entity]), 1)


def _around(story: AccountHistory, number: int, table: str) -> Iterator[Contribution]:
    for gift in _everywhere(story, number, table, 1):
        if gift.key[0] not in ("client", "origin"):
            yield gift


def _clusters(account: str, story: AccountHistory) -> Iterator[Contribution]:
    """Contributions of a young account to its network, block and device, and its approaches."""
    first = {id(fact): is_cold(fact, known) for fact, known in story.first_contacts}
    replies = {id(fact) for fact in story.replies()}
    others = {*map(id, story.strangers_added), *map(id, story.unfounded[:ACCUSES_AT_MOST])}
    clock, born = -1, None
    for fact in story.blind[:ACCUSES_AT_MOST]:
        yield Contribution(fact.epoch, "accused", fact.peer or "", 1)
    for i, fact in enumerate(story.facts):
        clock = max(clock, fact.now)
        if fact.kind == "registered":
            born = fact.now
            for gift in _around(story, i, "joined"):
                yield gift._replace(name=account)
        if born is None or clock - born > YOUNG_S:
            continue
        if id(fact) in first:
            yield from _around(story, i, "opened")
            if first[id(fact)]:
                yield from _around(story, i, "cold")
                yield Contribution(fact.epoch, "courted", fact.peer or "", 1)
        elif id(fact) in replies:
            yield from _around(story, i, "answered")
        elif id(fact) in others:
            yield Contribution(fact.epoch, "courted", fact.peer or "", 1)


def _places(account: str, story: AccountHistory) -> Iterator[Contribution]:
    for i, fact in enumerate(story.facts):
        if fact.kind in ("registered", "session"):
            for entity in ("network", "block", "device"):
                name = story.places[i].get(entity)
                yield Contribution(fact.epoch, f"on_{entity}", account, 0, name)


def _friends(account: str, story: AccountHistory) -> Iterator[Contribution]:
    for fact in story.mutual():
        yield Contribution(fact.epoch, "friend", account, 0, fact.peer)


COMES_INTO = {"group_created": 1, "group_joined": 1, "added_to_group": 0, "member_added": 0}
"""What says that an account is in a group, and whether it came by its own act."""


def _groups(account: str, story: AccountHistory) -> Iterator[Contribution]:
    """The groups that an account is in, and one more for the size of those that it comes into."""
    told: list[Contribution] = []
    for fact in story.of(*COMES_INTO, "group_left", "declared"):
        group: str | None = fact.fields.get("group")
        own = COMES_INTO.get(fact.kind, 0)
        if fact.kind == "declared":
            if group is not None or fact.fields["lane"] == 0:
                yield Contribution(fact.epoch, "organisation", account, 0, group)
            continue
        if fact.kind == "group_left":
            told.append(Contribution(fact.epoch, "left_group", account, 0, group))
            yield told[-1]
            continue
        if is_attempt(fact):
            continue
        known = dict(groups_of(told, fact.epoch))
        if group not in known or own > known[group]:
            told.append(Contribution(fact.epoch, "in_group", account, own, group))
            yield told[-1]
        if group not in known and fact.kind != "member_added":
            yield Contribution(fact.epoch, "came_in", ("group", group or ""), 1)


def _outcomes(account: str, story: AccountHistory) -> Iterator[Contribution]:
    for epoch, outcome, until in Enforcement(story).published:
        yield Contribution(epoch, "outcome", account, outcome)
        yield Contribution(epoch, "until", account, until or 0)


def _established(story: AccountHistory) -> Iterator[Contribution]:
    """Once, at the message received, or the call taken, that makes the account established."""
    mutual, replies = set(map(id, story.mutual())), set(map(id, story.replies()))
    clock = count = 0
    for i, fact in enumerate(story.facts):
        clock = max(clock, fact.now)
        count += id(fact) in mutual
        aged = clock - story.facts[0].now >= ESTABLISHED_S
        heard = fact.kind in COMES_IN or id(fact) in replies
        if heard and aged and count >= ESTABLISHED_CONTACTS:
            yield from _everywhere(story, i, "good", 1)
            return


def _feedback(story: AccountHistory) -> Iterator[Contribution]:
    """Credibility of reporters, and reputation and cold targets at labels."""
    yield from _unproven_and_confirmed_reports(story)
    blamed: list[Contribution] | None = None
    proven, label = False, None
    waiting = story.reporters_before()
    complained = set(Evidence(story).blames)
    for i, fact in enumerate(story.facts):
        proven |= i in complained
        if i in complained and blamed is None:
            blamed = list(_everywhere(story, i, "bad", 1))
            yield from blamed
            yield from _mark_targets(story, i)
        if fact.kind != "labelled":
            continue
        before, label = label, fact.fields["label"]
        if label == UNDETERMINED:
            # What complaints have proven stays, whoever blamed the account first.
            if before == 0 and not proven:
                yield from _withdrawn(blamed, fact.epoch)
                blamed = None
            continue
        abusive = label == 0
        for reporter in waiting[i]:
            yield Contribution(fact.epoch, "trusted" if abusive else "doubted", reporter, 2)
        if abusive and blamed is None:
            blamed = list(_everywhere(story, i, "bad", 1))
            yield from blamed
            yield from _mark_targets(story, i)
        if not abusive:
            yield from _withdrawn(blamed, fact.epoch)
            blamed, proven = None, False


def _withdrawn(blamed: list[Contribution] | None, epoch: int) -> Iterator[Contribution]:
    """What takes blame back, at an epoch."""
    for contribution in blamed or ():
        yield contribution._replace(epoch=epoch, amount=-1)


def _mark_targets(story: AccountHistory, number: int) -> Iterator[Contribution]:
    """Mark the last cold targets of an account found abusive."""
    for target in _last_cold_targets(story, number):
        yield Contribution(story.facts[number].epoch, "hunted", target, 1)


def _unproven_and_confirmed_reports(story: AccountHistory) -> Iterator[Contribution]:
    """Reports without proof, and reports of an account with a label `abusive`."""
    for i, fact, known in story.complaints("reported_by"):
        past = story.until(i)
        labels = past.of("labelled")
        if not known & PROOF:
            if past.count(past.group_sends, "1d") == 0:
                yield Contribution(fact.epoch, "doubted", fact.peer or "", 1)
        elif labels and labels[-1].fields["label"] == 0:
            yield Contribution(fact.epoch, "trusted", fact.peer or "", 2)


def _last_cold_targets(story: AccountHistory, number: int) -> list[str]:
    """Recipients of the last cold first contacts up to an event."""
    first = story.until(number).first_contacts
    return [fact.peer or "" for fact, known in first if is_cold(fact, known)][-LAST:]
