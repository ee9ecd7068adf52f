"""Names of a case's parties, masked before a page is judged.

A firm may be called “Bulk Sender”: its own name on every page says nothing of what the page offers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MASK = "x"
MAX_NAMES = 200
"""Names that are masked at most, the longest first."""
_MIN_LETTERS = 3
_BETWEEN = r"[\s.,'\"׳״’`־-]{0,3}"


def mask_names(text: str, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return a text of the same length without names, and which of them were in it.

    A name of several words is found in any case and with any mark between its words. A single word
    may be a word of the language too: it is found as it is written alone, with its capital letter.

    >>> mask_names("Bulk Sender: we send bulk.", ["bulk sender"])
    ('xxxx xxxxxx: we send bulk.', ('bulk sender',))
    >>> mask_names("Bulk offers bulk messages.", ["Bulk", "no"])
    ('xxxx offers bulk messages.', ('Bulk',))
    """
    masked, found = text, list[str]()
    for name in sorted(set(names), key=lambda name: (-len(name), name))[:MAX_NAMES]:
        pattern = _pattern(name)
        if pattern is None:
            continue
        masked, count = pattern.subn(lambda match: re.sub(r"\w", MASK, match[0]), masked)
        found += [name] * bool(count)
    return masked, tuple(found)


def short_names(name: str, legal_forms: Iterable[str]) -> tuple[str, ...]:
    """Return a name, and what is left of it without its legal form.

    >>> short_names("Rapid Messages Ltd.", ["ltd"])
    ('Rapid Messages Ltd.', 'Rapid Messages')
    """
    for form in sorted(legal_forms, key=len, reverse=True):
        letters = [re.escape(letter) for letter in form if letter.isalnum()]
        end = re.compile(rf"[\s,]+{_BETWEEN.join(letters)}[.\s]*$", re.IGNORECASE)
        if letters and (bare := end.sub("", name)) != name and bare.strip():
            return name, bare.strip()
    return (name,)


def _pattern(name: str) -> re.Pattern[str] | None:
    words = re.findall(r"\w+", name)
    if sum(map(len, words)) < _MIN_LETTERS:
        return None
    exact = len(words) == 1
    if exact and words[0] == words[0].lower() != words[0].upper():
        return None  # a common word, as far as can be seen
    joined = _BETWEEN.join(map(re.escape, words))
    return re.compile(rf"(?<!\w){joined}(?!\w)", 0 if exact else re.IGNORECASE)
