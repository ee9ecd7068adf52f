"""Priors of random platforms: the range of every drawn parameter, in one table.

A law is one of

- `log`: log-uniform between low and high; `even`: uniform; rounded where the parameter is whole;
- `all-but`: one minus a log-uniform share: mostly near one, sometimes far from it;
- `bounds`: a pair (from, to) around a log-uniform middle, narrow or wide (a factor of 1.2 to 2.5).

Ranges are wide on purpose: the shipped defaults and the figures of real traces lie inside, and an
unknown platform should lie inside too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np

from wavebreak.durations import HOUR_MS, MINUTE_MS, SECOND_MS


class Prior(NamedTuple):
    """One parameter's law: `name` is "Class.field"."""

    name: str
    law: str
    low: float
    high: float
    why: str


# fmt: off
PRIORS: tuple[Prior, ...] = (
    # The platform.
    Prior("World.people", "log", 300, 3000, "more cost time, not insight"),
    Prior("World.days", "log", 0.5, 7, "a half day up to a week"),
    Prior("World.start", "even", 0, 700, "days after 2025-01-01: any weekday, season and hour"),
    Prior("World.operators", "log", 3, 9, "several at once, none alike"),
    Prior("World.persona", "log", 4, 14, "accounts of each persona, in a world of 1,000"),
    Prior("World.cohort", "log", 20, 160, "people of a cohort, or of a few small ones"),
    # People: how many write how much with whom.
    Prior("Society.messages", "log", 1.2, 40, "CollegeMsg 3 on active days, messengers 40"),
    Prior("Society.messages_spread", "even", 0.4, 1.2, "p99 to median: 2.5 to 16"),
    Prior("Society.kept_ties", "log", 0.12, 1.0, "Copenhagen's cohort: 8 peers at p99 in a month"),
    Prior("Society.tie_spread", "even", 0.9, 2.0, "one close friend, or a dozen alike"),
    Prior("Society.far_ties", "log", 0.4, 6, "acquaintances beyond friends and work"),
    Prior("Society.far_spread", "even", 0.8, 1.7, "CollegeMsg's busiest reach 237 peers"),
    Prior("Society.far_most", "log", 60, 300, "the same"),
    Prior("Society.known", "all-but", 0.01, 0.5, "platforms with handles have few address books"),
    Prior("Society.silent", "log", 0.02, 0.35, "Copenhagen 7 % of pairs, CollegeMsg more"),
    Prior("Society.work_network", "even", 0.1, 0.8, "people with a second network"),
    Prior("Society.companion", "log", 0.02, 0.5, "linked desktops"),
    Prior("Society.newcomers", "log", 0.003, 0.3, "a mature platform, or one just launched"),
    Prior("Society.behind_one_carrier_address", "log", 5, 1500, "no NAT, or a town behind one"),
    Prior("Society.behind_one_office_address", "log", 10, 200, "offices and schools"),
    Prior("Society.scattered", "even", 0.0, 0.95, "few of a nation's people share a network"),
    Prior("Society.wave", "even", 0.0, 0.8, "a campaign of the platform, or a rival's outage"),
    Prior("Society.wave_h", "log", 0.3, 12, "how long it lasts"),
    Prior("Society.virtual", "log", 0.002, 0.08, "honest people with VoIP numbers"),
    Prior("Society.shared_phone", "log", 0.002, 0.08, "one phone a household"),
    Prior("Society.other_client", "log", 0.005, 0.3, "web, desktop and forks"),
    # How they converse.
    Prior("ConversationStyle.turn_first", "even", 0.6, 0.9, "who answers the first message"),
    Prior("ConversationStyle.turn", "even", 0.4, 0.7, "monologues to strict turns"),
    Prior("ConversationStyle.answer_gap", "log", 8 * SECOND_MS, 240 * SECOND_MS, "chat to SMS"),
    Prior("ConversationStyle.answer_spread", "even", 1.0, 1.9, "heavy tails everywhere"),
    Prior("ConversationStyle.own_gap", "log", 4 * SECOND_MS, 40 * SECOND_MS, "one's next words"),
    Prior("ConversationStyle.own_spread", "even", 0.8, 1.5, "the same"),
    Prior("ConversationStyle.characters", "log", 14, 70, "short chat to long texts"),
    Prior("ConversationStyle.characters_spread", "even", 0.7, 1.2, "the same"),
    Prior("ConversationStyle.overhead", "log", 40, 400, "protocols differ"),
    Prior("ConversationStyle.speed", "log", 2, 8, "characters a second"),
    Prior("ConversationStyle.speed_spread", "even", 0.4, 0.9, "hands differ"),
    Prior("ConversationStyle.deliver", "log", 200, 4000, "networks differ"),
    Prior("ConversationStyle.offline", "log", 0.03, 0.4, "phones that are off"),
    Prior("ConversationStyle.look", "log", 8 * SECOND_MS, 6 * MINUTE_MS, "how soon people look"),
    Prior("ConversationStyle.unread", "log", 0.03, 0.5, "people may turn read receipts off"),
    Prior("ConversationStyle.length", "log", 1.5, 9, "messages a conversation"),
    Prior("ConversationStyle.length_spread", "even", 0.6, 1.1, "the same"),
    # What they do beside.
    Prior("Habits.connects", "log", 1, 12, "sessions a day"),
    Prior("Habits.out", "even", 0.1, 0.7, "on the carrier, not at home"),
    Prior("Habits.new_device", "log", 0.0003, 0.01, "new phones a day"),
    Prior("Habits.meets", "log", 0.01, 0.8, "new acquaintances a day; CollegeMsg p99 12"),
    Prior("Habits.meets_spread", "even", 0.5, 2.0, "popular people: CollegeMsg has 144 a day"),
    Prior("Habits.met_known", "even", 0.1, 0.9, "those who saved the number before"),
    Prior("Habits.looks_up", "even", 0.1, 0.8, "search, or a link"),
    Prior("Habits.saves", "even", 0.1, 0.9, "who saves numbers"),
    Prior("Habits.quarrels", "log", 0.0002, 0.004, "blocks among acquaintances"),
    Prior("Habits.false_reports", "log", 0.0001, 0.002, "mistaken reports"),
    Prior("Habits.group_joins", "log", 0.002, 0.08, "joins a day"),
    Prior("Habits.new_groups", "log", 0.001, 0.02, "groups founded a day"),
    Prior("Habits.flock", "even", 0.0, 0.6, "people write in bouts: inter-event times are bursty"),
    Prior("Habits.flock_gap", "log", 40 * SECOND_MS, 10 * MINUTE_MS, "the same"),
    Prior("Habits.sharpness", "even", 0.3, 1.4, "flat days to sharp ones"),
    Prior("Habits.late", "even", -2, 3, "early risers to night owls"),
    Prior("Habits.roams", "log", 0.005, 0.35, "dynamic addresses, travel"),
    Prior("GroupHabits.each", "log", 0.15, 1.5, "groups a person"),
    Prior("GroupHabits.size", "log", 3.5, 14, "members"),
    Prior("GroupHabits.size_spread", "even", 0.5, 1.1, "some very large"),
    Prior("GroupHabits.bursts", "log", 0.2, 3, "bursts of talk a group and day"),
    # Newcomers.
    Prior("NewcomerBehaviour.book", "log", 4, 300, "address books: some upload none to speak of"),
    Prior("NewcomerBehaviour.book_spread", "even", 0.4, 1.3, "the same"),
    Prior("NewcomerBehaviour.found", "even", 0.25, 0.85, "how many of them are there"),
    Prior("NewcomerBehaviour.first_chats", "log", 2, 20, "whom newcomers write to at once"),
    Prior("NewcomerBehaviour.first_chats_spread", "even", 0.4, 1.0, "the same"),
    Prior("NewcomerBehaviour.within", "log", 1 * HOUR_MS, 24 * HOUR_MS, "the same"),
    Prior("NewcomerBehaviour.known", "even", 0.05, 0.8, "who has the new number already"),
    Prior("NewcomerBehaviour.added_back", "even", 0.2, 0.8, "who adds it"),
    Prior("NewcomerBehaviour.answer", "even", 0.65, 0.97, "who answers"),
    Prior("NewcomerBehaviour.attested", "all-but", 0.01, 0.7, "cheap phones, desktops"),
    Prior("NewcomerBehaviour.retries", "log", 0.03, 0.4, "codes that did not arrive"),
    Prior("NewcomerBehaviour.mobile", "even", 0.1, 0.9, "registration over the carrier"),
    Prior("NewcomerBehaviour.hosted", "log", 0.003, 0.4, "registration through a tunnel"),
    Prior("NewcomerBehaviour.syncs", "even", 0.2, 1.0, "who lets the address book be read"),
    Prior("NewcomerBehaviour.by_other_means", "log", 0.005, 0.95, "voice, flash, mail"),
    # How strangers are met: per operator, and (tolerated) per world.
    Prior("RecipientBehaviour.read", "even", 0.15, 0.85, "curious or careful people"),
    Prior("RecipientBehaviour.reply", "log", 0.003, 0.18, "no to good bait"),
    Prior("RecipientBehaviour.block", "log", 0.004, 0.25, "a button, or three menus away"),
    Prior("RecipientBehaviour.report", "log", 0.001, 0.1, "the same"),
    Prior("RecipientBehaviour.report_delay", "log", 4 * MINUTE_MS, 4 * HOUR_MS, "soon, or later"),
    Prior("Tolerated.reply", "log", 0.02, 0.35, "customers"),
    Prior("Tolerated.block", "log", 0.001, 0.02, "the same"),
    Prior("Tolerated.report", "log", 0.0002, 0.004, "the same"),
    # Platforms where chats open by a request.
    Prior("RequestHabits.lead", "log", 0.2 * SECOND_MS, 5 * MINUTE_MS, "an invitation before"),
    Prior("RequestHabits.delay", "log", 1 * MINUTE_MS, 12 * HOUR_MS, "a notification, or a folder"),
    Prior("HonestRequest.accept", "even", 0.3, 0.9, "who accepts and stays silent"),
    Prior("HonestRequest.refuse", "log", 0.01, 0.1, "most ignore what they do not want"),
    Prior("UnwantedRequest.accept", "log", 0.03, 0.3, "curious or careful people"),
    Prior("UnwantedRequest.refuse", "even", 0.05, 0.6, "a button, or three menus away"),
    # What operators write, and have.
    Prior("MessageContent.characters", "log", 20, 400, "a link, or an essay"),
    Prior("MessageContent.variation", "log", 1, 60, "templates to rewritten texts"),
    Prior("MessageContent.known", "log", 0.002, 0.06, "recipients who happen to have the number"),
    Prior("MessageContent.dead", "log", 0.003, 0.2, "clean lists and guessed ones"),
    Prior("MessageContent.image", "log", 0.01, 0.6, "pictures"),
    Prior("Operation.accounts", "log", 3, 60, "a hobby, or a trade"),
    Prior("Operation.list_share", "log", 0.1, 1.0, "the part of all people on its list"),
    Prior("Operation.total", "log", 40, 700, "messages an account: until banned, or bought"),
    Prior("Enrolment.spread", "log", 60, 200_000, "numbers in a row, or from all over a block"),
    Prior("Enrolment.blocks", "log", 1, 12, "number blocks"),
    Prior("Enrolment.attested", "all-but", 0.01, 1.0, "farms of real phones, or emulators"),
    Prior("Enrolment.retries", "log", 0.05, 3, "verification attempts beside the first"),
    # Benign personas.
    Prior("Organiser.asks", "bounds", 12, 60, "people asked a day"),
    Prior("Organiser.members", "bounds", 20, 70, "members a group"),
    Prior("Organiser.known", "even", 0.35, 0.9, "who has the organiser in contacts"),
    Prior("Organiser.silent", "even", 0.15, 0.55, "who never answers"),
    Prior("Teacher.parents", "bounds", 6, 25, "parents who write"),
    Prior("Teacher.calls", "bounds", 4, 18, "parents written to"),
    Prior("Teacher.known", "even", 0.3, 0.8, "who has the teacher in contacts"),
    Prior("SupportDesk.chats_a_day", "bounds", 40, 140, "100 a day and more"),
    Prior("Shop.orders", "bounds", 15, 70, "customers a day"),
    Prior("Shop.notified", "even", 0.2, 0.9, "notified later"),
    Prior("Shop.silent", "even", 0.3, 0.8, "few thank a shop"),
    Prior("Newsletter.readers", "bounds", 80, 500, "readers"),
    Prior("Newsletter.rate", "log", 0.5, 12, "messages a second"),
    Prior("Radio.listeners", "bounds", 40, 160, "listeners a show"),
    Prior("Radio.silent", "even", 0.2, 0.8, "those who get no answer"),
    Prior("PopularStudent.peers", "bounds", 8, 40, "new peers a day"),
    Prior("PopularStudent.known", "even", 0.2, 0.7, "who saved the number"),
    Prior("PopularStudent.silent", "even", 0.2, 0.6, "CollegeMsg's busiest have 21 % reciprocity"),
    Prior("IrcRegular.asked", "bounds", 5, 25, "strangers who ask"),
    Prior("IrcRegular.offers", "bounds", 2, 8, "strangers whom it answers in private"),
    Prior("Courier.stops", "bounds", 40, 130, "stops a day"),
    Prior("Courier.known", "even", 0.5, 0.9, "customers who have the number"),
    Prior("Courier.silent", "even", 0.6, 0.92, "who says thanks"),
    Prior("Courier.typing", "even", 0.05, 0.6, "canned texts, mostly"),
    Prior("FamilyAbroad.size", "log", 4, 14, "people behind one address"),
    Prior("FamilyAbroad.new", "even", 0.2, 0.9, "those who register"),
    Prior("VictimOfReports.ring", "log", 8, 40, "reporters for hire"),
    Prior("HijackOwner.contacts", "bounds", 6, 24, "contacts written to afterwards"),
    Prior("Salesperson.customers", "bounds", 15, 80, "customers a day"),
    Prior("Salesperson.known", "even", 0.55, 0.95, "who saved the number"),
    Prior("Salesperson.silent", "even", 0.25, 0.7, "who does not answer"),
    Prior("Salesperson.typing", "even", 0.1, 0.95, "templates or words of one's own"),
    Prior("Salesperson.gap", "log", 20 * SECOND_MS, 5 * MINUTE_MS, "between two of them"),
    Prior("Salesperson.characters", "log", 40, 250, "offers are long"),
    Prior("Recruiter.asks", "bounds", 4, 30, "strangers a day"),
    Prior("Recruiter.silent", "even", 0.3, 0.6, "most answer an honest offer"),
    Prior("Recruiter.blocks", "log", 0.001, 0.01, "some do not like it"),
    Prior("Recruiter.gap", "log", 60 * SECOND_MS, 15 * MINUTE_MS, "each is read first"),
    Prior("Greeter.greets", "bounds", 20, 110, "an address book at New Year"),
    Prior("Greeter.known", "even", 0.6, 0.95, "who has the greeter"),
    Prior("Greeter.silent", "even", 0.15, 0.6, "greetings are answered, or not"),
    Prior("Greeter.gap", "log", 3 * SECOND_MS, 40 * SECOND_MS, "paste, send, next"),
    Prior("BareNewcomer.virtual", "even", 0.0, 0.6, "VoIP numbers of honest people"),
    Prior("Roamer.moves", "bounds", 4, 18, "networks a day"),
    Prior("Roamer.hosted", "even", 0.0, 0.8, "sessions through a tunnel"),
    Prior("SharedPhone.size", "log", 2, 5, "people a phone"),
    Prior("SharedPhone.new", "even", 0.2, 0.9, "those who register"),
    Prior("Cohort.size", "log", 15, 160, "a class, a camp, a campus"),
    Prior("Cohort.within", "log", 0.4, 16, "hours until all have registered"),
    Prior("Cohort.writes", "bounds", 2, 30, "others of it whom each writes to"),
    Prior("Cohort.known", "even", 0.0, 0.7, "who saved the number before"),
    Prior("Cohort.silent", "even", 0.08, 0.6, "whom everybody writes to, not all answer"),
    Prior("Cohort.over", "log", 2, 48, "hours in which they do"),
    Prior("OfficeNat.size", "log", 8, 60, "people an office"),
    Prior("OfficeNat.within", "log", 1, 24, "hours until all have registered"),
)
# fmt: on
"""Every drawn parameter; what is not here keeps its default."""

MISSING_FIELDS: dict[str, tuple[tuple[str, ...], float]] = {
    "typing": (("typing.started",), 0.3),
    "receipts": (("message.delivered", "message.read"), 0.2),
    "reads": (("message.read",), 0.12),
    "undeliverable": (("message.undeliverable",), 0.3),
    "look-ups": (("contact.looked_up",), 0.3),
    "address books": (("contact.added", "contact.removed", "message.sent.in_contacts"), 0.2),
    "in_contacts": (("message.sent.in_contacts",), 0.2),
    "registrations": (("account.registered",), 0.12),
    "sessions": (("session.started",), 0.15),
    "addresses": (("ip",), 0.15),
    "devices": (("device",), 0.2),
    "clients": (("client",), 0.25),
    "attestation": (("account.registered.attested",), 0.35),
    "attempts": (("account.registered.attempts", "account.registered.verification"), 0.3),
    "numbers": (("phone",), 0.15),
    "sizes": (("message.sent.size",), 0.2),
    "media": (("message.sent.media",), 0.25),
    "groups": (("group.created", "group.member_added", "group.joined", "group.left"), 0.15),
    "reports": (("user.reported",), 0.15),
    "blocks": (("user.blocked", "user.unblocked"), 0.15),
    "challenges": (("challenge.passed", "challenge.failed"), 0.3),
    "channels": (("account.registered.channel",), 0.3),
}
"""What real platforms lack: event types and fields, and how likely a random platform lacks them.

A quarter of the worlds carry everything, one in ten is a federated server and one in ten a gateway,
and one in ten carries nothing but messages, as the traces do.
"""

COMPLETE_SHARE, FEDERATED_SHARE, GATEWAY_SHARE, MESSAGES_ONLY_SHARE = 0.26, 0.12, 0.12, 0.1

FEDERATED = (
    "contact.added", "contact.removed", "contact.looked_up", "message.sent.in_contacts", "phone",
    "typing.started", "message.delivered", "message.read", "message.undeliverable", "device",
    "account.registered.attested", "account.registered.attempts",
)  # fmt: skip
"""What a federated chat server mostly lacks; it verifies by mail, or not at all."""

GATEWAY = (
    "contact.added", "contact.removed", "contact.looked_up", "message.sent.in_contacts", "device",
    "typing.started", "message.read", "group.created", "group.member_added", "group.joined",
    "group.left", "session.started", "account.registered", "challenge.passed", "challenge.failed",
    "user.blocked", "user.unblocked", "client", "message.sent.media",
)  # fmt: skip
"""What a gateway of text messages mostly lacks."""

ONE_VERIFICATION = (("", 0.6), ("email", 0.18), ("none", 0.1), ("sms", 0.08), ("voice", 0.04))
"""Platforms that verify everybody in one way, and how likely; "" is by several."""

COHORT_SHARE = 0.45
"""Chance that a platform has a cohort of one kind."""
STEPS_MS = ((1, 0.75), (1_000, 0.2), (60_000, 0.05))
"""Steps in which a world's times come, and how likely."""


PERTURBATION = 0.45
"""Sigma of the logarithm by which numbers without a prior are shaken (a share: its odds)."""

Recipe = TypeVar("Recipe")


@cache
def priors_of(owner: str) -> Mapping[str, Prior]:
    """Return the priors of one class by field."""
    dotted = ((p.name.partition("."), p) for p in PRIORS)
    return {field: prior for (name, _, field), prior in dotted if name == owner}


def draw_number(rng: np.random.Generator, prior: Prior) -> float:
    """Draw one number.

    >>> rng = np.random.default_rng(1)
    >>> 10 <= draw_number(rng, Prior("World.people", "log", 10, 20, "why")) <= 20
    True
    """
    if prior.law == "even":
        return float(rng.uniform(prior.low, prior.high))
    drawn = float(np.exp(rng.uniform(np.log(prior.low), np.log(prior.high))))
    return 1.0 - drawn if prior.law == "all-but" else drawn


def draw_value(rng: np.random.Generator, prior: Prior, like: Any) -> Any:
    """Draw a value of the kind that a default has: a number, a whole one, or a pair of them."""
    drawn = draw_number(rng, prior)
    if prior.law == "bounds":
        width = rng.uniform(1.2, 2.5)
        low, high = drawn / width, drawn * width
        whole = isinstance(like[0], int)
        return (int(low), max(int(high), int(low) + 2)) if whole else (low, high)
    return max(1, round(drawn)) if isinstance(like, int) else drawn


def draw_recipe(rng: np.random.Generator, default: Recipe, owner: str = "") -> Recipe:
    """Draw every number of a recipe that has a prior under its class's name (or `owner`'s)."""
    table = priors_of(owner or type(default).__name__)
    drawn = {
        f.name: draw_value(rng, table[f.name], getattr(default, f.name))
        for f in fields(default)  # type: ignore[arg-type]
        if f.name in table
    }
    return replace(default, **drawn)  # type: ignore[type-var]


def perturb(rng: np.random.Generator, default: Recipe, but: frozenset[str]) -> Recipe:
    """Shake every number of a recipe, log-normally round its default, except fields named."""
    changed = {}
    for f in fields(default):  # type: ignore[arg-type]
        old = getattr(default, f.name)
        if f.name not in but and (new := _perturb_value(rng, old)) is not None:
            changed[f.name] = new
    return replace(default, **changed)  # type: ignore[type-var]


def _perturb_value(rng: np.random.Generator, old: Any) -> Any:
    factor = float(np.exp(rng.normal(0.0, PERTURBATION)))
    if isinstance(old, bool) or not isinstance(old, int | float | tuple):
        return None
    if isinstance(old, tuple):
        if not all(isinstance(x, int | float) for x in old):
            return None
        if all(0 <= x <= 1 for x in old):
            return tuple(_scale_odds(x, factor) for x in old)
        return tuple(_scale(x, factor) for x in old)
    return (
        _scale_odds(old, factor)
        if isinstance(old, float) and 0 <= old <= 1
        else _scale(old, factor)
    )


def _scale_odds(share: float, factor: float) -> float:
    return share * factor / (1 - share + share * factor)


def _scale(old: float, factor: float) -> float:
    return max(1, round(old * factor)) if isinstance(old, int) else old * factor
