from __future__ import annotations

from typing import Any

import pytest
from wavebreak_client import State

from synapse_support.fakes import Setting, done
from wavebreak_synapse import tables
from wavebreak_synapse.take_back import REACH_MS, SETTLED_MS, TakeBack, Withdrawals

ZED, ANN, FAR = "@zed:hs.test", "@ann:hs.test", "@far:remote.test"


class Taking(Setting):
    """A restricted account with invitations; `acts` is what was done, `refuses` what fails."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.now = REACH_MS * 2
        self.acts: list[tuple[str, ...]] = []
        self.refuses: set[str] = set()
        self.user(ZED)
        self.client.known[ZED] = State(ZED, "restrict", number=7)
        acts = Withdrawals(self._act("remove"), self._act("decline"), self._act("redact"))
        self.taking = TakeBack(self.settings, self.host, self.service, acts, self.metrics)

    def _act(self, name: str) -> Any:
        async def act(*arguments: str) -> None:
            if name in self.refuses:
                raise PermissionError
            self.acts.append((name, *arguments))

        return act

    def invite(self, room: str, person: str, *, age_ms: int = 0) -> None:
        self.database.room(room, ZED)
        name = f"{room}/{person}"
        self.database.put(
            "events", event_id=name, type="m.room.member", room_id=room, sender=ZED,
            state_key=person, received_ts=self.now - age_ms,
        )  # fmt: skip
        self.database.put(
            "room_memberships", event_id=name, user_id=person, sender=ZED, room_id=room,
            membership="invite", event_stream_ordering=1,
        )  # fmt: skip
        self.database.put(
            "current_state_events", room_id=room, type="m.room.member", state_key=person,
            membership="invite", event_id=name,
        )  # fmt: skip

    def run(self) -> list[tuple[str, ...]]:
        self.acts.clear()
        done(self.taking.run())
        return list(self.acts)


def test_invitation_is_removed_and_looked_for_once_more() -> None:
    setting = Taking()
    setting.invite("!1", ANN)
    assert setting.run() == [("remove", ZED, ANN, "!1")]
    assert setting.run() == []
    assert tables.read_taken_back(setting.database.cursor()) == {}
    setting.invite("!2", ANN)
    setting.now += SETTLED_MS
    assert ("remove", ZED, ANN, "!2") in setting.run()
    assert tables.read_taken_back(setting.database.cursor()) == {ZED: 7}
    assert setting.run() == []


@pytest.mark.parametrize(
    ("person", "instead"),
    [(ANN, ("decline", ANN, "!1")), (FAR, ("redact", ZED, "!1", f"!1/{FAR}"))],
)
def test_who_cannot_be_removed_is_freed_otherwise(person: str, instead: tuple[str, ...]) -> None:
    setting = Taking()
    setting.invite("!1", person)
    setting.refuses.add("remove")
    assert setting.run() == [instead]


def test_old_invitations_and_other_people_are_left_alone() -> None:
    setting = Taking(exempt={"users": ["@ops:hs.test"]})
    setting.invite("!1", ANN, age_ms=REACH_MS + 1)
    for number, account in enumerate(("@ops:hs.test", FAR, ANN), 1):
        setting.user(account)
        outcome = "limit" if account == ANN else "ban"
        setting.client.known[account] = State(account, outcome, number=number)
    assert setting.run() == []


def test_one_failure_stops_no_other_and_stale_states_stop_all() -> None:
    setting = Taking()
    setting.invite("!1", ANN)
    setting.invite("!2", FAR)
    setting.client.fresh = False
    assert setting.run() == []
    setting.client.fresh = True
    setting.refuses |= {"remove", "decline"}
    assert setting.run() == [("redact", ZED, "!2", f"!2/{FAR}")]
