"""Short notices to holders, with the time of delivery, and the warning to contacts of a banned one.

A platform shows a notice if an act is refused, or if a sender's places of a limit are nearly used
up. Notices name neither a rule nor a threshold, but the sender's own places; the statement of
reasons says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import notification_time
from wavebreak.languages import LANGUAGES, Language, get_language
from wavebreak.notices.platform import Platform
from wavebreak.notices.statement import outcome_form, read_decision
from wavebreak.notices.texts import TEXTS, Link, present_links
from wavebreak.outcomes import WITHOUT_NOTICE
from wavebreak.rules import Feedback
from wavebreak.schema.events import Challenge


def short_notice(
    outcome: str,
    until_ms: int | None,
    language: Language,
    challenge: Challenge | None = None,
    zone: str = "UTC",
) -> str:
    """Return a short notice of an outcome; empty for an outcome that refuses no act.

    Args:
        outcome: The outcome in force.
        until_ms: The end (None: none).
        language: The language.
        challenge: The kind of challenge that ends the outcome, or raises the allowance.
        zone: IANA name of the time zone of the end.

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
    """Return a notice of a listing by outside lists: effect, contact, and appeal.

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


class ContactWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A warning beside the chat that a banned account had opened.

    The warning names neither the account, which the chat shows, nor a reporter.
    """

    language: str
    direction: str
    title: str
    paragraphs: tuple[str, ...]
    links: tuple[Link, ...]


def notice_time(decision: Mapping[str, Any] | Decision, feedback: Feedback) -> int:
    """Return the time from which a decision's statement is visible to the holder (ms).

    At once, or between the policy's two delays, so that a probing sender learns little
    (`engine.enforcement.notification_time`). A statement is written before and sealed with its
    decision; only its delivery waits.

    >>> decision = {"id": "abc", "ts": 7, "account": "a", "stage": "review", "outcome": "challenge",
    ...     "action": "recover", "until": None, "score": None, "rules": [], "reasons": [],
    ...     "trigger": "", "policy": "", "model": None, "features": ""}
    >>> notice_time(decision, Feedback(delay={"ban": ("1h", "12h")}))
    7
    """
    decision = read_decision(decision)
    return notification_time(feedback, decision.id, decision.ts, decision.outcome, decision.until)


def is_due(decision: Mapping[str, Any] | Decision, feedback: Feedback, now_ms: int) -> bool:
    """Return whether a decision's statement may be shown to the holder now."""
    return notice_time(decision, feedback) <= now_ms


def contact_warning(
    decision: Mapping[str, Any] | Decision, *, platform: Platform, language: Language
) -> ContactWarning | None:
    """Return the warning to people who got a first message of a banned account.

    None where the operator does not warn (`warn_contacts` in platform.toml), or the decision is no
    ban.

    >>> from wavebreak.languages import get_language
    >>> from wavebreak.notices.platform import load_platform
    >>> decision = {"id": "abc", "ts": 7, "account": "a", "stage": "review", "outcome": "ban",
    ...     "action": "ban", "until": None, "score": None, "rules": [], "reasons": [],
    ...     "trigger": "", "policy": "", "model": None, "features": ""}
    >>> contact_warning(decision, platform=load_platform(), language=get_language("en")) is None
    True
    >>> warns = msgspec.structs.replace(load_platform(), warn_contacts=True)
    >>> contact_warning(decision, platform=warns, language=get_language("en")).title
    'This account has been banned'
    """
    if not platform.warn_contacts or read_decision(decision).outcome != "ban":
        return None
    _ = language.gettext
    return ContactWarning(
        language=language.code,
        direction=language.direction,
        title=_("This account has been banned"),
        paragraphs=(
            _(
                "It wrote to you first, and was banned because of automated or bulk messages. We "
                "have not read what it wrote to you."
            ),
            _(
                "Be careful with what you received: do not follow its links, do not pay, and do "
                "not pass on codes or personal details."
            ),
            _(
                "You have done nothing wrong and need not do anything. A ban can be appealed; if "
                "it is reversed, this warning disappears."
            ),
        ),
        links=present_links(Link(_("About automated and bulk messaging"), platform.links.help)),
    )
