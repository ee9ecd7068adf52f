"""Limits of each event field, and the validation of a single event.

The limits are read from the event types. The readers accept valid events in bulk; only what they
cannot accept is validated here, so a fault has one cause and one message in every file format.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from wavebreak.schema import events

_CONTENT = """body text content contents caption captions url urls uri href link links file files
filename filenames filepath attachment attachments subject title payload html markdown plaintext
fulltext bodytext textbody messagebody messagetext messagecontent messages quote snippet preview
transcript msg raw"""

CONTENT = frozenset(_CONTENT.split())
"""Words that denote content: a field with one of them in its name is never accepted."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = frozenset(events.WIRE_SCHEMA.names)
_CONTENT_PROBLEM = ("message content is never accepted", "leave the field out")


class Limit(NamedTuple):
    """One field's limits: `kind` is text, choice, integer, flag or time; bounds are inclusive."""

    kind: str
    required: bool
    max_bytes: int = 0
    pattern: str = ""
    low: int = 0
    high: int = 0
    values: tuple[str, ...] = ()


class _Fault(NamedTuple):
    cause: str
    field: str
    what: str
    fix: str


def _limit(field: inspect.Field) -> Limit:
    kinds = list(field.type.types) if isinstance(field.type, inspect.UnionType) else [field.type]
    kinds = [k.type if isinstance(k, inspect.Metadata) else k for k in kinds]
    kinds = [k for k in kinds if not isinstance(k, inspect.NoneType)]
    if any(isinstance(k, inspect.DateTimeType) for k in kinds):
        return Limit("time", field.required, low=0, high=events.TS_END - 1)
    (kind,) = kinds
    match kind:
        case inspect.StrType():
            return Limit("text", field.required, kind.max_length or 0, kind.pattern or "")
        case inspect.IntType():
            return Limit("integer", field.required, low=kind.ge or 0, high=kind.le or 0)
        case inspect.BoolType():
            return Limit("flag", field.required)
        case inspect.LiteralType():
            return Limit("choice", field.required, values=tuple(map(str, kind.values)))
    raise TypeError(f"the contract has no rule for fields of {kind}")


def _limits(kind: type[events.Event]) -> dict[str, Limit]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)  # noqa: S101
    return {f.encode_name: _limit(f) for f in described.fields}


LIMITS: dict[str, dict[str, Limit]] = {
    t: _limits(kind) for t, kind in zip(events.TYPES, events.EVENTS, strict=True)
}
"""The limits of each field of each type, in the contract's order."""

EITHER: frozenset[str] = frozenset(
    t
    for t, fields in LIMITS.items()
    if all(c in fields and not fields[c].required for c in events.COUNTERPARTS)
)
"""Types that need exactly one of peer and group."""

OF_LISTS: frozenset[str] = frozenset(t for t, fields in LIMITS.items() if "list" in fields)
"""Types that need exactly one of account and origin."""

PERSONS_OUTCOME: frozenset[str] = frozenset(("outcome", "hold_s"))
"""Fields of label.assigned that depend on each other and on the label."""
BY_ROW: frozenset[str] = PERSONS_OUTCOME | {"list"}
"""Fields of few events, whose types have more rules than limits: each is validated by itself."""


def validate_event(line: int, item: Any) -> events.Event | events.Refusal:
    """Validate one decoded event; returns the event, or a refusal.

    `item` is a decoded JSON value, or a row's non-null fields. An Arrow value without a JSON
    equivalent is passed as bytes, which have the wrong type for every field.
    """
    fault = _fault(item)
    if fault is None:
        try:
            event: events.Event = msgspec.convert(item, events.AnyEvent)
            return event
        except (msgspec.ValidationError, OverflowError, RecursionError):
            fault = _Fault(
                "bad_value",
                "type",
                "the event does not match the schema",
                "see policy/event.schema.json",
            )
    return refusal(line, *fault)


def is_content(name: str) -> bool:
    """Return whether a field's name indicates message content, by the last word.

    >>> [is_content(n) for n in ("body", "Body-Text", "mediaUrl", "msg_uuid", "text_length")]
    [True, True, True, False, False]
    """
    words = _WORD.findall(name) or [name]
    return words[-1].lower() in CONTENT or name.lower() in CONTENT


def similar_field(name: str) -> str | None:
    """Return the contract's field that a name differs from by a letter or two, or None.

    Senders of events choose names, so this takes a time that their length bounds.

    >>> similar_field("acount"), similar_field("Peer"), similar_field("recipeints")
    ('account', 'peer', 'recipients')
    >>> similar_field("colour") is None
    True
    """
    if not 3 < len(name) <= _LONGEST:
        return None
    name = name.lower()
    if name in _NAMES or name in _ONE_LESS:
        return name if name in _NAMES else _ONE_LESS[name]
    shorter = _deletions(name)
    candidates = [word for word in shorter if word in _NAMES]
    candidates += [_ONE_LESS[word] for word in shorter if word in _ONE_LESS]
    return candidates[0] if candidates else None


def _deletions(word: str) -> list[str]:
    return [word[:index] + word[index + 1 :] for index in range(len(word))]


_ONE_LESS = {
    shorter_word: name
    for name in sorted(_NAMES)
    if len(name) > 3
    for shorter_word in _deletions(name)
}
"""The contract's fields by what is left of them without a letter."""
_LONGEST = 1 + max(map(len, _NAMES))


def refusal(line: int, cause: str, field: str, problem: str, fix: str) -> events.Refusal:
    """Build a refusal; `problem` and `fix` must not quote the event."""
    place = f"line {line}: field `{field}`" if field else f"line {line}"
    return events.Refusal(line, cause, field, f"{place}: {problem} — fix: {fix}")


def milliseconds(time: datetime) -> int:
    """Convert a time with an offset to milliseconds since the epoch, rounded down.

    >>> milliseconds(datetime.fromisoformat("1970-01-01T02:00:00+01:00"))
    3600000
    """
    return (time - _EPOCH) // timedelta(milliseconds=1)


def _fault(item: Any) -> _Fault | None:
    if not isinstance(item, dict):
        return _Fault("bad_json", "", "an event is one JSON object", "write one object a line")
    names = sorted(item)
    for name in names:
        if name not in _NAMES and is_content(name):
            return _Fault("content", events.safe_field_name(name), *_CONTENT_PROBLEM)
    for name in names:
        if name not in _NAMES:
            similar = similar_field(name)
            suggestion = f"did you mean `{similar}`? otherwise " if similar else ""
            fix = f"{suggestion}leave it out; the contract has no such field"
            return _Fault("unknown_field", events.safe_field_name(name), "unknown field", fix)
    kind = item.get("type")
    if kind is None:
        fix = "say which event it is, for example message.sent"
        return _Fault("missing_field", "type", "the type is missing", fix)
    if not isinstance(kind, str):
        return _Fault("wrong_type", "type", "expected text", "write the type as text")
    if kind not in LIMITS:
        return _Fault("bad_value", "type", "no such type", "use one of " + ", ".join(events.TYPES))
    return _fault_of_type(kind, item, names)


def _fault_of_type(kind: str, item: dict[str, Any], names: list[str]) -> _Fault | None:
    limits = LIMITS[kind]
    for name in names:
        if name != "type" and name not in limits:
            if name == "message":
                return _Fault("content", name, *_CONTENT_PROBLEM)
            problem = f"{kind} has no such field"
            return _Fault("misplaced_field", name, problem, "leave it out of this type")
    for name, limit in limits.items():
        value = item.get(name)
        if value is None:
            if limit.required:
                return _Fault("missing_field", name, f"{kind} needs it", "give it")
        elif fault := _CHECKS[limit.kind](name, value, limit):
            return fault
    if kind in EITHER and (item.get("peer") is None) == (item.get("group") is None):
        problem = f"{kind} needs exactly one of peer and group"
        return _Fault("missing_counterpart", "peer", problem, "give the one that was addressed")
    if kind in OF_LISTS and (item.get("account") is None) == (item.get("origin") is None):
        problem = f"{kind} needs exactly one of {' and '.join(events.LIST_SUBJECTS)}"
        return _Fault("missing_counterpart", "account", problem, "give the one that the list names")
    return _fault_of_outcome(item) if PERSONS_OUTCOME & item.keys() else None


def _fault_of_outcome(item: dict[str, Any]) -> _Fault | None:
    """Return the fault of an outcome that a person sets with a label, or of the hold."""
    outcome, hold_s = item.get("outcome"), item.get("hold_s")
    if outcome is not None and item.get("label") != "undetermined":
        problem, fix = (
            "only the label undetermined sets an outcome",
            "write undetermined, or leave it",
        )
        return _Fault("bad_value", "outcome", problem, f"{fix} out")
    if hold_s is not None and outcome is None:
        return _Fault("bad_value", "hold_s", "a hold without an outcome", "give the outcome too")
    if hold_s is not None and outcome == "allow":
        return _Fault("bad_value", "hold_s", "allow has no end", "leave hold_s out")
    return None


_FORMS = {
    "phone": "E.164: + and digits",
    "ip": "IPv4 or IPv6 without zone or port",
    "origin": "the server's domain in lower case and ASCII (xn--…), without a user or a path",
    "list": "the list's name in the configuration: lower-case letters, digits, dots, hyphens",
    "entry": "SHA-256 of the list's entry: 64 lower-case hex digits",
}


def _text(name: str, value: Any, limit: Limit) -> _Fault | None:
    if not isinstance(value, str):
        return _Fault("wrong_type", name, "expected text", "write it as text")
    try:
        size = len(value) if len(value) > limit.max_bytes else len(value.encode())
    except UnicodeEncodeError:
        return _Fault("bad_value", name, "half a surrogate pair", "write it as UTF-8")
    if size > limit.max_bytes:
        problem = f"longer than {limit.max_bytes} bytes"
        return _Fault("too_long", name, problem, "shorten it, for example by a hash")
    if not value:
        return _Fault("bad_value", name, "empty text", "give a value or leave the field out")
    if "\0" in value:
        return _Fault("bad_value", name, "a NUL character", "leave it out")
    if limit.pattern and not re.fullmatch(limit.pattern, value):
        return _Fault("bad_value", name, "not in the form that is expected", _FORMS[name])
    return None


def _choice(name: str, value: Any, limit: Limit) -> _Fault | None:
    if not isinstance(value, str):
        return _Fault("wrong_type", name, "expected text", "write it as text")
    if value not in limit.values:
        return _Fault("bad_value", name, "no such value", "use one of " + ", ".join(limit.values))
    return None


def _integer(name: str, value: Any, limit: Limit) -> _Fault | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return _Fault("wrong_type", name, "expected a whole number", "write it as an integer")
    if not limit.low <= value <= limit.high:
        return _Fault("bad_value", name, "out of range", f"from {limit.low} to {limit.high}")
    return None


def _flag(name: str, value: Any, limit: Limit) -> _Fault | None:
    if isinstance(value, bool):
        return None
    return _Fault("wrong_type", name, "expected true or false", "write true or false")


def _time(name: str, value: Any, limit: Limit) -> _Fault | None:
    fix = "milliseconds since 1970 as an integer, or RFC 3339 with an offset"
    if isinstance(value, str):
        try:
            value = msgspec.convert(value, datetime)
        except (msgspec.ValidationError, ValueError, OverflowError):
            return _Fault("wrong_type", name, "not a time", fix)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            return _Fault("wrong_type", name, "a time without an offset", fix)
        value = milliseconds(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return _Fault("wrong_type", name, "not a time", fix)
    if not limit.low <= value <= limit.high:
        fix = "milliseconds since 1970, before the year 2100"
        return _Fault("out_of_range_time", name, "out of range", fix)
    return None


_CHECKS = {"text": _text, "choice": _choice, "integer": _integer, "flag": _flag, "time": _time}
