"""Search of names, numbers and other words in a text, however they are written there.

A term is found whatever its spaces, case, accents, Hebrew points, final letters, compatibility
forms and marks of direction, with its family name first or last, and written backwards; a telephone
number with or without its country. The text of a PDF often has Hebrew glued together, letter by
letter from left to right, or line by line reversed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from wavebreak.languages import is_right_to_left

Span = tuple[int, int]

_ALIKE = str.maketrans(
    {
        **dict(zip("ךםןףץ", "כמנפצ", strict=True)),
        # Arabic as keyboards of other languages, and writers without the last dots, have it.
        **dict(zip("یىئکةہھؤ", "يييكهههو", strict=True)),
        "ـ": "",
        # Latin letters that have no accent to leave out, as an English keyboard writes them.
        **dict(zip("ıłđðø", "ilddo", strict=True)),
        **{"æ": "ae", "œ": "oe", "þ": "th"},
    }
)
_INVISIBLE = ("Mn", "Me", "Cf", "Cc", "Co", "Cn", "Cs")
_NUMBER_GAP = re.compile(r"[\s()+.\-‐‑‒–—−/]*")
_MIN_DIGITS, _MIN_NATIONAL = 5, 8
_PREFIX = re.compile(r"(?<!\d)(?:(?:\+|00)?\d{1,3}[\s().-]*)?\(?0?\)?[\s().-]*$")
"""What stands before a national number: the country's, a zero or both."""
_LONE, _TOGETHER = 5, 6
"""Letters from which a single word is found backwards, and several words run together."""
_MIN_HIDDEN = 4
"""Letters from which a term is looked for within other words, where a text may be glued."""


class FoldedLetters(NamedTuple):
    """The letters and digits of a text without their forms; `origins` are their places in it."""

    letters: str
    origins: tuple[int, ...]


def fold_letters(text: str) -> FoldedLetters:
    r"""Return the letters and digits of a text, whatever their form.

    >>> fold_letters("דָּנָה\u200f לוין, Ｊosé ٣").letters
    'דנהלוינjose3'
    """
    letters: list[str] = []
    origins: list[int] = []
    for at, char in enumerate(text):
        for letter in _fold(char):
            letters.append(letter)
            origins.append(at)
    return FoldedLetters("".join(letters), tuple(origins))


@lru_cache(maxsize=8192)
def _fold(char: str) -> str:
    """The letters of a character: `ﬁ` has two, a space none."""
    apart = unicodedata.normalize("NFKD", char)
    kept = "".join(c for c in apart if c.isalnum()).casefold().translate(_ALIKE)
    return "".join(str(unicodedata.digit(c, c)) for c in kept)


def find_term(text: str | FoldedText, term: str, *, number: bool = False) -> list[Span]:
    r"""Return where a term is in a text.

    It begins and ends with a word. A Hebrew or Arabic one may follow other letters, which are
    prepositions; several words of six letters are found also where a text runs on without spaces.

    Args:
        text: The text, or the same folded.
        term: What is searched.
        number: It is a telephone number: only its digits count, in any grouping.

    >>> find_term("לוי דנה, וד נ ה לו\u05b4י", "דנה לוי")
    [(0, 7), (10, 20)]
    >>> find_term("television of dana-levi", "Dana Levi"), find_term("television", "Levi")
    ([(14, 23)], [])
    >>> find_term("call (03) 555-0100, 0355501001", "03 555 0100", number=True)
    [(5, 18)]
    """
    folded = text if isinstance(text, FoldedText) else FoldedText.of(text)
    if number:
        return sorted(set(_numbers(folded, term)))
    found = {span for shape in _shapes(term) for span in _occurrences(folded, shape)}
    return sorted(found)


def hides_term(text: str, term: str, *, number: bool = False) -> bool:
    """Whether a term may be in a text of which nobody knows where its words end.

    >>> hides_term("שלנודנהלויביקשה", "דנה לוי"), hides_term("ויבהנדנו", "דנה")
    (True, False)
    """
    letters = fold_letters(text).letters
    if number:
        plain = re.sub(r"\D", "", letters)
        return any(digits in plain for digits in _digit_orders(term) | _national_numbers(term))
    wanted = [shape.letters for shape in _shapes(term, least=_MIN_HIDDEN)]
    return any(len(each) >= _MIN_HIDDEN and each in letters for each in wanted)


class FoldedText(NamedTuple):
    """A text with its letters, of which many terms are searched."""

    text: str
    folded: FoldedLetters

    @classmethod
    def of(cls, text: str) -> FoldedText:
        """Fold a text."""
        return cls(text, fold_letters(text))


class _Shape(NamedTuple):
    """Letters in an order in which a term may be written, and what may touch them."""

    letters: str
    free_before: bool
    free_after: bool


def _shapes(term: str, least: int = _LONE) -> Iterator[_Shape]:
    words = [letters for word in term.split() if (letters := fold_letters(word).letters)]
    whole = "".join(words)
    if not whole:
        return
    together = len(words) > 1 and len(whole) >= _TOGETHER
    joined = is_right_to_left(term[:1]) or is_right_to_left(whole[:1])
    orders = [words]
    if together:
        orders += [words[::-1], *(words[n:] + words[:n] for n in range(1, len(words)))]
    for order in orders:
        written = "".join(order)
        yield _Shape(written, joined or together, together)
        if together or len(whole) >= least:
            yield _Shape(written[::-1], together, together)


def _occurrences(text: FoldedText, shape: _Shape) -> Iterator[Span]:
    letters, origins = text.folded
    at = letters.find(shape.letters)
    while at >= 0:
        end = at + len(shape.letters)
        if (shape.free_before or _apart(text, at)) and (shape.free_after or _apart(text, end)):
            yield origins[at], origins[end - 1] + 1
        at = letters.find(shape.letters, at + 1)


def _apart(text: FoldedText, at: int) -> bool:
    """Whether something is between a letter and the one before it, other than invisible marks."""
    origins = text.folded.origins
    if at in (0, len(origins)):
        return True
    if origins[at] == origins[at - 1]:
        return False
    between = text.text[origins[at - 1] + 1 : origins[at]]
    return any(unicodedata.category(char) not in _INVISIBLE or char == "\n" for char in between)


def _numbers(text: FoldedText, term: str) -> Iterator[Span]:
    """A number's digits, one after the other with at most signs of grouping between."""
    if orders := _digit_orders(term):
        ignored = {
            ord(char): None
            for char in set(text.text)
            if unicodedata.category(char) in _INVISIBLE and not char.isspace()
        }
        for digits in orders:
            yield from _digits_at(text, digits, ignored)
        for digits in _national_numbers(term):
            yield from _digits_at(text, digits, ignored, prefixed=True)


def _national_numbers(term: str) -> set[str]:
    """A number without its country's, of which nobody knows how many digits it has, and its zero.

    >>> sorted(_national_numbers("050-1234567")), sorted(_national_numbers("+972 50-123-4567"))
    (['501234567'], ['2501234567', '501234567', '72501234567', '972501234567'])
    """
    digits = re.sub(r"\D", "", fold_letters(term).letters)
    plain = digits.lstrip("0")
    abroad = term.strip().startswith("+") or digits.startswith("00")
    cut = (plain[n:].lstrip("0") for n in range(4 if abroad else 1))
    return {each for each in cut if len(each) >= _MIN_NATIONAL}


def _digit_orders(term: str) -> set[str]:
    """A number's digits, and those of its groups from right to left, as Arabic or Hebrew has them.

    >>> sorted(_digit_orders("+20 100 55-50"))
    ['201005550', '505510020', '555010020']
    """
    split = (term.split(), re.split(r"[^\w]+", term))
    orders = [term, *("".join(groups[::-1]) for groups in split)]
    digits = (re.sub(r"\D", "", fold_letters(order).letters) for order in orders)
    return {each for each in digits if len(each) >= _MIN_DIGITS}


def _digits_at(
    text: FoldedText, digits: str, ignored: dict[int, None], *, prefixed: bool = False
) -> Iterator[Span]:
    """Where digits are, no others before or after them; or, `prefixed`, after a country or zero."""
    letters, origins = text.folded
    at = letters.find(digits)
    while at >= 0:
        end = at + len(digits)
        gaps = (text.text[origins[n] + 1 : origins[n + 1]] for n in range(at, end - 1))
        whole = all(_NUMBER_GAP.fullmatch(gap.translate(ignored)) for gap in gaps)
        start = origins[at]
        before = at == 0 or not letters[at - 1].isdigit() or _far(text, at - 1)
        if prefixed:
            prefix = _PREFIX.search(text.text, max(0, start - 16), start)
            before = prefix is not None and any(map(str.isdigit, prefix[0]))
            start = prefix.start() if prefix is not None else start
        after = end == len(letters) or not letters[end].isdigit() or _far(text, end - 1)
        if whole and before and after:
            while start and text.text[start - 1] in "+(":
                start -= 1
            yield start, origins[end - 1] + 1
        at = letters.find(digits, at + 1)


def _far(text: FoldedText, at: int) -> bool:
    """Whether a digit and the next one are apart."""
    origins = text.folded.origins
    return origins[at + 1] - origins[at] > 1


def merge_spans(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Join spans that overlap; the first of them, and of these the longest, names the kind.

    >>> merge_spans([(3, 9, "name"), (0, 5, "mail"), (12, 14, "name")])
    [(0, 9, 'mail'), (12, 14, 'name')]
    """
    merged: list[tuple[int, int, str]] = []
    for start, end, what in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            first, last, kind = merged[-1]
            merged[-1] = (first, max(last, end), kind)
        else:
            merged.append((start, end, what))
    return merged


class Reading(NamedTuple):
    """A page as it is read: its characters in that order, and the place of each (-1: a gap)."""

    text: str
    places: tuple[int, ...]


def visual_readings(
    text: str, boxes: Sequence[tuple[float, float, float, float] | None], *, leftward: bool
) -> Iterator[Reading]:
    """Return how a page reads by where its characters stand; of a page that is turned, both ways.

    Whatever the order in which a file holds its letters, a person reads them as they stand: line by
    line, from left to right, or from right to left.

    Args:
        text: The characters of the page.
        boxes: Where each is; None for one without a shape.
        leftward: Whether lines are read from right to left.
    """
    placed = [(n, box) for n, box in enumerate(boxes) if box is not None and not text[n].isspace()]
    upright, *turned = (
        _read_lines(text, [(n, _turned(box, turn)) for n, box in placed], leftward)
        for turn in (0, 1, 3)
    )
    # Across the lines every letter would be a line, and any letters one above the other a word.
    if upright.text.count("\n") <= turned[0].text.count("\n"):
        yield upright
    else:
        yield from turned


def _turned(box: tuple[float, float, float, float], turn: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    for _ in range(turn):
        left, top, right, bottom = 1 - bottom, left, 1 - top, right
    return left, top, right, bottom


def _read_lines(
    text: str, placed: list[tuple[int, tuple[float, float, float, float]]], leftward: bool
) -> Reading:
    lines: list[list[tuple[int, tuple[float, float, float, float]]]] = []
    base = 0.0
    for n, box in sorted(placed, key=lambda one: (one[1][1] + one[1][3], one[1][0])):
        middle = (box[1] + box[3]) / 2
        if not lines or middle > base:
            lines.append([])
            base = middle + 0.6 * (box[3] - box[1])
        lines[-1].append((n, box))
    letters: list[str] = []
    places: list[int] = []
    for line in lines:
        last: tuple[float, float, float, float] | None = None
        for n, box in sorted(line, key=lambda one: -one[1][2] if leftward else one[1][0]):
            if last is not None:
                gap = last[0] - box[2] if leftward else box[0] - last[2]
                if gap > 0.2 * (box[3] - box[1]):
                    letters.append(" ")
                    places.append(-1)
            letters.append(text[n])
            places.append(n)
            last = box
        letters.append("\n")
        places.append(-1)
    return Reading("".join(letters), tuple(places))
