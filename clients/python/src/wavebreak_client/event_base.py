"""What all event classes share: validation by the schema's limits, and the JSON form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from wavebreak_client.errors import NEVER, ContentError, EventError, UnknownFieldError

_WORDS = """body text content contents caption captions url urls uri href link links file files
filename filenames filepath attachment attachments subject title payload html markdown plaintext
fulltext bodytext textbody messagebody messagetext messagecontent messages quote snippet
preview transcript msg raw"""
_CONTENT = frozenset(_WORDS.split())
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class Rule(NamedTuple):
    """The limits of one field: `kind` is text, integer, flag, choice or time."""

    kind: str
    required: bool = False
    low: int = 0
    high: int = 0
    pattern: str = ""
    values: tuple[str, ...] = ()


class Event:
    """An event of the contract, version 1; one subclass for each type.

    `to_json` is the form that goes over the wire. Where `id` is left out, a client that sends the
    event adds a random one; where `ts` is left out, the time at which it was handed over.
    """

    __slots__ = ()

    TYPE: ClassVar[str] = ""
    RULES: ClassVar[Mapping[str, Rule]] = {}
    EXACTLY_ONE: ClassVar[tuple[str, ...]] = ()
    ALTERNATIVES: ClassVar[tuple[Mapping[str, tuple[Any, ...]], ...]] = ()

    def __new__(cls, *_: Any, **fields: Any) -> Event:
        """Refuse a field that the schema does not have; the generated `__init__` does the rest."""
        check_names(cls, fields)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        check_values(type(self), dict(self._fields()))

    def _fields(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in self.RULES)

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object, without the fields that are absent."""
        return {
            "type": self.TYPE,
            **{name: value for name, value in self._fields() if value is not None},
        }


def is_content(name: str) -> bool:
    """Return whether a field's name says that it would carry message content.

    >>> [is_content(n) for n in ("body", "Body-Text", "mediaUrl", "context", "colour")]
    [True, True, True, False, False]
    """
    return any(word.lower() in _CONTENT for word in [name, *_WORD.findall(name)])


def check_names(kind: type[Event], fields: Mapping[str, Any]) -> None:
    """Raise where a field is not of the type's.

    Raises:
        ContentError: Where the field would carry content.
        UnknownFieldError: Where it is any other that the schema does not have.

    """
    for name in fields:
        if name in kind.RULES:
            continue
        shown = name if len(name) <= 64 and name.isprintable() else "…"
        if is_content(name) or name == "message":
            raise ContentError(NEVER, field=shown, fix="leave the field out")
        raise UnknownFieldError(
            f"{kind.TYPE} has no such field",
            field=shown,
            fix=f"use only {', '.join(kind.RULES)}",
        )


def check_values(kind: type[Event], values: Mapping[str, Any]) -> None:
    """Raise where a value is outside its field's limits.

    Raises:
        EventError: Names the field and the limit, never the value.

    """
    for name, rule in kind.RULES.items():
        value = values.get(name)
        if value is None:
            if rule.required:
                raise EventError("is missing", field=name, fix="give it")
        else:
            _CHECKS[rule.kind](name, value, rule)
    given = [name for name in kind.EXACTLY_ONE if values.get(name) is not None]
    if kind.EXACTLY_ONE and len(given) != 1:
        names = " and ".join(kind.EXACTLY_ONE)
        raise EventError(f"exactly one of {names} is needed", fix="give one of them")
    if kind.ALTERNATIVES and not any(
        all(values.get(name) in allowed for name, allowed in each.items())
        for each in kind.ALTERNATIVES
    ):
        names = ", ".join(dict.fromkeys(name for each in kind.ALTERNATIVES for name in each))
        raise EventError(f"{names} do not fit together", fix="see the event schema")


def _check_text(name: str, value: Any, rule: Rule) -> None:
    if not isinstance(value, str):
        raise EventError("must be text", field=name, fix="give a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise EventError("is no valid Unicode", field=name, fix="decode it as UTF-8") from None
    if not rule.low <= size <= rule.high:
        limits = f"must have {rule.low} to {rule.high} bytes"
        raise EventError(limits, field=name, fix="shorten it, for example by a keyed hash")
    if rule.pattern and not re.search(rule.pattern, value):
        raise EventError(f"does not match {rule.pattern}", field=name, fix="see the event schema")


def _check_integer(name: str, value: Any, rule: Rule) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise EventError("must be an integer", field=name, fix="give a whole number")
    if not rule.low <= value <= rule.high:
        limits = f"must be from {rule.low} to {rule.high}"
        raise EventError(limits, field=name, fix="check its unit")


def _check_flag(name: str, value: Any, _rule: Rule) -> None:
    if not isinstance(value, bool):
        raise EventError("must be true or false", field=name, fix="give a boolean")


def _check_choice(name: str, value: Any, rule: Rule) -> None:
    if not isinstance(value, str) or value not in rule.values:
        raise EventError(f"must be one of {', '.join(rule.values)}", field=name, fix="give one")


def _check_time(name: str, value: Any, rule: Rule) -> None:
    if isinstance(value, str):
        if not _RFC_3339.fullmatch(value):
            raise EventError(
                "must be RFC 3339 with an offset", field=name, fix="append Z or an offset"
            )
        return
    _check_integer(name, value, rule)


_CHECKS = {
    "text": _check_text,
    "integer": _check_integer,
    "flag": _check_flag,
    "choice": _check_choice,
    "time": _check_time,
}


def encode(event: Mapping[str, Any]) -> bytes:
    """Return an event's JSON as one line, without its end."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
