"""Mappings: the columns of a table by event field, and the form of values.

A mapping is declared in a TOML file or in Python, or proposed by `guess_mapping` from a table's
headings and first values. An uncertain part of a proposal is named, and never taken silently.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from wavebreak.durable_files import replace_file
from wavebreak.errors import FileError, UsageError
from wavebreak.io.field_limits import LIMITS
from wavebreak.privacy.phone_numbers import is_country
from wavebreak.schema.events import TYPES, WIRE_SCHEMA

UNITS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds of each unit in which a number may give a time."""
ISO, MAIL_DATE = "iso", "mail"
FIELDS: tuple[str, ...] = tuple(WIRE_SCHEMA.names)
"""Every field of the event schema; each can be mapped."""
NUMBER_FIELDS = ("account", "peer", "phone")
"""Fields that may hold phone numbers."""

_VOCABULARY = tomllib.loads((files("wavebreak.io") / "headings.toml").read_text(encoding="utf-8"))
HEADINGS: dict[str, list[str]] = _VOCABULARY["headings"]
"""Headings by which tables often call a field, the usual first: lower-case words with blanks."""
TYPE_WORDS: dict[str, str] = {name: name for name in TYPES} | {
    word: kind for kind, words in _VOCABULARY["types"].items() for word in words
}
"""Event types by the words of other systems, in lower case with blanks."""

_DATE_FORMS: tuple[str, ...] = (
    *(
        f"{date}{separator}{time}"
        for date in (
            "%d/%m/%Y",
            "%m/%d/%Y",
            "%d.%m.%Y",
            "%d-%m-%Y",
            "%Y/%m/%d",
            "%d/%m/%y",
            "%m/%d/%y",
        )
        for separator in (" ", ", ")
        for time in ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
    ),
    "%d %b %Y %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%Y%m%d%H%M%S",
    "%d-%b-%Y %H:%M:%S",
)
_OFFSET = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?")
_PHONE = re.compile(r"\+?[\d\s().-]{7,20}")
MAX_HEADING, MAX_HEADINGS = 40, 200
MAX_WORDS = 24
"""A column with more distinct words is no column of types, and its words are shown nowhere."""


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a table's rows are read as events.

    Attributes:
        columns: Column of the table by event field; `a.b` is member `b` of column `a`.
        types: Event type by the word that the table's type column has.
        type: Event type of all rows, where no column gives it.
        time: What the times are: s, ms, us or ns since 1970, iso, mail (RFC 2822: Mon, 02 Mar 2026
            09:00:00 +0200), or a form of strptime.
        zone: Time zone of times without an offset: an IANA name or an offset such as +02:00.
        country: Country (ISO 3166, two letters) of phone numbers without a country code; "": none.
        numbers: Whether accounts and peers are phone numbers, of which several spellings are one.
        default_group: Group of a message with neither peer nor group; "": the row is refused.
        merge_recipients: Sends of one account at one time are one send to several (mail).

    Example:
        >>> Mapping(columns={"ts": "sent", "account": "from", "peer": "to"}, time="s").type
        'message.sent'
    """

    columns: dict[str, str] = msgspec.field(default_factory=dict)
    types: dict[str, str] = msgspec.field(default_factory=dict)
    type: str = "message.sent"
    time: str = "ms"
    zone: str = ""
    country: str = ""
    numbers: bool = False
    default_group: str = ""
    merge_recipients: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for a mapping that no table can fit."""
        if unknown := sorted(set(self.columns) - set(FIELDS)):
            raise UsageError(
                f"unknown fields: {', '.join(unknown)}", fix=f"use {', '.join(FIELDS)}"
            )
        if lacking := [name for name in ("ts", "account") if name not in self.columns]:
            raise UsageError(
                f"no column is named for {' and '.join(lacking)}",
                fix="name it: --columns ts=HEADING,account=HEADING,peer=HEADING",
            )
        if wrong := sorted({*self.types.values(), self.type} - set(TYPES)):
            raise UsageError(
                f"unknown event types: {', '.join(wrong)}", fix="use " + ", ".join(TYPES)
            )
        if self.time not in (*UNITS, ISO, MAIL_DATE) and "%" not in self.time:
            raise UsageError(
                f"unknown form of times: {self.time}",
                fix="use s, ms, us, ns, iso, mail, or a form such as %d/%m/%Y %H:%M",
            )
        if self.country and not is_country(self.country):
            raise UsageError(f"unknown country: {self.country}", fix="use two letters, such as IL")
        read_zone(self.zone)


def read_zone(name: str) -> ZoneInfo | float | None:
    """Return a time zone, the milliseconds of a fixed offset, or None for an empty name.

    Raises:
        UsageError: The name is neither.

    >>> read_zone("+02:00"), read_zone("")
    (7200000.0, None)
    """
    if not name:
        return None
    if name.upper() in ("UTC", "Z", "GMT"):
        return 0.0
    if offset := re.fullmatch(r"([+-])(\d\d):?(\d\d)", name):
        minutes = 60 * int(offset[2]) + int(offset[3])
        return (-1 if offset[1] == "-" else 1) * 60_000.0 * minutes
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise UsageError(
            f"unknown time zone: {name}", fix="use a name such as Asia/Jerusalem, or +02:00"
        ) from None


def load_mapping(path: Path) -> Mapping:
    """Load a mapping from a TOML file.

    Raises:
        FileError: The file cannot be read, or is no mapping.
        UsageError: The mapping names fields, types, a zone or a country that do not exist.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Mapping)
    except OSError as error:
        fix = "give the TOML file that `wavebreak assess` writes"
        raise FileError(f"{path} cannot be read: {error.strerror}", fix=fix) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        fix = "see docs/how-to/assess-your-own-data.md"
        raise FileError(f"{path} is no mapping: {error}", fix=fix) from None


def save_mapping(mapping: Mapping, path: Path) -> None:
    """Write a mapping as TOML."""
    replace_file(path, encode_mapping(mapping).encode())


def encode_mapping(mapping: Mapping) -> str:
    """Return a mapping as TOML, without default values.

    >>> print(encode_mapping(Mapping(columns={"ts": "t", "account": "from"}, time="s")))
    time = "s"
    <BLANKLINE>
    [columns]
    ts = "t"
    account = "from"
    <BLANKLINE>
    """
    default = Mapping(columns={"ts": "ts", "account": "account"})
    tables, lines = list[str](), list[str]()
    for name in Mapping.__struct_fields__:
        value = getattr(mapping, name)
        if isinstance(value, dict):
            if value:
                rows = (f"{_toml_key(key)} = {_toml(word)}" for key, word in value.items())
                tables += ["", f"[{name}]", *rows]
        elif value != getattr(default, name):
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join([*lines, *tables]).lstrip("\n") + "\n"


def _toml(value: Any) -> str:
    # A basic string of TOML is one of JSON.
    return msgspec.json.encode(value).decode()


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def identity_mapping(names: Iterable[str], **more: Any) -> Mapping:
    """Return the mapping of a table whose columns already have the names of fields."""
    return Mapping(columns={name: name for name in names if name in FIELDS}, **more)


@dataclass(frozen=True)
class Proposal:
    """A mapping that was guessed.

    Attributes:
        mapping: The mapping; None where no time or no sender was recognized.
        unsure: Assumptions that may be wrong, each with the option that decides.
        missing: Missing fields for a mapping.
    """

    mapping: Mapping | None
    unsure: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass
class _Guess:
    columns: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    time: str = "ms"
    zone: str = ""
    country: str = ""
    numbers: bool = False
    unsure: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        names = set(Mapping.__struct_fields__)
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}


def guess_mapping(
    names: Sequence[str], rows: Sequence[Sequence[Any]], declared: dict[str, Any] | None = None
) -> Proposal:
    """Propose a mapping from a table's headings and first rows.

    Args:
        names: The headings.
        rows: Values of the first rows, in the order of the headings.
        declared: Attributes of Mapping that are declared; the rest is guessed.
    """
    declared = {name: value for name, value in (declared or {}).items() if value}
    samples = {name: [row[k] for row in rows if row[k] not in (None, "")] for k, name in
               enumerate(names)}  # fmt: skip
    guess = _Guess(columns=guess_columns(names, samples) | declared.get("columns", {}))
    if "type" in declared and "type" not in declared.get("columns", {}):
        guess.columns.pop("type", None)
    for name in ("ts", "account"):
        if name not in guess.columns:
            guess.missing.append(name)
    if "time" not in declared and "ts" in guess.columns:
        _guess_time(guess, samples.get(guess.columns["ts"], []), zone=declared.get("zone", ""))
    if "type" in guess.columns and "types" not in declared:
        _guess_types(guess, samples.get(guess.columns["type"], []))
    people = [
        str(v) for f in ("account", "peer") for v in samples.get(guess.columns.get(f, ""), [])
    ]
    guess.numbers = bool(people) and _mostly(people, _is_phone)
    if guess.numbers and not declared.get("country") and any(_is_national(v) for v in people):
        guess.unsure.append("phone numbers have no country code: say --country, such as IL")
    if guess.missing:
        return Proposal(None, tuple(guess.unsure), tuple(guess.missing))
    return Proposal(Mapping(**guess.values() | declared), tuple(guess.unsure))


def _is_phone(text: str) -> bool:
    return bool(_PHONE.fullmatch(text)) and 9 <= sum(map(str.isdigit, text)) <= 15


def _is_national(number: str) -> bool:
    digits = re.sub(r"\D", "", number)
    return number.strip().startswith("0") and not digits.startswith("00")


def _words(heading: str) -> str:
    """Return a heading as lower-case words.

    >>> _words("senderID"), _words("date_sent (UTC)")
    ('sender id', 'date sent')
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", heading.rpartition(".")[2])
    text = re.sub(r"\(.*?\)", " ", text)
    return " ".join(re.sub(r"[^A-Za-z0-9]+", " ", text).lower().split())


def guess_columns(
    names: Sequence[str], samples: dict[str, list[Any]] | None = None
) -> dict[str, str]:
    """Return the heading of each event field that headings, and first values, tell.

    >>> guess_columns(["Sender Name", "Receiver", "Sent At"])
    {'ts': 'Sent At', 'account': 'Sender Name', 'peer': 'Receiver'}
    """
    columns, used = dict[str, str](), set[str]()
    words = {name: _words(name) for name in names}
    for event_field, usual in HEADINGS.items():
        candidates = [name for name in names if words[name] in usual and name not in used]
        if samples is not None:
            candidates = [n for n in candidates if _may_be(event_field, samples.get(n, []))]
        if event_field == "peer":
            # A column of this name may also hold their number.
            candidates = [n for n in candidates if words[n] != "recipients"
                          or not _mostly((samples or {}).get(n, [0]), _is_number)]  # fmt: skip
        if candidates:
            best = min(candidates, key=lambda name: usual.index(words[name]))
            columns[event_field] = best
            used.add(best)
    return columns


def _may_be(event_field: str, values: list[Any]) -> bool:
    """Whether the first values of a column can be a field's."""
    if event_field in ("group", "peer", "account", "ts", "type"):
        # A structure names nobody, but a list of texts may be recipients.
        if event_field == "peer" and values and isinstance(values[0], list):
            return not any(isinstance(value, dict | list) for value in values[0])
        return bool(values) and not isinstance(values[0], dict | list)
    if not values:
        return False
    limit = next(fields[event_field] for fields in LIMITS.values() if event_field in fields)
    texts = [str(value).strip() for value in values]
    match limit.kind:
        case "text" if event_field == "id":
            fits = _mostly(texts, lambda text: len(text.encode()) <= limit.max_bytes)
            return fits and len(set(texts)) == len(texts)
        case "text":
            forms = {
                "origin": limit.pattern,
                "phone": r"\+?[\d\s().-]{7,20}",
                "ip": r"[0-9A-Fa-f.:]+",
            }
            form = re.compile(forms.get(event_field, r"(?s).*"))
            return _mostly(
                texts, lambda t: len(t.encode()) <= limit.max_bytes and form.fullmatch(t.lower())
            )
        case "choice":
            return _mostly(texts, lambda text: text in limit.values)
        case "flag":
            return _mostly(texts, lambda text: text.lower() in _FLAGS)
    return _mostly(texts, _NUMBER.fullmatch)


MIN_SHARE = 0.6
"""Share of a column's first values that must fit: a few faulty rows hide no column."""


def _mostly(values: Sequence[Any], test: Callable[[Any], Any]) -> bool:
    return sum(bool(test(value)) for value in values) >= MIN_SHARE * len(values)


_FLAGS = {"true", "false", "yes", "no", "1", "0", "t", "f", "y", "n"}


def _guess_types(guess: _Guess, values: list[Any]) -> None:
    words = list(dict.fromkeys(str(value).strip() for value in values))
    kinds = {word: kind for word in words if (kind := known_type(word))}
    if len(words) > MAX_WORDS or not kinds:
        del guess.columns["type"]
        if len(words) <= MAX_WORDS:
            guess.unsure.append(
                "no word of the type column is known: every row is taken as message.sent; name "
                "the words with --types WORD=EVENT, or say --type EVENT of all rows"
            )
        return
    if len(kinds) < len(words):
        dropped = ", ".join(word[:MAX_HEADING] for word in words if word not in kinds)
        guess.unsure.append(
            f"rows of the types {dropped} are dropped: name them with --types WORD=EVENT"
        )
    # Words that come later in the table have the usual meaning too.
    guess.types = TYPE_WORDS | kinds


def known_type(word: str) -> str | None:
    """Return the event type that a word of another system usually means."""
    return TYPE_WORDS.get(word) or TYPE_WORDS.get(word.lower().replace("_", " ").replace("-", " "))


def _guess_time(guess: _Guess, values: list[Any], zone: str) -> None:
    if not values:
        return guess.missing.append("ts")
    if isinstance(values[0], datetime):
        guess.time = ISO
        naive = any(value.tzinfo is None for value in values)
        return _say_zone(guess, zone) if naive else None
    texts = [str(value).strip() for value in values]
    numbers = [text for text in texts if _NUMBER.fullmatch(text)]
    if len(numbers) >= MIN_SHARE * len(texts) and len(numbers[0].partition(".")[0]) != 14:
        newest = float(np.median([abs(float(text)) for text in numbers]))
        guess.time = next((unit for unit in UNITS if newest * UNITS[unit] < 4.2e12), "")
        # 1e9 seconds are in 2001; times before 1973 are rather a count since a start.
        if not guess.time or newest * UNITS[guess.time] < 1e11:
            guess.unsure.append(f"times are taken as {guess.time or 'ms'} since 1970: say --time")
            guess.time = guess.time or "ms"
        return None
    if _mostly(texts, _is_iso):
        guess.time = ISO
        local = [text for text in texts if _is_iso(text) and not _OFFSET.search(text)]
        return _say_zone(guess, zone) if local else None
    if _mostly(texts, _is_mail_date):
        guess.time = MAIL_DATE
        return None
    forms = [form for form in _DATE_FORMS if _mostly(texts, partial(_fits, form))]
    if not forms:
        return guess.missing.append("a time that can be read (say --time with a form of strptime)")
    guess.time = forms[0]
    if len(forms) > 1:
        guess.unsure.append(f"times may be {forms[0]} or {forms[1]}: say --time")
    return _say_zone(guess, zone)


def _say_zone(guess: _Guess, zone: str) -> None:
    guess.zone = zone or "UTC"
    if not zone:
        guess.unsure.append(
            "times have no zone, so UTC is taken: say --zone, such as Asia/Jerusalem"
        )


def mail_date(text: str) -> int | None:
    """Return a date of RFC 2822 in milliseconds since 1970; None without a date or an offset.

    >>> mail_date("Mon, 02 Mar 2026 09:00:00 +0200"), mail_date("Mon, 02 Mar 2026 09:00:00")
    (1772434800000, None)
    """
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return None if date.tzinfo is None else round(date.timestamp() * 1000)


def _is_number(value: Any) -> bool:
    return _NUMBER.fullmatch(str(value)) is not None


def _is_mail_date(text: str) -> bool:
    return mail_date(text) is not None


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return not text.isdigit()


def _fits(form: str, text: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
