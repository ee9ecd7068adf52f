"""Relations that exist before a first message: what they spare, and how little evasion gains."""

from __future__ import annotations

import pytest

from support.parity_streams import DAY, HOUR, MINUTE, START, Row, log
from wavebreak import rules
from wavebreak.engine import Engine
from wavebreak.features.catalog import INDEX
from wavebreak.features.message_updates import MOST_RELATED_1H
from wavebreak.features.shared_state import MOST_MEMBERS
from wavebreak.schema.events import LANES, TYPES

ALLOWANCE = rules.load_policy(compiled=False).allowances.personal


class Town:
    """A stream in which `ann` is about to write to people who never wrote to her."""

    def __init__(self) -> None:
        self.engine = Engine(rules.load_policy(), accounts=4096)
        self.now, self.number = START, 0
        self.take("account.registered", "ann", channel=0)

    def take(self, kind: str, account: str, **fields: object) -> None:
        self.number += 1
        named = {"id": f"e{self.number}", "ts": self.now, "type": TYPES.index(kind)}
        row: Row = named | {"account": account} | fields
        self.engine.take(log([row]))

    def later(self, ms: int) -> None:
        self.now += ms

    def pass_days(self, days: int) -> None:
        """Let days pass in which others write: the log's time makes no leap of more than a day."""
        for _ in range(2 * days):
            self.later(DAY // 2)
            self.take("message.sent", "clock", group="tower")

    def gather(self, group: str, people: list[str], *, leader: str = "ann") -> None:
        """Have a group created, and people join it by its link."""
        self.take("group.created", leader, group=group)
        for person in people:
            self.take("group.joined", person, group=group)
        self.later(MINUTE)

    def befriend(self, one: str, other: str) -> None:
        self.take("message.sent", one, peer=other)
        self.take("message.sent", other, peer=one)

    def write(self, people: list[str]) -> int:
        """Have ann write to people, one every five seconds; return how many wait."""
        before = self.engine.core.refused_of(0)
        for person in people:
            self.later(5_000)
            self.take("message.sent", "ann", peer=person, size=90)
        return self.engine.core.refused_of(0) - before

    def value(self, name: str) -> float:
        return float(self.engine.core.values_of(0)[INDEX[name]])


def names(kind: str, many: int) -> list[str]:
    return [f"{kind}{k}" for k in range(many)]


def class_of_25(*, related: bool) -> int:
    """A teacher's first day: 25 pupils and a parent of each, who joined the group of the class."""
    town, people = Town(), names("pupil", 25) + names("parent", 25)
    if related:
        town.gather("class", people)
    town.later(HOUR)
    return town.write(people)


def moved_family(*, related: bool) -> int:
    """A family that comes from another messenger: who is there tells all forty in its group."""
    town, people = Town(), names("cousin", 40)
    if related:
        town.gather("family", ["ann", *people], leader="aunt")
    town.later(HOUR)
    return town.write(people)


def funeral_notice(*, related: bool) -> int:
    """A settled account tells 150 people of the choir, the street and the deceased's friends."""
    town = Town()
    choir, street, others = names("singer", 40), names("neighbour", 40), names("other", 50)
    close = names("close", 20)
    if related:
        town.gather("choir", ["ann", *choir], leader="conductor")
        town.gather("street", ["ann", *street], leader="neighbour0")
        for k, sibling in enumerate(names("sibling", 5)):
            town.take("account.registered", sibling, channel=0)
            town.befriend("ann", sibling)
            for friend in close[4 * k : 4 * k + 4]:
                town.befriend(sibling, friend)
    town.pass_days(8)
    return town.write([*choir, *street, *close, *others])


@pytest.mark.parametrize(
    ("story", "waiting"), [(class_of_25, 25), (moved_family, 15), (funeral_notice, 90)]
)
def test_people_who_are_related_already_wait_no_more(story: object, waiting: int) -> None:
    assert callable(story)
    assert story(related=False) == waiting
    assert story(related=True) == 0


def test_who_was_added_to_a_group_is_a_stranger_to_its_members() -> None:
    town, people = Town(), names("added", 30)
    town.take("group.created", "ann", group="g")
    for person in people:
        town.take("group.member_added", "bob", peer=person, group="g")
    town.later(HOUR)
    assert town.write(people) == 30 - ALLOWANCE.newcomers


def test_whom_the_sender_added_stays_a_stranger_though_they_accept() -> None:
    town, people = Town(), names("invited", 20)
    town.take("group.created", "ann", group="g")
    for person in people:
        town.take("group.member_added", "ann", peer=person, group="g")
        town.later(MINUTE)
        town.take("group.joined", person, group="g")
    town.later(HOUR)
    town.write(people)
    assert town.value("strangers_contacted_1h") == 20


def test_a_large_group_relates_nobody() -> None:
    town, people = Town(), names("member", MOST_MEMBERS)
    town.gather("public", ["ann", *people], leader="bob")
    town.later(HOUR)
    assert town.write(people[:30]) == 30 - ALLOWANCE.newcomers


def test_an_abuser_who_joins_groups_gains_a_bounded_number_of_first_contacts() -> None:
    town = Town()
    groups = [names(f"m{g}x", MOST_MEMBERS - 2) for g in range(4)]
    for g, people in enumerate(groups):
        town.gather(f"g{g}", ["ann", *people], leader="bob")
    town.later(HOUR)
    everybody = [person for people in groups for person in people]
    free = len(everybody) - town.write(everybody)
    assert free == MOST_RELATED_1H + ALLOWANCE.newcomers


def test_who_has_left_the_group_is_a_stranger_again() -> None:
    town = Town()
    town.gather("g", ["zoe", "kim"])
    town.take("group.left", "zoe", group="g")
    town.later(MINUTE)
    town.write(["zoe", "kim"])
    assert town.value("strangers_contacted_1h") == 1


def test_a_relation_of_the_open_minute_comes_too_late() -> None:
    town = Town()
    town.take("group.created", "ann", group="g")
    town.take("group.joined", "zoe", group="g")
    town.write(["zoe"])
    assert town.value("strangers_contacted_1h") == 1


def test_a_hub_that_answers_everybody_introduces_at_most_four() -> None:
    town, people = Town(), names("guest", 30)
    town.take("account.registered", "hub", channel=0)
    town.pass_days(8)
    town.befriend("ann", "hub")
    for person in people:
        town.befriend(person, "hub")
    town.later(MINUTE)
    town.write(people)
    assert town.value("first_contacts_1h") - town.value("strangers_contacted_1h") == 4


def test_a_newcomer_introduces_nobody() -> None:
    town = Town()
    town.take("account.registered", "eve", channel=0)
    town.befriend("ann", "eve")
    town.befriend("zoe", "eve")
    town.later(MINUTE)
    town.write(["zoe"])
    assert town.value("strangers_contacted_1h") == 2


def test_members_of_a_declared_organisation_are_no_strangers_to_each_other() -> None:
    town, people = Town(), names("clerk", 40)
    none = LANES.index("none")
    for person in ["ann", *people]:
        town.take("account.declared", person, lane=none, group="company")
    town.take("account.declared", "clerk0", lane=none)
    town.take("account.declared", "clerk1", lane=LANES.index("courier"))
    town.later(HOUR)
    assert town.write(people) == 0
    assert town.value("strangers_contacted_1h") == 1


def test_complaints_of_related_people_count() -> None:
    town = Town()
    town.gather("g", ["zoe"])
    town.write(["zoe"])
    town.take("user.blocked", "zoe", peer="ann")
    assert town.value("strangers_contacted_1h") == 0
    assert (town.value("stranger_contacts"), town.value("stranger_complaints")) == (1, 1)
