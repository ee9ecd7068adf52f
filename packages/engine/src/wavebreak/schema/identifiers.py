"""Identifiers: which ids of accounts, peers, groups and events may stand in a log as they are.

Ids are kept and shown as they are sent, so one that is a phone number, an e-mail address, a URL or
a text would be personal data in the log. What looks like one is refused unless the operator allows
it; control characters, and what an address of the API cannot name, are refused always. A shape is
all that can be judged: an id may be personal and look like none of these.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

PEOPLE = ("account", "peer")
"""Fields with the id of a person, where digits alone may be a phone number."""
NAMES = ("group", "id", "message", "business", "template")
"""Other fields whose ids are kept as they are."""
TEXTS = ("client",)
"""Fields that may hold blanks."""

CONTROL = "\\x00-\\x1f\\x7f-\\x9f\\x{200b}-\\x{200f}\\x{2028}-\\x{202e}\\x{2060}-\\x{2069}\\x{feff}"
_BLANK = r"[ \x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]"
_URL = r"://|^(?:www|WWW|Www)\.|^(?:mailto|tel|sms|sip|xmpp):"
_EMAIL = r"[^@]@[^@]*[A-Za-z0-9]\.[A-Za-z]{2,}"
_PLUS = r"^\+[-.()/]?[1-9](?:[-.()/]?[0-9]){6,14}$"
_DIGITS = (
    r"^[1-9][0-9]{9,14}$|^00[1-9][0-9]{7,13}$|^0[1-9](?:[-./()]?[0-9]){7,9}$"
    r"|^\(?[2-9][0-9]{2}\)?[-.][0-9]{3}[-.][0-9]{4}$"
)
# Clients of the API resolve such parts of a path before they send it.
_DOTS = r"(?:^|/)\.\.?(?:/|$)"


class Kind(NamedTuple):
    """A forbidden form of ids: the name in messages, the pattern (RE2), and the fix."""

    name: str
    pattern: str
    fix: str
    allowable: bool = True


_HASH = (
    "send a keyed hash of it; if ids may look like this, make the key, or start the service, with "
    "--allow-identifiers"
)
CONTROLS = Kind("holds control characters", f"[{CONTROL}]", "send it without them", False)
DOTS = Kind("has a part `.` or `..`", _DOTS, "send another id, such as its hash", False)
BLANKS = Kind("holds blanks", _BLANK, _HASH)
URLS = Kind("looks like a URL", _URL, _HASH)
EMAILS = Kind("looks like an e-mail address", _EMAIL, _HASH)
PHONES = Kind("looks like a phone number", _PLUS, _HASH)
PEOPLES_PHONES = PHONES._replace(pattern=f"{_PLUS}|{_DIGITS}")

KINDS: dict[str, tuple[Kind, ...]] = (
    dict.fromkeys(PEOPLE, (CONTROLS, DOTS, BLANKS, URLS, EMAILS, PEOPLES_PHONES))
    | dict.fromkeys(NAMES, (CONTROLS, BLANKS, URLS, EMAILS, PHONES))
    | dict.fromkeys(TEXTS, (CONTROLS, EMAILS, PHONES))
)
"""What the id of each field must not be, in the order in which it is looked for."""


def _python(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of RE2, whose `$` is the end of the text."""
    pattern = re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: f"\\u{int(m[1], 16):04x}", pattern)
    return re.compile(pattern.replace("$", r"\Z"))


_COMPILED = {kind: _python(kind.pattern) for kinds in KINDS.values() for kind in kinds}


def _combined_pattern(field: str, *, allow: bool) -> str:
    kinds = KINDS[field]
    return "|".join(kind.pattern for kind in kinds if not (allow and kind.allowable))


_PATTERNS = {
    (f, allow): _combined_pattern(f, allow=allow) for f in KINDS for allow in (False, True)
}
_WHOLE_PATTERNS = {key: _python(pattern) for key, pattern in _PATTERNS.items()}


def fault(field: str, value: str, *, allow: bool = False) -> Kind | None:
    """Return the fault of an id; None for a valid id.

    Args:
        field: One of KINDS.
        value: The id.
        allow: Whether ids may look like personal data.

    >>> [fault("account", id).name for id in ("+972541234567", "ann@example.org", "https://x.y")]
    ['looks like a phone number', 'looks like an e-mail address', 'looks like a URL']
    >>> fault("account", "a7"), fault("id", "972541234567"), fault("peer", "a b", allow=True)
    (None, None, None)
    """
    # No pattern matches ASCII letters with digits alone.
    plain = value.isascii() and value.isalnum() and not value.isdigit()
    if plain or not _WHOLE_PATTERNS[field, allow].search(value):
        return None
    kinds = (kind for kind in KINDS[field] if not (allow and kind.allowable))
    return next(kind for kind in kinds if _COMPILED[kind].search(value))


def faulty_rows(batch: pa.RecordBatch, *, allow: bool = False) -> NDArray[np.int64]:
    """Return the rows of a batch that have a faulty id, in order; `allow` as in `fault`.

    >>> batch = pa.RecordBatch.from_pydict({"account": ["a b", "c"], "peer": ["p", "q@r.st"]})
    >>> faulty_rows(batch).tolist()
    [0, 1]
    """
    row_sets = [
        _faulty(column, name, allow=allow)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if name in KINDS and column.null_count < len(column)
    ]
    nonempty = [rows for rows in row_sets if rows.size]
    return np.unique(np.concatenate(nonempty)) if nonempty else np.zeros(0, np.int64)


def _faulty(column: pa.Array, field: str, *, allow: bool) -> NDArray[np.int64]:
    pattern = _PATTERNS[field, allow]
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    spans, text = _spans(column)
    if _may_be_faulty(text):
        return np.flatnonzero(_matches(column, pattern))
    rows = _like_numbers(spans, text, people=field in PEOPLE)
    return rows[_matches(column.take(pa.array(rows)), pattern)] if rows.size else rows


def _matches(column: pa.Array, pattern: str) -> NDArray[np.bool_]:
    matches = pc.match_substring_regex(column, pattern).fill_null(False)
    mask: NDArray[np.bool_] = matches.to_numpy(zero_copy_only=False)
    return mask


def _spans(column: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the offset of each text, and the end of the last, in the joined bytes."""
    _, offsets, data = column.buffers()
    spans = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)
    text = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return spans - spans[0], text[spans[0] : spans[-1]]


# What a text must hold to match a pattern other than that of a number: a character that is not
# printable ASCII, `@`, or one of these, each looked for only where its one character occurs.
_MARKS = {
    ":": (b"://", b"mailto:", b"tel:", b"sms:", b"sip:", b"xmpp:"),
    ".": (b"www.", b"WWW.", b"Www.", b"./", b"/."),
}
_PIECE = 1 << 16
"""Bytes that are looked at together: they and what is computed of them stay in the cache."""


def _may_be_faulty(text: NDArray[np.uint8]) -> bool:
    common = set[str]()
    for begin in range(0, text.size, _PIECE):
        piece = text[begin : begin + _PIECE]
        if ((piece - np.uint8(0x21)) > np.uint8(0x5D)).any() or (piece == ord("@")).any():
            return True
        common |= {c for c in _MARKS.keys() - common if (piece == ord(c)).any()}
    content = text.tobytes() if common else b""
    return any(mark in content for c in common for mark in _MARKS[c])


_LONGEST = 32
"""Digits of a phone number with a separator before each, and its `+`."""


def _like_numbers(
    spans: NDArray[np.int32], text: NDArray[np.uint8], *, people: bool
) -> NDArray[np.int64]:
    """Return rows that may be phone numbers, or dots alone."""
    if not text.size:
        return np.zeros(0, np.int64)
    begins, lengths = spans[:-1].astype(np.int64), np.diff(spans)
    first = text[np.minimum(begins, text.size - 1)]
    long = (lengths > 7) & (lengths <= _LONGEST)
    if not people:
        return np.flatnonzero((first == ord("+")) & long)
    # A digit, `+` or `(`, then more of them and separators: no letter where one is looked for.
    rows = np.flatnonzero((first <= ord("9")) & long)
    rows = rows[text[begins[rows] + lengths[rows] - 1] <= ord("9")]
    for share in (2, 4, 3):
        rows = rows[text[begins[rows] + lengths[rows] // share] <= ord("9")]
    dots = np.flatnonzero((first == ord(".")) & (lengths <= 2))
    return np.union1d(rows, dots) if dots.size else rows
