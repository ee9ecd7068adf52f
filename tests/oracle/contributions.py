"""What one account's facts contribute to what accounts share."""

from __future__ import annotations

from collections.abc import Iterator

from oracle.account_history import Fact, Marks, Story
from oracle.shared_state import Gift

YOUNG_S = 604_800
ESTABLISHED_S = 21_600
ESTABLISHED_CONTACTS = 3
ACCUSES_AT_MOST = 3
"""Reports by which one account counts among the young strangers who come to somebody."""
LAST = 4
"""Cold targets that are marked: the last four."""


def is_cold(fact: Fact, known: Marks) -> bool:
    """Whether a first contact went to a stranger, who is not known to have the account in contacts.

    >>> is_cold(Fact("sent", 0, 0, "b", {"in_contacts": True}), frozenset())
    False
    """
    return "contact" not in known and not fact.fields.get("in_contacts")


def contributions(account: str, story: Story) -> list[Gift]:
    """Everything that an account contributes, in log order."""
    return sorted(
        [
            *_births(account, story),
            *_arrivals(story),
            *_clusters(account, story),
            *_places(account, story),
            *_established(story),
            *_feedback(story),
        ],
        key=lambda gift: gift.epoch,
    )


def _everywhere(story: Story, number: int, table: str, amount: int) -> Iterator[Gift]:
    for entity in story.places[number].items():
        yield Gift(story.facts[number].epoch, table, entity, amount)


def _births(account: str, story: Story) -> Iterator[Gift]:
    for fact in story.of("registered"):
        yield Gift(fact.epoch, "born", account, fact.now)


def _arrivals(story: Story) -> Iterator[Gift]:
    for i, fact in enumerate(story.facts):
        if fact.kind == "registered":
            yield from _everywhere(story, i, "arrivals", 1)
    for entity in ("network", "device"):
        for fact in story.moves(entity):
            yield Gift(fact.epoch, "arrivals", (entity, fact.fields[entity]), 1)


def _around(story: Story, number: int, table: str) -> Iterator[Gift]:
    for gift in _everywhere(story, number, table, 1):
        if gift.key[0] != "client":
            yield gift


def _clusters(account: str, story: Story) -> Iterator[Gift]:
    """What a young account adds to its network, block and device, and whom it courts."""
    first = {id(fact): is_cold(fact, known) for fact, known in story.first_contacts}
    replies = {id(fact) for fact in story.replies()}
    others = {*map(id, story.strangers_added), *map(id, story.unfounded[:ACCUSES_AT_MOST])}
    clock, born = -1, None
    for fact in story.blind[:ACCUSES_AT_MOST]:
        yield Gift(fact.epoch, "accused", fact.peer or "", 1)
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
                yield Gift(fact.epoch, "courted", fact.peer or "", 1)
        elif id(fact) in replies:
            yield from _around(story, i, "answered")
        elif id(fact) in others:
            yield Gift(fact.epoch, "courted", fact.peer or "", 1)


def _places(account: str, story: Story) -> Iterator[Gift]:
    for i, fact in enumerate(story.facts):
        if fact.kind in ("registered", "session"):
            for entity in ("network", "block", "device"):
                name = story.places[i].get(entity)
                yield Gift(fact.epoch, f"on_{entity}", account, 0, name)


def _established(story: Story) -> Iterator[Gift]:
    """Once, at the first message received by which people write with the account."""
    mutual = set(map(id, story.mutual()))
    clock = count = 0
    for i, fact in enumerate(story.facts):
        clock = max(clock, fact.now)
        count += id(fact) in mutual
        aged = clock - story.facts[0].now >= ESTABLISHED_S
        if fact.kind == "received" and aged and count >= ESTABLISHED_CONTACTS:
            yield from _everywhere(story, i, "good", 1)
            return


def _feedback(story: Story) -> Iterator[Gift]:
    """Labels, and what they and reports say of reporters and targets."""
    reports = {i: known for i, _, known in story.complaints("reported_by")}
    first = {id(fact): known for fact, known in story.first_contacts}
    blamed: list[Gift] | None = None
    abusive = False
    waiting = story.reporters_before()
    targets: list[str] = []
    for i, fact in enumerate(story.facts):
        peer = fact.peer or ""
        if id(fact) in first and is_cold(fact, first[id(fact)]):
            targets = [*targets, peer][-LAST:]
        if i in reports:
            if not reports[i] & {"wrote", "added"}:
                past = story.until(i)
                if past.count(past.group_sends, "1d") == 0:
                    yield Gift(fact.epoch, "doubted", peer, 1)
            elif abusive:
                yield Gift(fact.epoch, "trusted", peer, 2)
        if fact.kind == "labelled":
            abusive = fact.fields["label"] == 0
            for reporter in waiting[i]:
                yield Gift(fact.epoch, "trusted" if abusive else "doubted", reporter, 2)
            if abusive and blamed is None:
                blamed = list(_everywhere(story, i, "bad", 1))
                yield from blamed
                for target in targets:
                    yield Gift(fact.epoch, "hunted", target, 1)
            if not abusive:
                for gift in blamed or ():
                    yield gift._replace(epoch=fact.epoch, amount=-1)
                blamed = None
