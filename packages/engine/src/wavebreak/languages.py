"""Languages: the one registry, translated texts, plurals, direction, dates and durations.

`policy/locale/languages.toml` says which languages there are. The text in the code and in the
tables of the policy is English and is the key of a translation (`msgid`). A translation is
`policy/locale/<language>/LC_MESSAGES/wavebreak.po`, read as it is: there is nothing to compile
(docs/explanation/notices.md). A text's own direction is that of its letters (Unicode Standard
Annex 9).
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, cached_property
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from wavebreak import config
from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.errors import PolicyError
from wavebreak.extras import LazyModule

_babel, _dates, _numbers, _units = (
    LazyModule(f"babel{name}") for name in ("", ".dates", ".numbers", ".units")
)
_sources, _catalogs = LazyModule("babel.messages.pofile"), LazyModule("babel.messages.mofile")

Direction = Literal["ltr", "rtl"]

CATALOGS = config.SHIPPED / "locale"
DOMAIN = "wavebreak"
SOURCE_LANGUAGE = "en"

_UNITS_MS = (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS), ("second", SECOND_MS))
_STRONG: dict[str, Direction] = {"L": "ltr", "R": "rtl", "AL": "rtl"}
_ISOLATE, _END = "\u2068", "\u2069"


def letter_directions(text: str) -> Iterator[Direction]:
    """Yield the directions of the characters that have one of their own: letters, not digits.

    >>> list(letter_directions("a1 שb"))
    ['ltr', 'rtl', 'ltr']
    """
    for char in text:
        if direction := _STRONG.get(unicodedata.bidirectional(char)):
            yield direction


def text_direction(text: str, default: Direction = "ltr") -> Direction:
    """Return the direction of a text, by the first letter.

    >>> text_direction("7 שלום"), text_direction("Dana"), text_direction("12", "rtl")
    ('rtl', 'ltr', 'rtl')
    """
    return next(letter_directions(text), default)


def is_right_to_left(text: str) -> bool:
    """Whether a text has a letter that is written from right to left.

    >>> is_right_to_left("Dana שלום"), is_right_to_left("Dana")
    (True, False)
    """
    return "rtl" in letter_directions(text)


def isolate(text: str) -> str:
    """Return a text between marks that isolate the direction from the surrounding text."""
    return f"{_ISOLATE}{text}{_END}"


def time_zone(name: str) -> ZoneInfo | None:
    """Return a time zone by name in the IANA list; None for an unknown name.

    >>> [str(time_zone(name)) for name in ("Asia/Jerusalem", "Elsewhere/Town", "../zone")]
    ['Asia/Jerusalem', 'None', 'None']
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def msgid(text: str) -> str:
    """Mark a text of a table for translation; the text is translated at the place of use.

    >>> msgid("Help")
    'Help'
    """
    return text


def msgids(one: str, many: str) -> tuple[str, str]:
    """Mark the two forms of a counted text of a table: `msgid` says the rest.

    >>> msgids("{n} group", "{n} groups")
    ('{n} group', '{n} groups')
    """
    return one, many


class RegisteredLanguage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the registry, `policy/locale/languages.toml`.

    Attributes:
        direction: `ltr` or `rtl`.
        texts: Whether texts are offered in the language.
        claims: Whether claims of other people are read in the language.
        formats: Whose conventions of dates and numbers it has ("": its own).
        former: Codes that some clients still send for it.
    """

    name: str
    direction: Direction
    texts: bool = False
    claims: bool = False
    formats: str = ""
    former: tuple[str, ...] = ()


@cache
def registered_languages() -> dict[str, RegisteredLanguage]:
    """Return the registry: every language by its code, in order.

    >>> registered_languages()["he"].direction, registered_languages()["he"].texts
    ('rtl', True)
    """
    return config.load_config(CATALOGS / "languages.toml", dict[str, RegisteredLanguage])


LANGUAGES: tuple[str, ...] = tuple(c for c, entry in registered_languages().items() if entry.texts)
"""Codes of the languages that texts are offered in, English first."""


def present_code(tag: str) -> str:
    """Return the code of a language as it is today, without the region.

    >>> present_code("iw_IL"), present_code("EN-gb"), present_code("")
    ('he', 'en', '')
    """
    code = tag.strip().replace("_", "-").partition("-")[0].lower()
    languages = registered_languages().items()
    return next((today for today, entry in languages if code in entry.former), code)


class Language:
    """One language: its translations and its conventions of dates and numbers.

    Attributes:
        code: Its code, as in the `lang` attribute of a page.
        direction: `ltr` or `rtl`.
    """

    def __init__(self, code: str, translations: NullTranslations) -> None:
        entry = registered_languages()[code]
        self.code, self.name, self.direction = code, entry.name, entry.direction
        self._formats = entry.formats or code
        self._translations = translations

    @cached_property
    def _locale(self) -> Any:
        """The conventions of dates and numbers; a text without either needs no Babel."""
        return _babel.Locale.parse(self._formats)

    def __repr__(self) -> str:
        return f"Language({self.code!r})"

    def gettext(self, text: str, **values: object) -> str:
        """Return a text in this language, with `{names}` filled in.

        >>> get_language("en").gettext("To {name}", name="Ada")
        'To Ada'
        """
        # The empty text is the key of a catalog's header.
        return self._fill(self._translations.gettext(text), values) if text else ""

    def ngettext(self, one: str, many: str, n: int, /, **values: object) -> str:
        """Return the form of a text that a count needs; `{n}` is the count, formatted.

        >>> get_language("en").ngettext("{n} person", "{n} people", 1200)
        '1,200 people'
        """
        text = self._translations.ngettext(one, many, n)
        if "{n}" in text and "n" not in values:
            values = {"n": self.format_number(n)} | values
        return self._fill(text, values)

    def pgettext(self, context: str, text: str, **values: object) -> str:
        """Return a text in this language that means something else in another context.

        >>> get_language("en").pgettext("an outcome", "Limit")
        'Limit'
        """
        return self._fill(self._translations.pgettext(context, text), values)

    def _fill(self, text: str, values: dict[str, object]) -> str:
        if not values:
            return text
        return text.format_map({name: self.isolate(str(value)) for name, value in values.items()})

    def translates(self, context: str, texts: Any) -> bool:
        """Whether every text, of a list or table too, is in this language, and not in the source.

        >>> [get_language("he").translates("report.page", text) for text in ("Page", "Side")]
        [True, False]
        """
        if isinstance(texts, dict):
            return all(self.translates(f"{context}.{key}", text) for key, text in texts.items())
        if isinstance(texts, list | tuple):
            return all(self.translates(f"{context}.{n}", text) for n, text in enumerate(texts))
        # A catalogue returns the very text that it was asked for where it has no other.
        translated = self._translations.pgettext(context, texts)
        return self.code == SOURCE_LANGUAGE or translated is not texts

    def translate_table(self, context: str, texts: Any) -> Any:
        """Return a text, list or table of texts in this language; a key is part of the context.

        >>> get_language("he").translate_table("report", {"outcomes": {"ban": "banned"}})
        {'outcomes': {'ban': 'חסום'}}
        """
        if isinstance(texts, dict):
            items = texts.items()
            return {key: self.translate_table(f"{context}.{key}", text) for key, text in items}
        if isinstance(texts, list | tuple):
            pairs = enumerate(texts)
            return type(texts)(self.translate_table(f"{context}.{n}", text) for n, text in pairs)
        return self.pgettext(context, texts) if isinstance(texts, str) else texts

    def isolate(self, text: str) -> str:
        """Isolate a foreign-direction text, so that the sentence around it keeps its order.

        >>> get_language("en").isolate("Acme"), len(get_language("he").isolate("Acme"))
        ('Acme', 6)
        """
        is_same_direction = text_direction(text, self.direction) == self.direction
        return text if is_same_direction else isolate(text)

    def format_number(self, value: float) -> str:
        """Format a number with the separators of the language.

        >>> get_language("he").format_number(1200)
        '1,200'
        """
        if self.code == SOURCE_LANGUAGE and value == int(value):
            return f"{int(value):,}"  # An installation without Babel has English alone.
        return str(_numbers.format_decimal(value, locale=self._locale))

    def format_instant(self, ms: int, zone: str = "UTC") -> str:
        """Format an instant with its time zone.

        Args:
            ms: Milliseconds since 1970.
            zone: IANA name of the holder's time zone; an unknown one is taken as UTC. The text
                names the zone, so that nobody has to guess.

        >>> get_language("en").format_instant(1_772_373_730_000)
        '1 March 2026, 14:02 UTC'
        >>> get_language("he").format_instant(1_772_373_730_000)
        '1 במרץ 2026, 14:02 UTC'
        """
        info = time_zone(zone) or ZoneInfo("UTC")
        time = datetime.fromtimestamp(ms / 1000, UTC).astimezone(info)
        zone_name = (
            "UTC"
            if time.utcoffset() == time.dst() and info.key in ("UTC", "Etc/UTC")
            else str(_dates.get_timezone_name(time, "long", locale=self._locale))
        )
        day = _dates.format_date(time, "long", locale=self._locale)
        return f"{day}, {_dates.format_time(time, 'HH:mm', locale=self._locale)} {zone_name}"

    def format_day(self, ms: int) -> str:
        """Format the day (UTC) of an instant.

        >>> get_language("en").format_day(1_575_676_800_000)
        '7 December 2019'
        """
        time = datetime.fromtimestamp(ms / 1000, UTC)
        return str(_dates.format_date(time, "long", locale=self._locale))

    def format_duration(self, ms: int) -> str:
        """Format a duration in its largest unit that divides it, with the right plural or dual.

        >>> [get_language("en").format_duration(n * 3_600_000) for n in (1, 24, 72)]
        ['1 hour', '1 day', '3 days']
        >>> get_language("he").format_duration(2 * 86_400_000)
        'יומיים'
        """
        unit, size = next(((u, s) for u, s in _UNITS_MS if ms and ms % s == 0), _UNITS_MS[-1])
        return str(_units.format_unit(round(ms / size), f"duration-{unit}", locale=self._locale))


def read_catalog(code: str, catalogs: Path = CATALOGS, domain: str = DOMAIN) -> Any:
    """Return the catalogue of a language; raises `PolicyError` where the file is missing."""
    path = catalogs / code / "LC_MESSAGES" / f"{domain}.po"
    if not path.is_file():
        raise PolicyError(
            f"languages.toml: {code} has no catalogue {path.name}",
            fix=f"begin it: `wavebreak.notices.catalog.update_translation({code!r})`",
        )
    with path.open("rb") as file:
        return _sources.read_po(file, domain=domain)


@cache
def get_language(code: str, catalogs: Path = CATALOGS, domain: str = DOMAIN) -> Language:
    """Return a language; English where it is not shipped. A region is ignored (`he-IL`).

    Args:
        code: Its code.
        catalogs: Directory of the translations; a distribution with texts of its own has one.
        domain: The name of the translations' files.

    >>> get_language("he-IL").direction, get_language("iw").name, get_language("tlh").code
    ('rtl', 'עברית', 'en')
    """
    code = present_code(code)
    if code not in LANGUAGES or code == SOURCE_LANGUAGE:
        return Language(SOURCE_LANGUAGE, NullTranslations())
    compiled = io.BytesIO()
    _catalogs.write_mo(compiled, read_catalog(code, catalogs, domain))
    compiled.seek(0)
    return Language(code, GNUTranslations(compiled))


ENGLISH = get_language(SOURCE_LANGUAGE)


def offered_languages() -> list[Language]:
    """Return every language that texts are offered in, English first.

    >>> offered_languages()[0].name
    'English'
    """
    return [get_language(code) for code in LANGUAGES]


def negotiate(
    accept_language: str, offered: tuple[str, ...] = LANGUAGES, default: str = SOURCE_LANGUAGE
) -> str:
    """Return the offered language that an `Accept-Language` header likes best.

    Args:
        accept_language: The header's value; what is malformed in it is passed over.
        offered: Codes to choose from.
        default: What to return where none of them is acceptable.

    >>> negotiate("fr-CH, he-IL;q=0.9, en;q=0.8"), negotiate("iw"), negotiate("de"), negotiate("")
    ('he', 'he', 'en', 'en')
    """
    preferences: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language[:1000].split(",")):
        tag, _, parameters = part.strip().partition(";")
        weight = parameters.strip().removeprefix("q=").strip()
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        if 0 < quality <= 1:
            preferences.append((-quality, place, present_code(tag)))
    for _, _, code in sorted(preferences):
        if code == "*":
            return default
        if code in offered:
            return code
    return default
