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

RULE_TITLES = {
    "confirmed_abusive": msgid("Confirmed as abusive"),
    "evidence_after_three_restrictions": msgid("Evidence after three restrictions"),
    "evidence_of_unwanted_messages": msgid("Unwanted messages"),
    "false_reporters": msgid("False reports"),
    "first_contact_allowance": msgid("Too many first messages"),
    "impossible_acts": msgid("Faster than a person"),
    "label_by_others": msgid("Labelled by another system"),
    "mass_mentions": msgid("Mass mentions in groups"),
    "operator_with_evidence": msgid("Operator with evidence"),
    "recipients_gone": msgid("Messages that reach nobody"),
    "strangers_complain": msgid("Complaints of strangers"),
    "strangers_in_groups": msgid("Strangers added to groups"),
    "takeover": msgid("Possible takeover"),
    "unwelcome_operator": msgid("Unwelcome operator"),
}
"""What a shipped rule is called."""


def rule_title(rule: str) -> str:
    """Return what a rule is called; one of a policy's own as its id is written.

    >>> rule_title("strangers_complain"), rule_title("our_own")
    ('Complaints of strangers', 'our own')
    """
    return translate(RULE_TITLES.get(rule, rule.replace("_", " ")))


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
    rules = {
        rule.id: {"about": translate(rule.about), "title": rule_title(rule.id)}
        for rule in deciding.policy.rules
    }
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
