from __future__ import annotations

from typing import Any

import pytest
from wavebreak_client import State

from synapse_support.fakes import Setting, done
from wavebreak_synapse import tables
from wavebreak_synapse.config import Notices
from wavebreak_synapse.enforcement import Actions, Enforcement
from wavebreak_synapse.notices import text_of

ANN, BOB = "@ann:hs.test", "@bob:hs.test"


class Enforcing(Setting):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.acts: list[tuple[str, bool]] = []
        self.notices: list[tuple[str, str]] = []
        self.fails = False
        self.user(ANN)
        self.user(BOB)
        self.restart()

    def restart(self) -> None:
        actions = Actions(self._suspend, self._notify)
        self.enforcement = Enforcement(
            self.settings, self.host, self.service, actions, self.metrics
        )

    async def _suspend(self, account: str, suspended: bool) -> None:
        self.acts.append((account, suspended))

    async def _notify(self, account: str, text: str) -> None:
        if self.fails:
            raise RuntimeError
        self.notices.append((account, text))

    def set(self, account: str, outcome: str, number: int, **more: Any) -> None:
        self.client.known[account] = State(account, outcome, number=number, **more)

    def run(self) -> None:
        done(self.enforcement.run())


def test_suspension_is_set_once_and_undone_at_a_lift() -> None:
    setting = Enforcing()
    setting.set(ANN, "suspend", 1)
    setting.run()
    setting.run()
    setting.set(ANN, "restrict", 2)
    setting.run()
    assert setting.acts == [(ANN, True), (ANN, False)]


def test_limit_and_restrict_suspend_nobody() -> None:
    setting = Enforcing()
    setting.set(ANN, "limit", 1)
    setting.set(BOB, "restrict", 2)
    setting.run()
    assert setting.acts == []


def test_suspension_by_an_administrator_is_left_alone() -> None:
    setting = Enforcing()
    setting.users[ANN].suspended = True
    setting.set(ANN, "ban", 1)
    setting.run()
    setting.set(ANN, "allow", 2)
    setting.run()
    assert setting.acts == []


def test_exempt_and_remote_accounts_are_not_suspended() -> None:
    setting = Enforcing(exempt={"users": [ANN]})
    setting.set(ANN, "ban", 1)
    setting.set("@rem:other.test", "ban", 2)
    setting.run()
    assert setting.acts == []


def test_nothing_is_undone_while_states_are_not_current() -> None:
    setting = Enforcing()
    setting.set(ANN, "ban", 1)
    setting.run()
    setting.client.known.clear()
    setting.client.fresh = False
    setting.run()
    assert setting.acts == [(ANN, True)]


def test_restart_repeats_and_then_undoes_suspensions() -> None:
    setting = Enforcing()
    setting.set(ANN, "ban", 1)
    setting.run()
    setting.client.known.clear()
    setting.restart()
    setting.run()
    assert setting.acts == [(ANN, True), (ANN, True), (ANN, False)]
    assert tables.read_suspensions(setting.database.cursor()) == set()


def test_notice_waits_until_it_is_due() -> None:
    setting = Enforcing()
    setting.set(ANN, "restrict", 1, notify_at_ms=setting.now + 10)
    setting.run()
    assert setting.notices == []
    setting.now += 10
    setting.run()
    setting.run()
    assert [account for account, _ in setting.notices] == [ANN]


def test_lift_is_noticed_once_also_after_a_restart() -> None:
    setting = Enforcing()
    setting.set(ANN, "limit", 1)
    setting.run()
    setting.client.known.clear()
    setting.restart()
    setting.run()
    setting.run()
    assert [text for _, text in setting.notices][1:] == [
        "The restriction of your account has ended."
    ]


def test_lift_before_a_due_notice_sends_nothing() -> None:
    setting = Enforcing()
    setting.set(ANN, "limit", 1, notify_at_ms=setting.now + 10)
    setting.run()
    setting.client.known.clear()
    setting.run()
    assert setting.notices == []


def test_same_outcome_anew_sends_no_second_notice() -> None:
    setting = Enforcing()
    for number, outcome in enumerate(("limit", "limit", "restrict"), 1):
        setting.set(ANN, outcome, number)
        setting.run()
    assert len(setting.notices) == 2


def test_notice_that_fails_stops_nothing() -> None:
    setting = Enforcing()
    setting.fails = True
    setting.set(ANN, "suspend", 1)
    setting.set(BOB, "suspend", 2)
    setting.run()
    assert setting.acts == [(ANN, True), (BOB, True)]


def test_notice_is_in_the_language_of_the_holder() -> None:
    setting = Enforcing(language="en")
    setting.database.put("pushers", user_name=ANN, ts=1, lang="he-IL")
    setting.set(ANN, "ban", 1)
    setting.run()
    assert setting.notices == [(ANN, "החשבון שלך חסום.")]


@pytest.mark.parametrize("outcome", ["limit", "restrict", "suspend", "ban", "lifted"])
@pytest.mark.parametrize("language", ["en", "he"])
def test_notice_names_end_and_objection(outcome: str, language: str) -> None:
    settings = Notices(objection="Write to us.")
    text = text_of(settings, outcome, 1_800_000_000_000, language, "en")
    assert ("Write to us." in text) == (outcome != "lifted")
    assert ("2027-01-15 08:00" in text) == (outcome in ("limit", "restrict", "suspend"))
    assert "{" not in text


def test_notice_texts_of_the_configuration_come_first() -> None:
    settings = Notices(texts={"de": {"limit": "Langsamer{until}."}})
    assert text_of(settings, "limit", None, "de", "en") == "Langsamer."
    assert text_of(settings, "ban", None, "de", "en") == "Your account is blocked."


def test_recipient_of_a_request_is_asked_once_in_the_language_of_the_account() -> None:
    setting = Enforcing(language="he")
    setting.client.allowances[ANN] = {"outcome": "request", "deliver_as": "request"}
    for _ in range(2):
        assert done(setting.calls.user_may_create_room(ANN, {"invite": [BOB]})) == "NOT_SPAM"
        setting.run()
    [(account, text)] = setting.notices
    assert (account, ANN in text, "האם זה אדם מוכר?" in text) == (BOB, True, True)
    done(setting.calls.user_may_create_room(ANN, {"invite": ["@rem:other.test"]}))
    setting.run()
    assert len(setting.notices) == 1, "another server's accounts get no notices"


def test_sender_near_a_limit_is_told_the_places_once_a_limit() -> None:
    setting = Enforcing()
    near = {"outcome": "limit", "near_limit": True, "notice": {"en": "Two chats are left."}}
    for until_ms, due in ((5, setting.now + 1), (5, None), (5, None), (9, None)):
        setting.client.allowances[ANN] = near | {"until_ms": until_ms, "notify_at_ms": due}
        done(setting.calls.user_may_create_room(ANN, {"invite": [BOB]}))
        setting.run()
    assert setting.notices == [(ANN, "Two chats are left.")] * 2


def test_message_that_cannot_be_sent_is_not_sent_again() -> None:
    setting = Enforcing()
    setting.fails = True
    setting.client.allowances[ANN] = {"outcome": "request", "deliver_as": "request"}
    done(setting.calls.user_may_create_room(ANN, {"invite": [BOB]}))
    setting.run()
    setting.fails = False
    setting.run()
    assert setting.notices == []
