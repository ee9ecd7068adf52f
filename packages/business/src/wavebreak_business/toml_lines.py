"""Where in a TOML file a value stands, so that an error names the line to correct."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*(?:=|\.)")
_PLACE = re.compile(r"`\$((?:\.[A-Za-z0-9_-]+|\[(?:[0-9]+|\.\.\.)\])*)`")
_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")
_PART = re.compile(r"\.([A-Za-z0-9_-]+)|\[([0-9]+)\]")


def path_of(message: str) -> Path:
    """Return the place that a message of msgspec names, with the field that is unknown or missing.

    >>> path_of("Expected `int`, got `str` - at `$.limit.steps[2]`")
    ('limit', 'steps', 2)
    >>> path_of("Object contains unknown field `stps` - at `$.limit`")
    ('limit', 'stps')
    """
    place = _PLACE.search(message)
    path: Path = tuple(
        name or int(number) for name, number in _PART.findall(place[1] if place else "")
    )
    field = _FIELD.search(message)
    return (*path, field[1]) if field else path


def line_of(text: str, path: Path) -> int:
    """Return the line, from 1, where a value stands, or where the table that lacks it begins.

    >>> lines = ["a = 1", "[limit]", "steps = [1]", "[[ladder.steps]]", "[[ladder.steps]]", "n = 1"]
    >>> line_of(chr(10).join(lines), ("ladder", "steps", 1, "n"))
    6
    """
    best, length = 1, 0
    table: Path = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            names = tuple(part.strip(" \"'") for part in header[2].split("."))
            table = names
            if header[1] == "[[":
                name = ".".join(names)
                counts[name] = counts.get(name, -1) + 1
                table = (*names, counts[name])
            here = table
        elif key := _KEY.match(line):
            here = (*table, key[1])
        else:
            continue
        shared = _shared(here, path)
        if shared == len(here) and shared > length:
            best, length = number, shared
    return best


def _shared(one: Path, other: Path) -> int:
    """Return how many parts two paths begin with alike."""
    for place, (part, same) in enumerate(zip(one, other, strict=False)):
        if part != same:
            return place
    return min(len(one), len(other))
