"""Short notices: what is refused for now, until when, and how to object, in a few sentences.

A platform shows one where an act is refused, and one to a sender whose places of a limit are nearly
used up. They name neither a rule nor a threshold, but the sender's own places; the statement of
reasons says the rest.
"""

from __future__ import annotations

from functools import lru_cache

from wavebreak.languages import LANGUAGES, Language, get_language
from wavebreak.notices.statement import outcome_form
from wavebreak.notices.texts import TEXTS
from wavebreak.outcomes import WITHOUT_NOTICE
from wavebreak.schema.events import Challenge


def short_notice(
    outcome: str,
    until_ms: int | None,
    language: Language,
    challenge: Challenge | None = None,
    zone: str = "UTC",
) -> str:
    """Return a short notice of an outcome; empty where nothing is refused.

    Args:
        outcome: The outcome in force.
        until_ms: Its end (None: none).
        language: The language.
        challenge: The kind of challenge that ends it, or raises what it leaves.
        zone: IANA name of the time zone of its end.

    >>> short_notice("ban", None, get_language("en"))
    'Your account is banned. If you think that this is a mistake, appeal.'
    """
    if outcome in WITHOUT_NOTICE:
        return ""
    _ = language.gettext
    form = outcome_form(outcome, has_end=until_ms is not None)
    sentences = [f"{_(TEXTS['title'][form])}."]
    if challenge is not None:
        sentences.append(_(TEXTS["challenge"][challenge]))
    if until_ms is not None:
        instant = language.format_instant(until_ms, zone)
        sentences.append(_("If you do nothing, it ends by itself on {instant}.", instant=instant))
    sentences.append(_("If you think that this is a mistake, appeal."))
    return " ".join(sentences)


def near_limit_notice(
    remaining: int, frees_at_ms: int | None, language: Language, zone: str = "UTC"
) -> str:
    """Return how many first messages a limit leaves, and how a place comes back.

    Args:
        remaining: New chats that may be started now.
        frees_at_ms: When the next place comes back by itself (None: not known).
        language: The language.
        zone: IANA name of the time zone of that.

    >>> near_limit_notice(2, None, get_language("en"))
    'You can start 2 more chats with people you have not been in touch with. An answer frees a \
place at once.'
    """
    _ = language.gettext
    if remaining:
        remaining_text = language.ngettext(
            "You can start {n} more chat with somebody you have not been in touch with.",
            "You can start {n} more chats with people you have not been in touch with.",
            remaining,
        )
    else:
        remaining_text = _(
            "For now you cannot start another chat with people you have not been in touch with."
        )
    if frees_at_ms is None:
        return_text = _("An answer frees a place at once.")
    else:
        return_text = _(
            "An answer frees a place at once; otherwise the next one comes back on {instant}.",
            instant=language.format_instant(frees_at_ms, zone),
        )
    return f"{remaining_text} {return_text}"


@lru_cache(maxsize=1_000)
def near_limit_notices(
    remaining: int, frees_at_ms: int | None, zone: str = "UTC"
) -> dict[str, str]:
    """Return that notice by language, in every shipped language.

    >>> near_limit_notices(0, 1_772_373_730_000).keys() == set(LANGUAGES)
    True
    """
    return {
        code: near_limit_notice(remaining, frees_at_ms, get_language(code), zone)
        for code in LANGUAGES
    }


def list_notice(names: tuple[str, ...], keeper: str, language: Language) -> str:
    """Return which outside lists name a sender, what follows, whom to ask, and how to object.

    Args:
        names: The lists.
        keeper: Where the keeper of the first one can be asked ("": not known).
        language: The language.

    >>> list_notice(("cme",), "", get_language("en"))
    'You, or your server, are on the list “cme”, which other people keep. So your first messages \
to people you have not been in touch with arrive as requests. Ask the keeper of the list why. If \
you think that this is a mistake, appeal here: a granted appeal ends what the list does to you.'
    """
    _ = language.gettext
    sentences = [
        _(
            "You, or your server, are on the list “{lists}”, which other people keep.",
            lists=", ".join(names),
        ),
        _("So your first messages to people you have not been in touch with arrive as requests."),
    ]
    if keeper:
        sentences.append(_("Ask the keeper of the list why: {keeper}.", keeper=keeper))
    else:
        sentences.append(_("Ask the keeper of the list why."))
    sentences.append(
        _(
            "If you think that this is a mistake, appeal here: a granted appeal ends what the "
            "list does to you."
        )
    )
    return " ".join(sentences)


def list_notices(names: tuple[str, ...], keeper: str) -> dict[str, str]:
    """Return that notice by language, in every shipped language.

    >>> list_notices(("cme",), "").keys() == set(LANGUAGES)
    True
    """
    return {code: list_notice(names, keeper, get_language(code)) for code in LANGUAGES}


@lru_cache(maxsize=1_000)
def short_notices(
    outcome: str, until_ms: int | None, challenge: Challenge | None = None, zone: str = "UTC"
) -> dict[str, str]:
    """Return the short notice of an outcome by language, in every shipped language.

    >>> short_notices("restrict", 1_772_373_730_000).keys() == set(LANGUAGES)
    True
    """
    notices = {
        code: short_notice(outcome, until_ms, get_language(code), challenge, zone)
        for code in LANGUAGES
    }
    return {code: text for code, text in notices.items() if text}
