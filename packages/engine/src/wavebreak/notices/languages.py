"""Languages of notices: translated text, plurals, direction, dates and durations.

The text in the code is English and is the key of a translation (`msgid`). A translation is
`locale/<language>/LC_MESSAGES/notices.po`, read as it is: there is nothing to compile. A language
is added by adding its directory (docs/explanation/notices.md).
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wavebreak.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from wavebreak.extras import LazyModule as Optional
from wavebreak.text_direction import Direction, isolate, text_direction

_babel, _dates, _numbers, _units = (
    Optional(f"babel{name}") for name in ("", ".dates", ".numbers", ".units")
)
_sources, _catalogs = Optional("babel.messages.pofile"), Optional("babel.messages.mofile")

CATALOGS = Path(__file__).resolve().parent / "locale"
DOMAIN = "notices"
SOURCE_LANGUAGE = "en"

_FORMATS = {"en": "en_001"}
"""Conventions of dates for a language that has several: day before month, for the whole world."""
_FORMER_CODES = {"iw": "he", "in": "id", "ji": "yi"}
"""Codes that some clients still send, with today's."""
_UNITS_MS = (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS), ("second", SECOND_MS))


def time_zone(name: str) -> ZoneInfo | None:
    """Return a time zone by its name in the IANA list; None where there is none.

    >>> [str(time_zone(name)) for name in ("Asia/Jerusalem", "Elsewhere/Town", "../zone")]
    ['Asia/Jerusalem', 'None', 'None']
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def msgid(text: str) -> str:
    """Mark a text of a table for translation; the text is translated where it is used.

    >>> msgid("Help")
    'Help'
    """
    return text


def _catalog_path(code: str) -> Path:
    return CATALOGS / code / "LC_MESSAGES" / f"{DOMAIN}.po"


def _find_languages() -> tuple[str, ...]:
    found = {path.parent.parent.name for path in CATALOGS.glob(f"*/LC_MESSAGES/{DOMAIN}.po")}
    return (SOURCE_LANGUAGE, *sorted(found - {SOURCE_LANGUAGE}))


LANGUAGES: tuple[str, ...] = _find_languages()
"""Codes of the languages that are shipped, English first."""


class Language:
    """One language: its translations and its conventions of dates and numbers.

    Attributes:
        code: Its code, as in the `lang` attribute of a page.
        name: Its name in itself.
        direction: `ltr` or `rtl`.

    """

    def __init__(self, code: str, translations: NullTranslations) -> None:
        locale = _babel.Locale.parse(_FORMATS.get(code, code))
        self.code = code
        self.name = str(_babel.Locale.parse(code).get_display_name(code))
        self.direction: Direction = "rtl" if locale.text_direction == "rtl" else "ltr"
        self._locale = locale
        self._translations = translations

    def __repr__(self) -> str:
        return f"Language({self.code!r})"

    def gettext(self, text: str, **values: object) -> str:
        """Return a text in this language, with `{names}` filled in.

        >>> get_language("en").gettext("To {name}", name="Ada")
        'To Ada'
        """
        # The empty text is the key of a catalog's header.
        return self._fill(self._translations.gettext(text), values) if text else ""

    def ngettext(self, one: str, many: str, n: int, **values: object) -> str:
        """Return the form of a text that a count needs; `{n}` is the count, formatted.

        >>> get_language("en").ngettext("{n} person", "{n} people", 1200)
        '1,200 people'
        """
        text = self._translations.ngettext(one, many, n)
        return self._fill(text, {"n": self.format_number(n)} | values)

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

    def isolate(self, text: str) -> str:
        """Isolate a foreign-direction text, so that the sentence around it keeps its order.

        >>> get_language("en").isolate("Acme"), len(get_language("he").isolate("Acme"))
        ('Acme', 6)
        """
        same = text_direction(text, self.direction) == self.direction
        return text if same else isolate(text)

    def format_number(self, value: float) -> str:
        """Format a number with the separators of the language.

        >>> get_language("he").format_number(1200)
        '1,200'
        """
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
        at = datetime.fromtimestamp(ms / 1000, UTC).astimezone(info)
        named = (
            "UTC"
            if at.utcoffset() == at.dst() and info.key in ("UTC", "Etc/UTC")
            else str(_dates.get_timezone_name(at, "long", locale=self._locale))
        )
        day = _dates.format_date(at, "long", locale=self._locale)
        return f"{day}, {_dates.format_time(at, 'HH:mm', locale=self._locale)} {named}"

    def format_day(self, ms: int) -> str:
        """Format the day (UTC) of an instant.

        >>> get_language("en").format_day(1_575_676_800_000)
        '7 December 2019'
        """
        at = datetime.fromtimestamp(ms / 1000, UTC)
        return str(_dates.format_date(at, "long", locale=self._locale))

    def format_duration(self, ms: int) -> str:
        """Format a duration in its largest unit that divides it, with the right plural or dual.

        >>> [get_language("en").format_duration(n * 3_600_000) for n in (1, 24, 72)]
        ['1 hour', '1 day', '3 days']
        >>> get_language("he").format_duration(2 * 86_400_000)
        'יומיים'
        """
        unit, size = next(((u, s) for u, s in _UNITS_MS if ms and ms % s == 0), _UNITS_MS[-1])
        return str(_units.format_unit(round(ms / size), f"duration-{unit}", locale=self._locale))


@cache
def get_language(code: str) -> Language:
    """Return a language; English where it is not shipped. A region is ignored (`he-IL`).

    >>> get_language("he-IL").direction, get_language("iw").name, get_language("tlh").code
    ('rtl', 'עברית', 'en')
    """
    code = code.replace("_", "-").partition("-")[0].lower()
    code = _FORMER_CODES.get(code, code)
    path = _catalog_path(code)
    if code not in LANGUAGES or not path.exists():
        return Language(SOURCE_LANGUAGE, NullTranslations())
    compiled = io.BytesIO()
    with path.open("rb") as file:
        _catalogs.write_mo(compiled, _sources.read_po(file, locale=code, domain=DOMAIN))
    compiled.seek(0)
    return Language(code, GNUTranslations(compiled))


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
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language[:1000].split(",")):
        tag, _, parameters = part.strip().partition(";")
        weight = parameters.strip().removeprefix("q=").strip()
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        code = tag.strip().partition("-")[0].lower()
        if 0 < quality <= 1:
            wanted.append((-quality, place, _FORMER_CODES.get(code, code)))
    for _, _, code in sorted(wanted):
        if code == "*":
            return default
        if code in offered:
            return code
    return default
