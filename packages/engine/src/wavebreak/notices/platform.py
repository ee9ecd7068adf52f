"""The operator in texts for holders and the public: names, terms, links and dates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from wavebreak import config
from wavebreak.errors import PolicyError
from wavebreak.languages import LANGUAGES, SOURCE_LANGUAGE, Language, time_zone
from wavebreak.notices.reasons import Term

FILE = "platform.toml"
LEAST_APPEAL_DAYS = 180
_ADDRESS = re.compile(r"(?:https://|mailto:|/(?!/))[^\s<>\"']*")

DEFAULT_REDRESS = "Whether or not you appeal, you may also turn to a court that has jurisdiction."
"""Remedies where a `platform.toml` names none: a private messaging service need not offer
out-of-court settlement, so that only courts are named."""
Text = Annotated[str, Meta(max_length=2000)]
Localized = dict[str, Text]


class PlatformLinks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses of the operator's pages; a link without one is not shown."""

    terms: Text = ""
    help: Text = ""
    appeal: Text = ""
    support: Text = ""
    redress: Text = ""
    business_app: Text = ""
    business_platform: Text = ""


class Platform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of `platform.toml`.

    Attributes:
        languages: Languages in which pages are offered; left out, every one that is shipped.
        default_language: The language if a reader accepts no other.
        appeal_days: For how long a holder may appeal.
        warn_contacts: Whether people are warned of a banned account that wrote to them first.
        notice_date: Day of the operator's public notice of legal action (None: there was none).
        continues_from: First day that counts as after the notice (UTC).
        time_zone: IANA name of the zone in which holders read times.
        name: The service's name, by language.
        links: Addresses of the operator's pages.
        contact: The contact for holders, by language.
        terms: Clauses of the terms, by kind of abuse and language.
        redress: The holder's remedies beside an appeal, by language (DSA, article 17(3)(f)).
    """

    languages: tuple[str, ...] = LANGUAGES
    default_language: str = SOURCE_LANGUAGE
    appeal_days: int = LEAST_APPEAL_DAYS
    warn_contacts: bool = False
    notice_date: date | None = None
    continues_from: date | None = None
    time_zone: Annotated[str, Meta(max_length=64)] = "UTC"
    name: Localized
    links: PlatformLinks = PlatformLinks()
    contact: Localized
    terms: dict[Term, Localized]
    redress: Localized = msgspec.field(default_factory=lambda: {SOURCE_LANGUAGE: DEFAULT_REDRESS})

    def name_in(self, language: Language) -> str:
        """Return the service's name."""
        return _localized("name", self.name, language)

    def contact_in(self, language: Language) -> str:
        """Return the contact for holders."""
        return _localized("contact", self.contact, language)

    def redress_in(self, language: Language) -> str:
        """Return the holder's remedies beside an appeal."""
        return _localized("redress", self.redress, language)

    def clause(self, term: Term, language: Language) -> str:
        """Return the clause of the terms about one kind of abuse.

        >>> from wavebreak.languages import get_language
        >>> load_platform().clause("bulk", get_language("en"))[:24]
        'Sending messages in bulk'
        """
        return _localized(f"terms.{term}", self.terms[term], language)

    @property
    def notice_ms(self) -> int | None:
        """Start (UTC) of the day of the notice, in milliseconds."""
        return None if self.notice_date is None else _day_ms(self.notice_date)

    @property
    def continues_from_ms(self) -> int | None:
        """Start (UTC) of the first day that counts as after the notice, in milliseconds."""
        return None if self.continues_from is None else _day_ms(self.continues_from)


def _localized(field: str, texts: Mapping[str, str], language: Language) -> str:
    """Return the operator's text in a language, else the English one, translated if shipped."""
    text, context = texts.get(language.code), f"platform.{field}"
    return text or language.pgettext(context, texts[SOURCE_LANGUAGE])


def _day_ms(day: date) -> int:
    time = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(time.timestamp()) * 1000


def load_platform(directory: Path | None = None) -> Platform:
    """Read `platform.toml`: a local policy's, else the shipped one with neutral texts.

    Raises:
        PolicyError: A field is missing, unknown or wrong; names the field and the fix.

    >>> load_platform().appeal_days
    180
    """
    platform = config.load_config(config.resolve_path(FILE, directory), Platform)
    _check(platform)
    return platform


def _check(platform: Platform) -> None:
    _check_languages(platform)
    if platform.appeal_days < LEAST_APPEAL_DAYS:
        raise _error(
            f"appeal_days: {platform.appeal_days} is less than {LEAST_APPEAL_DAYS}",
            f"give at least {LEAST_APPEAL_DAYS}",
        )
    if (platform.notice_date is None) != (platform.continues_from is None):
        raise _error("notice_date and continues_from go together", "give both or neither")
    if (platform.continues_from or date.max) < (platform.notice_date or date.min):
        raise _error("continues_from: is before notice_date", "give that day or a later one")
    if time_zone(platform.time_zone) is None:
        raise _error(
            f"time_zone: {platform.time_zone!r} is not known",
            "give a name of the IANA list, like Asia/Jerusalem",
        )
    _check_texts(platform)


def _check_languages(platform: Platform) -> None:
    unknown = [code for code in platform.languages if code not in LANGUAGES]
    if unknown or not platform.languages:
        raise _error(
            f"languages: {', '.join(unknown)[:64] or 'there is none'}",
            f"give some of {', '.join(LANGUAGES)}, or add one to locale/languages.toml",
        )
    if platform.default_language not in platform.languages:
        raise _error(
            f"default_language: {platform.default_language[:32]!r} is not in languages",
            "give one of languages",
        )


def _check_texts(platform: Platform) -> None:
    missing = [term for term in get_args(Term) if term not in platform.terms]
    if missing:
        raise _error(f"terms.{missing[0]}: is missing", "say what the terms say, by language")
    texts = {"name": platform.name, "contact": platform.contact, "redress": platform.redress}
    texts |= {f"terms.{term}": text for term, text in platform.terms.items()}
    for field, text in texts.items():
        if not text.get(SOURCE_LANGUAGE, "").strip():
            raise _error(f"{field}: has no text in English", f'add {SOURCE_LANGUAGE} = "…"')
    for field in platform.links.__struct_fields__:
        address = getattr(platform.links, field)
        if address and not _ADDRESS.fullmatch(address):
            raise _error(f"links.{field}: is no address", "give one that begins with https:// or /")


def _error(problem: str, fix: str) -> PolicyError:
    return PolicyError(f"{FILE}: {problem}", fix=fix)
