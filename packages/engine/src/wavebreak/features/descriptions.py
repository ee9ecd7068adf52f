"""What each feature is called and says, for people who review accounts.

The catalog's `meaning` is exact, for whoever writes rules or computes the value again; this is for
whoever reads a page with the value on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wavebreak.durations import DAY_MS
from wavebreak.languages import ENGLISH, Language, msgid

_WINDOWS = {
    "15s": (msgid("in 15 seconds"), msgid("{title} in 15 s")),
    "5m": (msgid("in five minutes"), msgid("{title} in 5 min")),
    "1h": (msgid("in an hour"), msgid("{title} in 1 h")),
    "1d": (msgid("in a day"), msgid("{title} in 1 d")),
    "7d": (msgid("in seven days"), msgid("{title} in 7 d")),
    "28d": (msgid("in four weeks"), msgid("{title} in 28 d")),
    "32": (msgid("of the last 32"), msgid("{title}, last 32")),
}
"""What a sentence says of a window, and a title."""
_WINDOW = re.compile(rf"_({'|'.join(_WINDOWS)})$")

_STRANGERS = "people whom it did not know and wrote to first"

DESCRIPTIONS: dict[str, str] = {
    # Volume.
    "sends": "Messages sent {window}, to people and to groups.",
    "peers": "Different people written to {window}.",
    "group_sends": "Messages sent to groups {window}.",
    "first_contacts": "People written to, or asked for contact, for the first time {window}.",
    "first_contact_share": "How many of the messages sent {window} began a new chat.",
    "strangers_written": "People written to first {window} who did not have it in their contacts.",
    "cold_share": "How many {window} people written to first did not have it in their contacts.",
    "started_chats": "Chats that it began, ever.",
    "growth": "How much more it sent in the newer half of the week than in the older half.",
    # Answers.
    "started_share": "How many of its chats it began itself.",
    "replied": "People written to first {window} who have answered.",
    "reply_share": "How many of the people written to first {window} have answered.",
    "unanswered": "People written to first {window} who have not answered.",
    "one_way_run": "Messages that it sent to people since it last received one.",
    "mutual_contacts": "People with whom messages went both ways.",
    "inbound_chats": "Chats that others began with it.",
    "reciprocity": "Messages received from people for each one sent to them.",
    "read_share": "How many of its messages were read.",
    "delivered_share": "How many of its messages were delivered.",
    "read_back_share": "How many of the messages that it received it has read. People read.",
    # Rhythm.
    "gap_mean": "How long it waits between messages, on average.",
    "gap_sd": "How much its pauses between messages vary. People's vary a lot.",
    "typed_share": "How many {window} texts were typed before they were sent.",
    "size_repeat_share": "How many {window} messages are as long as one of the four before.",
    "hour_entropy": "How evenly it sends over the hours of the day. People sleep.",
    # The people that it writes to.
    "abuse_target_share": (
        "How many {window} people written to first had just been written to by abusive accounts."
    ),
    "young_peer_share": "How many {window} new chats are with accounts less than a week old.",
    "colocated_young_peer_share": (
        "How many {window} new chats are with accounts less than a week old on its own network, "
        "number range or device."
    ),
    # The account.
    "age_s": "Time since it registered.",
    "known_s": "Time since it was first seen.",
    "attempts": "Attempts until its number or address was verified.",
    "attested": "Whether the platform vouched for its device.",
    "verification_weak": "Whether it was verified by call, e-mail or not at all.",
    "country_mismatch": "Whether it registered from another country than its number's.",
    "channel": "Whether it is a person's account or one of the two business products.",
    # Where it is.
    "network_bad": "How many of the accounts known on its network were acted on.",
    "block_bad": "How many of the accounts known in its range of numbers were acted on.",
    "device_bad": "How many of the accounts known on its device were acted on.",
    "client_bad": "How many of the accounts known with its kind of client were acted on.",
    "network_arrivals": "Accounts that came to its network lately.",
    "block_arrivals": "Accounts that came to its range of numbers lately.",
    "device_arrivals": "Accounts that came to its device lately.",
    "network_young": "Accounts that registered on its network lately.",
    "block_young": "Accounts that registered in its range of numbers lately.",
    "device_young": "Accounts that registered on its device lately.",
    "network_cold": "Strangers written to first by new accounts on its network.",
    "block_cold": "Strangers written to first by new accounts in its range of numbers.",
    "device_cold": "Strangers written to first by new accounts on its device.",
    "network_answered": "How many people answer the new accounts on its network.",
    "block_answered": "How many people answer the new accounts in its range of numbers.",
    "device_answered": "How many people answer the new accounts on its device.",
    "origin_bad": "How many of the accounts known on its server were acted on.",
    "device_age_s": "Time since it moved to another device.",
    "linked_age_s": "Time since a second device was linked to it.",
    "first_contacts_on_device": "People written to first since its device changed or was linked.",
    "recipients_on_device": "People written to since its device changed or was linked.",
    # Groups.
    "groups_created": "Groups created {window}.",
    "strangers_added": "People added to groups {window} whom it did not know.",
    "left_after_add": "People who left {window} a group to which it had added them.",
    "mass_mentions": "Messages {window} to groups just joined that mention ten people or more.",
    "people_mentioned": "People mentioned {window} by messages to many in groups just joined.",
    "group_reports": "Reports received {window} from people whom it has met in groups alone.",
    # Search and delivery.
    "lookups": "Numbers looked up {window}.",
    "lookup_hit_share": "How many of the numbers looked up {window} belonged to somebody.",
    "undeliverable": "Messages {window} that could not be delivered.",
    "undeliverable_share": "How many first messages {window} reached nobody.",
    # What others say.
    "reports": "People who reported it {window}.",
    "report_weight": "Reports {window}, each by how far the person who made it can be relied on.",
    "unproven_reports": "Reports {window} by people to whom it never wrote.",
    "blocks": "People who blocked it {window}.",
    "block_weight": "Blocks {window}, each by how far the person who made it can be relied on.",
    # Calls.
    "blind_reports": "Reports that it made with no chat or group where it could have met anyone.",
    "accused_last": "Such reports, in two days, of the account that it reported last.",
    # What was decided.
    "enforcement_level": "What is in force now, from 0 (allow) to 6 (ban).",
    "strikes": "How often it was restricted, suspended or banned.",
    "refused": "Acts of it that were refused.",
    "attempts_after_notice": (
        "Refused attempts at new chats after it had been told that it is limited."
    ),
    "label_abusive": "Whether a person judged it abusive.",
    "label_benign": "Whether a person judged it benign.",
    "lane": "Whether an administrator declared that it writes first by trade, and as what.",
    "label_unconfirmed": "Whether a honeypot, a partner or a sample calls it abusive; nobody "
    "has decided so.",
    "trap_contacts": "Traps written to first {window}: numbers or accounts that nobody uses.",
    # Evidence.
    "unanswered_evidence": f"How strongly the silence of {_STRANGERS} speaks against it.",
    "complaint_evidence": f"How strongly complaints by {_STRANGERS} speak against it.",
    "reaction_evidence": (
        f"How strongly it speaks against it that {_STRANGERS} complain instead of answering."
    ),
    "later_complaint_evidence": (
        "How strongly complaints by people who had answered it speak against it."
    ),
    "unwanted_evidence": (
        f"How strongly complaints of {_STRANGERS} speak against it, by the test that says most."
    ),
    "leave_evidence": "How strongly it speaks against it that people leave groups it adds them to.",
    "undeliverable_evidence": (
        "How strongly it speaks against it that first messages reach nobody."
    ),
    "strangers_contacted": "People whom it did not know and wrote to first {window}.",
    "answers_of_strangers": "People written to first whose first answer came {window}.",
    "first_contact_allowance": "People whom it did not know that it may write to first {window}.",
    "stranger_contacts": "People whom it did not know and wrote to first.",
    "stranger_answers": "Those of them who have answered.",
    "stranger_complaints": "Those of them who blocked or reported it, or did not know it.",
    "unanswered_strangers": "People written to first {window} who have not answered, new ones too.",
    "operator_accounts": "Other accounts that seem to be in the same hands.",
    "operator_abusive_accounts": "Those of them that were found abusive.",
    "operator_unanswered_evidence": (
        "How strongly the silence of strangers speaks against all accounts in the same hands."
    ),
    "operator_complaint_evidence": (
        "How strongly complaints of strangers speak against all accounts in the same hands."
    ),
    "score": "How likely it is, by the model, that the account is abusive.",
    "registration_score": "How likely that was, by the model, when it registered.",
}
"""By the feature's name without its window."""


TITLES: dict[str, str] = {
    "peers": "people written to",
    "cold_share": "written to without being their contact",
    "started_share": "chats that it began",
    "one_way_run": "messages since the last answer",
    "mutual_contacts": "contacts both ways",
    "inbound_chats": "chats that others began",
    "reciprocity": "received for each message sent",
    "growth": "growth of sending",
    "gap_mean": "pauses between messages",
    "gap_sd": "variation of pauses",
    "typed_share": "typed texts",
    "size_repeat_share": "messages of equal length",
    "hour_entropy": "spread over the day",
    "read_share": "messages that were read",
    "delivered_share": "messages that were delivered",
    "read_back_share": "messages that it read",
    "abuse_target_share": "targets of abusive accounts",
    "young_peer_share": "chats with new accounts",
    "strangers_written": "strangers written to first",
    "strangers_contacted": "strangers contacted",
    "answers_of_strangers": "strangers who answered",
    "first_contact_allowance": "strangers it may write to first",
    "colocated_young_peer_share": "chats with new accounts beside it",
    "known_s": "time since first seen",
    "attempts": "attempts at verification",
    "attested": "device vouched for",
    "verification_weak": "weak verification",
    "country_mismatch": "another country than its number's",
    "channel": "kind of account",
    "network_bad": "acted on in its network",
    "network_arrivals": "arrivals in its network",
    "network_young": "registrations in its network",
    "network_cold": "strangers written to in its network",
    "network_answered": "answers in its network",
    "block_bad": "acted on in its number range",
    "block_arrivals": "arrivals in its number range",
    "block_young": "registrations in its number range",
    "block_cold": "strangers written to in its number range",
    "block_answered": "answers in its number range",
    "device_bad": "acted on on its device",
    "device_arrivals": "arrivals on its device",
    "device_young": "registrations on its device",
    "device_cold": "strangers written to on its device",
    "device_answered": "answers on its device",
    "client_bad": "acted on with its client",
    "origin_bad": "acted on on its server",
    "device_age_s": "time on this device",
    "linked_age_s": "time since a device was linked",
    "recipients_on_device": "people written to on this device",
    "first_contacts_on_device": "first contacts on this device",
    "left_after_add": "people who left after being added",
    "lookups": "numbers looked up",
    "lookup_hit_share": "numbers found",
    "undeliverable": "messages not delivered",
    "undeliverable_share": "first messages that reached nobody",
    "blind_reports": "reports without having met anyone",
    "accused_last": "such reports of the account it reported last",
    "enforcement_level": "in force",
    "strikes": "earlier restrictions",
    "refused": "refused acts",
    "label_abusive": "judged abusive",
    "label_benign": "judged benign",
    "lane": "declared lane",
    "label_unconfirmed": "called abusive by others",
    "trap_contacts": "traps written to first",
    "unanswered_evidence": "evidence of silence",
    "complaint_evidence": "evidence of complaints",
    "reaction_evidence": "evidence of complaints in place of answers",
    "later_complaint_evidence": "evidence of complaints after answers",
    "unwanted_evidence": "evidence of unwanted messages",
    "leave_evidence": "evidence of people leaving",
    "undeliverable_evidence": "evidence of failed delivery",
    "operator_accounts": "other accounts of the operator",
    "operator_abusive_accounts": "abusive accounts of the operator",
    "operator_unanswered_evidence": "operator's evidence of silence",
    "operator_complaint_evidence": "operator's evidence of complaints",
    "score": "score of the model",
    "registration_score": "score at registration",
}
"""By the name without its window, where the name itself is not plain English."""

BARE_UNITS = ("", "0 or 1", "code", "ratio", "correlation", "probability", "share")
"""Units that are not said beside a value."""


def title_texts(names: Iterable[str]) -> Iterator[str]:
    """Yield the titles of features without their windows."""
    yield from dict.fromkeys(_stem_title(_split(name)[0]) for name in names)


def unit_forms(unit: str) -> tuple[str, str]:
    """Return a count in a unit, of one and of many; units that are no nouns stay.

    >>> unit_forms("messages"), unit_forms("log2 ms")
    (('{n} message', '{n} messages'), ('{n} log2 ms', '{n} log2 ms'))
    """
    one = {"approaches": "approach"}.get(unit, unit.removesuffix("s")) if unit.isalpha() else unit
    return f"{{n}} {one}", f"{{n}} {unit}"


def _split(name: str) -> tuple[str, str]:
    """Return a feature's name without its window, and the window ("": none)."""
    window = _WINDOW.search(name)
    return (name[: window.start()], window[1]) if window else (name, "")


def _stem_title(stem: str) -> str:
    return TITLES.get(stem) or stem.removesuffix("_s").replace("_", " ")


def feature_title(name: str, language: Language = ENGLISH) -> str:
    """Return a feature's name in words, with its window; of a name that is no feature's, too.

    >>> feature_title("first_contacts_1h"), feature_title("gap_sd"), feature_title("age_s")
    ('first contacts in 1 h', 'variation of pauses', 'age')
    >>> feature_title("typed_share_32")
    'typed texts, last 32'
    """
    stem, window = _split(name)
    title = language.gettext(_stem_title(stem))
    return language.gettext(_WINDOWS[window][1], title=title) if window else title


def describe_feature(name: str, language: Language = ENGLISH) -> str:
    """Return what a feature says, in a sentence.

    Raises KeyError for a name that is no feature's.

    >>> describe_feature("first_contacts_1h")
    'People written to, or asked for contact, for the first time in an hour.'
    >>> describe_feature("size_repeat_share_32")
    'How many of the last 32 messages are as long as one of the four before.'
    """
    stem, window = _split(name)
    during = language.gettext(_WINDOWS[window][0]) if window else ""
    return language.gettext(DESCRIPTIONS[stem], window=during)


class Feature(NamedTuple):
    """One line of the catalog.

    `sources` are the event types, or `type.field`, without which the feature is missing for every
    account of a stream; `resolution_ms` is the coarsest clock on which it still means something.
    """

    name: str
    unit: str
    family: str
    window: str
    meaning: str
    sources: tuple[str, ...]
    false_positives: str
    blind_spots: str
    version: int = 1
    resolution_ms: int = DAY_MS

    @property
    def description(self) -> str:
        """What it says, in a sentence for people who review accounts; `meaning` is exact."""
        return describe_feature(self.name)


class WindowedCount(NamedTuple):
    """A feature that counts one event over its window.

    `counts` is one of `window_counters.ROW_EVENTS` or `RARE_EVENTS`; `field` is the ring buffer's
    field in the account's record (None: the feature's name). A bucket holds at most `bucket_max`,
    255 or 65,535; the feature's value is the window's total over `per`.
    """

    feature: Feature
    counts: str
    field: str | None = None
    bucket_max: int = 65_535
    per: int = 1
