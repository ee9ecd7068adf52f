"""When holders are notified, and who else is warned."""

from __future__ import annotations

import re

import msgspec
import pytest

from support.notice_decisions import NOW, decision, policy
from wavebreak.engine.enforcement import notification_time
from wavebreak.notices import (
    LANGUAGES,
    contact_warning,
    get_language,
    is_due,
    load_platform,
    notice_time,
)
from wavebreak.outcomes import NOT_REFUSING, OUTCOMES

FEEDBACK = policy().feedback
WARNS = msgspec.structs.replace(load_platform(), warn_contacts=True)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_notice_waits_as_the_policy_says(outcome: str) -> None:
    made = decision(outcome)
    at = notice_time(made, FEEDBACK)
    assert at == notification_time(FEEDBACK, made["id"], NOW, outcome)
    assert (at == NOW) == (outcome in (*NOT_REFUSING, "challenge"))
    assert is_due(made, FEEDBACK, at)
    assert not is_due(made, FEEDBACK, at - 1)


def test_delay_differs_from_decision_to_decision() -> None:
    times = {notice_time(decision(id=f"d{n}"), FEEDBACK) for n in range(20)}
    assert len(times) == 20


def test_contacts_are_warned_of_a_ban_where_the_operator_wants_it() -> None:
    english = get_language("en")
    assert contact_warning(decision("ban"), platform=load_platform(), language=english) is None
    for outcome in OUTCOMES:
        warning = contact_warning(decision(outcome), platform=WARNS, language=english)
        assert (warning is not None) == (outcome == "ban")


@pytest.mark.parametrize("code", LANGUAGES)
def test_warning_names_nobody(code: str) -> None:
    warning = contact_warning(decision("ban"), platform=WARNS, language=get_language(code))
    assert warning is not None
    text = " ".join((warning.title, *warning.paragraphs))
    assert "account-of-the-holder" not in text
    assert not re.search(r"report|דיווח|\d", text)
    assert warning.direction == get_language(code).direction
