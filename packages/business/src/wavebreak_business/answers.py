"""The answers of a check, as values that JSON takes; times are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec


class People(msgspec.Struct, frozen=True):
    """A number of people, and the pseudonyms of the first of them."""

    count: int
    listed: tuple[str, ...]


class Failure(msgspec.Struct, frozen=True):
    """Failed messages of one code.

    Attributes:
        provider: Whose code it is.
        known: Whether the table of codes has it.
        cause: The group of codes it belongs to; `unlisted` where the table lacks it.
        messages: Messages that failed with it, and were not delivered by a later try of the same.
        first_ms: The first time; None where the log has none.
        last_ms: The last time.
    """

    provider: str
    code: str
    known: bool
    cause: str
    messages: int
    people: int
    first_ms: int | None
    last_ms: int | None


class Retry(msgspec.Struct, frozen=True):
    """Failed messages that may be sent again: now, or once something has changed."""

    provider: str
    code: str
    when: str
    messages: int
    people: People
    from_ms: int | None
    until_ms: int | None
    due: int


class StopPeople(msgspec.Struct, frozen=True):
    """People not to write to, by cause."""

    cause: str
    people: People


class Stops(msgspec.Struct, frozen=True):
    """What not to send again; `numbers` are those whose quality the platform has flagged."""

    people: tuple[StopPeople, ...]
    templates: tuple[str, ...]
    account: tuple[str, ...]
    numbers: tuple[str, ...]


class Day(msgspec.Struct, frozen=True):
    """A day (UTC): messages, failures, and the highest use of the limit."""

    at_ms: int
    sent: int
    failed: int
    peak: int


class LimitUse(msgspec.Struct, frozen=True):
    """People written to outside windows, each once in a moving span, beside the limit.

    Attributes:
        limit: People; -1 where there is no limit, None where nobody said.
        told_ms: When the platform announced it; None where an option gave it.
        peak: The highest use.
        now: Use at the end of the logs.
        days_left: Days until the limit at the growth of the last fortnight; None where there is
            no growth, or beyond a month.
        distinct: People counted in the days that a raise looks at.
        next_limit: The next step; -1 for none, None at the top.
        raise_reached: Whether enough of the limit is used for the next step.
        inside: Delivered messages that lay in a window, and so count nothing.
    """

    limit: int | None
    told_ms: int | None
    peak: int
    peak_ms: int | None
    now: int
    days_left: int | None
    distinct: int
    next_limit: int | None
    raise_reached: bool
    inside: int

    @property
    def bound(self) -> int | None:
        """The limit where it is one; None where there is none, or nobody said."""
        return self.limit if self.limit is not None and self.limit > 0 else None


class Template(msgspec.Struct, frozen=True):
    """A template: its state, and what speaks against it.

    Attributes:
        name: Its name, or a pseudonym where the name may hold more.
        language: Its language, where the log says so.
        status: Its last status; "" where the log has none.
        quality: Its last quality.
        pauses: How often bad ratings paused it.
        pause: "" (none), `quality` (ends by itself), `pacing` (a person must release it).
        resumes_ms: When the pause ends; None where it does not end by itself.
        next_pause: What the next bad rating does: a duration, or `disabled`.
        sends: Messages that are known to be of it.
        risks: Codes of what speaks against it; empty for nothing.
    """

    name: str
    language: str
    status: str
    quality: str
    pauses: int
    pause: str
    resumes_ms: int | None
    next_pause: str
    sends: int
    failed: int
    read: int
    risks: tuple[str, ...]


class Consent(msgspec.Struct, frozen=True):
    """Consent: stops, sends after them, and marketing without a visible basis.

    Attributes:
        stops: People whose last word is a stop.
        resumed: People who stopped and came back.
        after_stop: Messages sent after a stop that covers them.
        after_stop_delivered: How many of them arrived.
        other_number: Messages after a stop that another number of the portfolio was sent.
        marketing: Marketing messages delivered.
        given: Whether records of consent were given.
        gap_messages: Marketing delivered without one; without records, to people who had never
            written.
    """

    stops: int
    resumed: int
    after_stop: int
    after_stop_delivered: int
    after_stop_people: People
    other_number: int
    marketing: int
    given: bool
    gap_messages: int
    gap_people: People


class Duplicates(msgspec.Struct, frozen=True):
    """Sends to people whose id has changed.

    Attributes:
        changed: People with a new id.
        to_old_id: Messages to an id after it was given up.
        both: Messages to the old id within a day of one to the new.
    """

    changed: int
    to_old_id: int
    both: int
    people: People


class Waste(msgspec.Struct, frozen=True):
    """Messages that did nothing for the business, each under one cause.

    Attributes:
        cause: `duplicate`, `after_stop`, `repeated` (after the address was known to be dead) or
            `failed`.
        category: The category of the price.
        billed: How many of them are paid for: by the log, or because they were delivered.
        cost: Amount by currency; under "" where an option gave prices.
    """

    cause: str
    category: str
    messages: int
    billed: int
    cost: dict[str, float]


class Totals(msgspec.Struct, frozen=True):
    """Messages by how they ended, and what came in."""

    messages: int
    delivered: int
    read: int
    failed: int
    held: int
    open: int
    inbound: int
    people: int
    senders: int
    without_time: int
    first_ms: int | None
    last_ms: int | None


class Findings(msgspec.Struct, frozen=True):
    """What a check found."""

    totals: Totals
    failures: tuple[Failure, ...]
    errors: tuple[Failure, ...]
    stops: Stops
    retries: tuple[Retry, ...]
    limit: LimitUse
    templates: tuple[Template, ...]
    consent: Consent
    duplicates: Duplicates
    waste: tuple[Waste, ...]
    days: tuple[Day, ...]


@dataclass(frozen=True)
class Options:
    """What the business adds to its logs.

    Attributes:
        limit: The limit of people a day, -1 for none; None: what the logs announce.
        prices: Price of a message by category.
        consent_given: Whether records of consent are in the table.
    """

    limit: int | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    consent_given: bool = False
