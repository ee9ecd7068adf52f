"""The story of an account, as `wavebreak explain` tells it, from what decides and the log.

A page tells it at once from the account's totals and its decisions; the log adds when what was.
"""

from __future__ import annotations

from pathlib import Path

from wavebreak.engine.account_queries import account_rows
from wavebreak.explain.collect import Explanation, timeline_of_events
from wavebreak.explain.narrative import status_sentence, story_paragraphs
from wavebreak.languages import msgid
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.accounts.service import AccountEvents, newest_decisions
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.texts import page_language, translate

GAP = msgid(
    "Only the newest part of the log was read: it does not reach back to the account's begin."
)


def story(acting: ActingUser, account: str, read: AccountEvents | None = None) -> list[str]:
    """Return paragraphs: what is in force, then what the account did and what was decided.

    Args:
        acting: Who asks.
        account: The account.
        read: Its events, which say when what was, and what followed a decision. Without them, or
            where they do not reach back to its begin, its totals stand for them.

    Raises:
        ApiError: The log has no such account (404).
    """
    row = acting.query(account_rows, [account]).get(account)
    if row is None:
        raise ApiError(
            404, translate("the log has no such account"), fix=translate("search for it")
        )
    deciding = acting.deciding
    rules = {rule.id: {"about": translate(rule.about)} for rule in deciding.policy.rules}
    decisions = newest_decisions(account)
    timeline, gap = None, ""
    if read is not None and read.complete:
        timeline = timeline_of_events(read.events, account)
    elif read is not None:
        gap = translate(GAP)
    explanation = Explanation(
        run_dir=Path(), account=account, row=row, decisions=decisions, rules=rules, actions={},
        mode="enforce" if deciding.enforce else "shadow", timeline=timeline, gap=gap,
        language=page_language(),
    )  # fmt: skip
    return [status_sentence(explanation), *story_paragraphs(explanation)]
