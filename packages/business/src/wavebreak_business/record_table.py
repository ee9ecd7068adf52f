"""What logs say, as columns of numbers: 52 bytes a record, so that memory is bounded.

Providers fill the table by the methods of `RecordTable`. It holds pseudonyms and codes: a text, a
phone number or a message id never enters it.
"""

from __future__ import annotations

import enum
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavebreak.errors import FileError
from wavebreak_business.identities import MAX_ID, Identities, plain_name, short_number

MAX_RECORDS = 10_000_000
MAX_PEOPLE = 5_000_000
MAX_NAMES = 100_000
"""Senders, templates, codes and shapes that are told apart."""
TS_END = 4_102_444_800_000
"""The year 2100: a later time is none."""
NO_TIME = 0
CATEGORIES = (
    "unknown", "marketing", "utility", "authentication", "service", "referral_conversion", "sms",
)  # fmt: skip
_CATEGORY = {name: n for n, name in enumerate(CATEGORIES)} | {
    "marketing_lite": 1, "authentication_international": 3, "authentication-international": 3,
}  # fmt: skip
_CODE = re.compile(
    r"none|[0-9]{1,6}|(?:EC|REJECTED|UNDELIVERABLE|EXPIRED|PENDING|SMS|WA)_[A-Z0-9_]{1,56}"
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[_-][A-Za-z]{2,4})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_WORD = re.compile(r"[A-Z][A-Z_]{0,39}")
OTHER_SHAPES = "other shapes"
REINSTATED = "REINSTATED"
UNLISTED = "unlisted"
"""Stands for a code that looks like none, so that nothing else is shown in its place."""


class Kind(enum.IntEnum):
    """What a record says."""

    SENT = 0
    DELIVERED = 1
    READ = 2
    FAILED = 3
    HELD = 4
    INBOUND = 5
    STOP = 6
    RESUME = 7
    CONSENT = 8


OUTBOUND = (Kind.SENT, Kind.DELIVERED, Kind.READ, Kind.FAILED, Kind.HELD)


class TemplateEvent(NamedTuple):
    """A change of a template: `what` is its status or quality, `detail` the kind of pause."""

    at_ms: int
    label: str
    name: str
    language: str
    field: str
    what: str
    detail: str


class LimitEvent(NamedTuple):
    """A limit that the platform announced: people a day; -1 for none."""

    at_ms: int
    people: int


class AccountEvent(NamedTuple):
    """What happened to the account; `until_ms` where it ends by itself."""

    at_ms: int
    what: str
    until_ms: int | None = None


class NumberEvent(NamedTuple):
    """What happened to the quality of a number, by its pseudonym."""

    at_ms: int
    number: str
    what: str


class Alias(NamedTuple):
    """Two ids of one person, by their numbers; `changed_ms` where one took the other's place."""

    old: int
    new: int
    changed_ms: int | None


@dataclass
class Names:
    """Texts by number, in the order in which they came."""

    most: int
    what: str
    texts: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """Return the number of a text, which is kept."""
        known = self._numbers.get(text)
        if known is None:
            known = len(self.texts)
            if known >= self.most:
                raise FileError(
                    f"the logs name more than {self.most:,} {self.what}",
                    fix="check fewer files at a time, for example a month",
                )
            self._numbers[text] = known
            self.texts.append(text)
        return known


class Columns(NamedTuple):
    """The records as arrays of equal length."""

    ts: NDArray[np.int64]
    kind: NDArray[np.uint8]
    person: NDArray[np.int32]
    sender: NDArray[np.int32]
    message: NDArray[np.int64]
    code: NDArray[np.int32]
    category: NDArray[np.uint8]
    label: NDArray[np.int64]
    billed: NDArray[np.int8]
    inside: NDArray[np.uint8]
    price: NDArray[np.float64]
    currency: NDArray[np.int32]

    def of(self, chosen: NDArray[Any]) -> Columns:
        """Return some of the records: by a mask, or by their places."""
        return Columns(*(column[chosen] for column in self))


_TYPES = "qBiiqiBqbBdi"
"""Type codes of the columns, for `array` and numpy alike."""


class RecordTable:
    """Records of any number of logs and providers.

    Args:
        identities: What makes pseudonyms.

    Attributes:
        templates: Changes of templates.
        limits: Limits that were announced.
        accounts: What happened to the account.
        numbers: What happened to the quality of numbers.
        aliases: Ids of one person, as the keys of a dict, which keep their order.
        errors: Failures of no message, by provider and code.
        unread: Payloads of unknown shape, by shape.
        unusable: Records that were left out, by cause.
        payloads: Payloads that were read, by provider.
    """

    def __init__(self, identities: Identities) -> None:
        self.identities = identities
        self.templates: list[TemplateEvent] = []
        self.limits: list[LimitEvent] = []
        self.accounts: list[AccountEvent] = []
        self.numbers: list[NumberEvent] = []
        self.aliases: dict[Alias, None] = {}
        self.errors: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()
        self.unusable: Counter[str] = Counter()
        self.payloads: Counter[str] = Counter()
        self.people = Names(MAX_PEOPLE, "people")
        self.senders = Names(MAX_NAMES, "senders")
        self.codes = Names(MAX_NAMES, "codes")
        self.currencies = Names(MAX_NAMES, "currencies")
        self._columns = [array(kind) for kind in _TYPES]

    def __len__(self) -> int:
        return len(self._columns[0])

    def status_kind(self, statuses: Mapping[str, Kind], status: str) -> Kind | None:
        """Return what a provider's status says; an unknown one is counted."""
        kind = statuses.get(status)
        if kind is None:
            self.unusable["status_unknown"] += 1
        return kind

    def add(
        self,
        kind: Kind,
        at_ms: int | None,
        *,
        provider: str,
        person: str,
        sender: str = "",
        message: str = "",
        code: str = "",
        category: str = "",
        label: str = "",
        billed: bool | None = None,
        inside: bool = False,
        price: float | None = None,
        currency: str = "",
    ) -> None:
        """Add a record.

        Args:
            kind: What it says.
            at_ms: When, in milliseconds; None where the log does not say.
            provider: Whose code it is.
            person: Phone number or user id of the customer.
            sender: Phone number or id of the business's number.
            message: The message's id.
            code: The failure code.
            category: The category of the price.
            label: What the business attached to the send, or the template's name.
            billed: Whether it is paid for, where the log says so.
            inside: Whether the provider says that it lies in a window that the person opened.
            price: Its price, where the log says so.
            currency: The currency of the price.
        """
        if at_ms is not None and not 0 < at_ms < TS_END:
            self.unusable["time_out_of_range"] += 1
            return
        if not isinstance(person, str) or not person or len(person) > MAX_ID:
            self.unusable["no_person"] += 1
            return
        if len(self) >= MAX_RECORDS:
            raise FileError(
                f"the logs hold more than {MAX_RECORDS:,} records",
                fix="check fewer files at a time, for example a month",
            )
        ids = self.identities
        values: tuple[Any, ...] = (
            at_ms or NO_TIME,
            kind,
            self.people.number(ids.person(person)),
            # A stop binds a number on its channel: the same number may be on several.
            self.senders.number(f"{provider} {ids.person(sender)}") if sender else -1,
            ids.message(message) if message else -1,
            self.codes.number(f"{provider} {shown_code(code)}") if code else -1,
            _CATEGORY.get(category.lower(), 0),
            short_number(ids.label(label)) if label else -1,
            -1 if billed is None else int(billed),
            int(inside),
            float("nan") if price is None else price,
            self.currencies.number(currency) if _CURRENCY.fullmatch(currency) else -1,
        )
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def add_alias(self, old: str, new: str, changed_ms: int | None = None) -> None:
        """Record that two ids are of one person."""
        if old and new and len(self.aliases) < MAX_PEOPLE:
            people, ids = self.people, self.identities
            pair = people.number(ids.person(old)), people.number(ids.person(new))
            if pair[0] != pair[1]:
                self.aliases[Alias(*pair, changed_ms)] = None

    def add_template(
        self, at_ms: int | None, name: str, language: str, field: str, what: str, detail: str = ""
    ) -> None:
        """Record a change of a template: its `status` or `quality`."""
        if not name or not _WORD.fullmatch(what) or len(self.templates) >= MAX_RECORDS:
            self.unusable["template_unnamed"] += 1
            return
        label = self.identities.label(name)
        self.templates.append(
            TemplateEvent(
                at_ms or NO_TIME,
                label,
                plain_name(name) or f"template-{label[:8]}",
                language if _LANGUAGE.fullmatch(language) else "",
                field,
                what,
                detail if _WORD.fullmatch(detail) else "",
            )
        )

    def add_limit(self, at_ms: int | None, people: int) -> None:
        """Record a limit: people a day, -1 for none."""
        if (people == -1 or 0 < people < 10**9) and len(self.limits) < MAX_NAMES:
            self.limits.append(LimitEvent(at_ms or NO_TIME, people))

    def add_account(self, at_ms: int | None, what: str, until_ms: int | None = None) -> None:
        """Record what happened to the account, and until when it lasts (None: without end)."""
        if _WORD.fullmatch(what) and len(self.accounts) < MAX_NAMES:
            self.accounts.append(AccountEvent(at_ms or NO_TIME, what, until_ms))

    def add_number(self, at_ms: int | None, number: str, what: str) -> None:
        """Record what happened to the quality of a number."""
        if number and _WORD.fullmatch(what) and len(self.numbers) < MAX_NAMES:
            self.numbers.append(NumberEvent(at_ms or NO_TIME, self.identities.person(number), what))

    def add_error(self, provider: str, code: str) -> None:
        """Count a failure that names no message."""
        _count(self.errors, f"{provider} {shown_code(code)}", f"{provider} {UNLISTED}")

    def add_unread(self, shape: str) -> None:
        """Count a payload of unknown shape."""
        _count(self.unread, shape, OTHER_SHAPES)

    def columns(self) -> Columns:
        """Return the records in the order of their time; those of one time as they came."""
        as_they_came = Columns(
            *(
                np.frombuffer(column, column.typecode) if len(column) else np.zeros(0, kind)
                for column, kind in zip(self._columns, _TYPES, strict=True)
            )
        )
        return as_they_came.of(np.argsort(as_they_came.ts, kind="stable"))

    def persons(self) -> NDArray[np.int32]:
        """Return the person of each id: ids that belong together have one number."""
        parent = list(range(len(self.people.texts)))

        def root(one: int) -> int:
            while parent[one] != one:
                parent[one] = parent[parent[one]]
                one = parent[one]
            return one

        for alias in self.aliases:
            first, second = sorted((root(alias.old), root(alias.new)))
            parent[second] = first
        return np.fromiter(map(root, range(len(parent))), np.int32, len(parent))

    def names(self, chosen: NDArray[Any]) -> Iterator[str]:
        """Yield the pseudonyms of people by their numbers."""
        return (self.people.texts[n] for n in chosen.tolist())


def _count(counts: Counter[str], name: str, others: str) -> None:
    """Count a name; beyond many names, without telling them apart."""
    counts[name if name in counts or len(counts) < MAX_NAMES else others] += 1


def shown_code(code: str) -> str:
    """Return a code as it may be shown; what looks like none is withheld.

    >>> shown_code("131050"), shown_code("15550100200"), shown_code("EC_UNKNOWN_SUBSCRIBER")
    ('131050', 'unlisted', 'EC_UNKNOWN_SUBSCRIBER')
    """
    return code if _CODE.fullmatch(code) else UNLISTED
