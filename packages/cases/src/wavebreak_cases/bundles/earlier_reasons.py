"""Sentences that records hold in English alone, put into another language by their patterns.

Determinations before version 4 of their rules sealed what they suppose otherwise as English prose,
and lines of custody hold what happened so. Newer determinations seal codes: nothing of theirs comes
here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from wavebreak import config


@cache
def _patterns(table: str) -> list[tuple[str, re.Pattern[str]]]:
    """Return the sentences of a table, `report.custody_lines`, with their values as groups."""
    file, _, key = table.partition(".")
    every = config.read_toml(config.resolve_path(f"cases/{file}.toml"))[key]
    return [
        (code, re.compile(re.sub(r"\\\$(\w+)", r"(?P<\1>.+)", re.escape(words)), re.DOTALL))
        for code, words in every.items()
    ]


def find_code(table: str, sentence: str) -> tuple[str, Mapping[str, str]] | None:
    """Return the code and the values of an English sentence; None where the table has it not.

    >>> find_code("reasons.supposed", "the conduct is shown until 2019-12-08T00:00:00Z")
    ('until', {'at': '2019-12-08T00:00:00Z'})
    """
    for code, pattern in _patterns(table):
        if matched := pattern.fullmatch(sentence):
            return code, matched.groupdict()
    return None
