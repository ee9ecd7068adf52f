"""Text normalization: case, accents, width, hidden characters and look-alike letters.

Every folded character has its position in the original, so that matches can be shown there. Undone
are compatibility forms (NFKC), zero-width and direction marks, accents and Hebrew points
(Devanagari vowel signs stay), digits of other scripts, small capitals, Cyrillic and Greek letters
used as Latin ones, digits inside words (`wh4ts`), and letters set apart (`b u l k`, `w.h.a.t.s`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

LETTERS = r"\w\u0900-\u0963\u0966-\u097f"
"""What a word is made of: Python's own class leaves out the vowel signs of Devanagari.

Its full stops (U+0964, U+0965) stand between words.
"""

_HOMOGLYPHS = str.maketrans("авекмнорстухіјѕԛԝһьαβεηικνορτυχγ", "abekmhopctyxijsqwhbabenikvoptuxy")
_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True))
_LEET_LETTERS = str.maketrans("013457@$", "oieasta" + "s")
_FOREIGN = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile(r"[a-z]")
_LEET = re.compile(r"(?<![^\W\d_])[a-z]+(?:[013457@$]{1,2}[a-z]+)+")
_SPACED_OUT = re.compile(
    rf"(?<![{LETTERS}])(?:[^\W\d_]([ .\-_*·|])){{1}}(?:[^\W\d_]\1){{2,}}[^\W\d_](?![{LETTERS}])"
)
_MAX_HOMOGLYPH_SHARE = 0.25


_SCRIPTS = {
    "Cyrillic": r"\u0400-\u052f", "Arabic": r"\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "Chinese or Japanese": r"\u3040-\u30ff\u3400-\u9fff", "Korean": r"\uac00-\ud7af",
    "Bengali": r"\u0980-\u09ff", "Thai": r"\u0e00-\u0e7f", "Greek": r"\u0370-\u03ff",
    "Tamil": r"\u0b80-\u0bff", "Telugu": r"\u0c00-\u0c7f", "Gujarati": r"\u0a80-\u0aff",
    "Georgian": r"\u10a0-\u10ff", "Armenian": r"\u0530-\u058f", "Amharic": r"\u1200-\u137f",
}  # fmt: skip
"""Scripts of languages that are not read, with their letters."""
_UNREAD = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Folded:
    """Folded `text`; `origins` has for each of its characters the index in the original."""

    text: str
    origins: Sequence[int]

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Give the span of the original that a span of the folded text came from."""
        return self.origins[start], self.origins[end - 1] + 1


def fold(text: str) -> Folded:
    r"""Fold a text.

    >>> fold("Envio\u200b EM Maﬃa: ação").text, fold("b.u.l.k wh4tsаpp").text
    ('envio em maffia: acao', 'bulk whatsapp')
    >>> fold("בְּלִי חסימות").text, fold("ज़रूरत ५०").text, fold("ʙᴜʟᴋ 𝐖𝐀").text
    ('בלי חסימות', 'जरूरत 50', 'bulk wa')
    """
    letters: list[str] = []
    origins: list[int] = []
    for index, char in enumerate(text):
        for letter in _fold_character(char):
            letters.append(letter)
            origins.append(index)
    joined = "".join(letters)
    foreign, latin = len(_FOREIGN.findall(joined)), len(_LATIN.findall(joined))
    if foreign and foreign < _MAX_HOMOGLYPH_SHARE * (foreign + latin):
        joined = joined.translate(_HOMOGLYPHS)
    joined = _LEET.sub(lambda m: m[0].translate(_LEET_LETTERS), joined)
    return _join_spaced_words(joined, origins)


def unread_script(text: str, share: float) -> str:
    """Name the script of a language that is not read, if such a share of the letters is in it.

    >>> unread_script("Массовая рассылка WhatsApp", 0.5), unread_script("Bulk рассылка sender", 0.5)
    ('Cyrillic', '')
    """
    least = share * len(_LETTER.findall(text))
    counts = {name: len(pattern.findall(text)) for name, pattern in _UNREAD.items()}
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] and counts[most] >= least else ""


def _join_spaced_words(text: str, origins: list[int]) -> Folded:
    """Close up words whose letters were set apart."""
    out: list[str] = []
    kept: list[int] = []
    last = 0
    for match in _SPACED_OUT.finditer(text):
        inside = range(match.start(), match.end(), 2)
        out += [text[last : match.start()], *(text[i] for i in inside)]
        kept += [*origins[last : match.start()], *(origins[i] for i in inside)]
        last = match.end()
    if not last:
        return Folded(text, origins)
    return Folded("".join([*out, text[last:]]), kept + origins[last:])


@lru_cache(maxsize=8192)
def _fold_character(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cf" or char in "\u093c\u034f\ufe0f":
        return ""
    if char == "\u0901":
        return "\u0902"
    if char in "’‘`´׳":
        return "'"
    if char == "״":
        return '"'
    if category == "Zs":
        return " "
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if char in _SMALL_CAPITALS:
        return _SMALL_CAPITALS[char]
    apart = unicodedata.normalize("NFKD", char)
    return (
        "".join(c for c in apart if unicodedata.category(c) != "Mn" or "\u0900" <= c <= "\u097f")
        .replace("\u093c", "")
        .casefold()
    )
