"""When a holder is notified, and the warning to people whom a banned account wrote to first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wavebreak.engine.decision import Decision
from wavebreak.engine.enforcement import notification_time
from wavebreak.languages import Language
from wavebreak.notices.page import Link, present_links
from wavebreak.notices.platform import Platform
from wavebreak.notices.statement import read_decision
from wavebreak.rules import Feedback


class ContactWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A warning beside the chat that a banned account had opened.

    It names neither the account, which the chat shows, nor anybody who reported it.
    """

    language: str
    direction: str
    title: str
    paragraphs: tuple[str, ...]
    links: tuple[Link, ...]


def notice_time(decision: Mapping[str, Any] | Decision, feedback: Feedback) -> int:
    """Return when a decision's statement becomes visible to its holder (ms).

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
    """Return whether a decision's statement may be shown to its holder now."""
    return notice_time(decision, feedback) <= now_ms


def contact_warning(
    decision: Mapping[str, Any] | Decision, *, platform: Platform, language: Language
) -> ContactWarning | None:
    """Return the warning to people whom a banned account wrote to first.

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
