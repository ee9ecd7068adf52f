"""What is wrong with a field, in words, from the error of the library that checks it."""

from __future__ import annotations

import re

import msgspec

_LENGTH = re.compile(r"Expected `(?P<what>str|array)` of length (?P<sign>>=|<=) (?P<count>\d+)")
_UNKNOWN_VALUE = re.compile(r"Invalid enum value (?P<value>.*)")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")


def describe_field_error(error: msgspec.ValidationError) -> str:
    """Return what is wrong with which field, without types and paths.

    >>> say = lambda text: describe_field_error(msgspec.ValidationError(text))
    >>> say("Expected `str` of length >= 1 - at `$.did.party.name`")
    'name is empty'
    >>> say("Expected `str` of length <= 300 - at `$.did.party.aliases[...]`")
    'aliases is longer than 300 characters'
    >>> say("Invalid enum value 'guilty' - at `$.conduct`")
    "conduct: 'guilty' is none of the values that it may have"
    >>> say("Object missing required field `party`")
    'party is missing'
    """
    text, _, path = str(error).partition(" - at `")
    names = re.findall(r"[A-Za-z_]\w*", path)
    field = names[-1].replace("_", " ") if names else "a field"
    if found := _LENGTH.fullmatch(text):
        if found["sign"] == ">=":
            return f"{field} is empty"
        unit = "characters" if found["what"] == "str" else "entries"
        return f"{field} is longer than {int(found['count']):,} {unit}"
    if found := _UNKNOWN_VALUE.fullmatch(text):
        return f"{field}: {found['value'][:80]} is none of the values that it may have"
    if found := _UNKNOWN_FIELD.fullmatch(text):
        return f"{found['name'][:40]} is not known"
    if found := _MISSING.fullmatch(text):
        return f"{found['name']} is missing"
    return f"{field} is not well formed: {text.replace('`', '')}"
