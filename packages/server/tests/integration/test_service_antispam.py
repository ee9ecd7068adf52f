"""The protocol of synapse-http-antispam: requests as its version 0.5.0 sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import service_harness
from support.service_harness import Running
from wavebreak.schema.events import TYPES

BECAUSE = "because a test asks for it"
CANARY = "meet-me-at-the-old-mill"
ROOM = "!chat:home.example"
Test = Callable[[Running], Awaitable[None]]


@pytest.fixture(params=[True, False], ids=["enforcing", "shadow"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Test], None]]:
    """Runs a coroutine against a service that enforces, or not."""

    def run(test: Test) -> None:
        async def whole() -> None:
            async with service_harness.running(tmp_path, enforce=request.param) as made:
                await test(made)

        asyncio.run(whole())

    with service_harness.migrated("sqlite", tmp_path):
        yield run


async def call(made: Running, callback: str, scope: str = "decide", **data: Any) -> Any:
    path = f"/v1/antispam/home.example/{callback}"
    answer = await made.ask("POST", path, made.keys[scope], json=data)
    await made.wait_until_applied()
    return answer


def event(sender: str, room: str, number: int, **more: Any) -> dict[str, Any]:
    """An event as the module formats it, with its content."""
    return {
        "type": "m.room.message", "sender": sender, "room_id": room, "event_id": f"$event{number}",
        "origin_server_ts": 1, "content": {"msgtype": "m.text", "body": CANARY},
        "unsigned": {"age": 3},
    } | more  # fmt: skip


async def suspend(made: Running, account: str) -> None:
    body = {"verdict": "undetermined", "outcome": "suspend", "hold_s": 9_000, "reason": BECAUSE}
    answer = await made.ask("POST", f"/v1/accounts/{account}/override", json=body)
    assert answer.status_code == 200, answer.text


def logged() -> list[dict[str, Any]]:
    return [each for each in service_harness.logged() if not each["id"].startswith("override-")]


def test_acts_are_logged_as_what_they_are_without_content(
    served: Callable[[Test], None], tmp_path: Path
) -> None:
    ann, bob, far = "@ann:home.example", "@bob:home.example", "@far:else.example"

    async def test(made: Running) -> None:
        invited = {"inviter": ann, "invitee": bob, "room_id": ROOM}
        answers = [
            await call(made, "user_may_invite", **invited),
            await call(made, "user_may_join_room", user=bob, room=ROOM, is_invited=True),
            await call(made, "check_event_for_spam", event=event(ann, ROOM, 1)),
            await call(made, "check_event_for_spam", event=event(far, "!room:else.example", 2)),
            await call(made, "federated_user_may_invite", event=event(
                far, "!new:else.example", 3, type="m.room.member", state_key=bob)),
            await call(made, "user_may_send_3pid_invite", inviter=ann, medium="email",
                       address=f"{CANARY}@mail.example", room_id=ROOM),
            await call(made, "check_login_for_spam", user_id=ann, device_id="D",
                       initial_display_name=CANARY, request_info=[["ua", "203.0.113.9"]],
                       auth_provider_id=None),
            await call(made, "user_may_create_room", user_id=ann),
            await call(made, "check_username_for_spam", requester_id=ann,
                       user_profile={"user_id": bob, "display_name": CANARY}),
            await call(made, "ping", id="abcdefgh"),
        ]  # fmt: skip
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        assert answers[-1].json() == {"id": "abcdefgh", "status": "ok"}
        found = await asyncio.to_thread(logged)
        kinds = [(TYPES[each["type"]], each["account"]) for each in found]
        assert kinds == [
            ("contact.requested", ann), ("contact.accepted", bob), ("message.sent", ann),
            ("message.sent", far), ("contact.requested", far), ("contact.requested", ann),
            ("session.started", ann),
        ]  # fmt: skip
        assert (found[2]["peer"], found[3]["group"]) == (bob, "!room:else.example")
        assert [bool(each["origin"]) for each in found[:4]] == [False, False, False, True]
        assert CANARY not in json.dumps(found)

    served(test)
    held = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [content for content in held if CANARY.encode() in content]


def test_suspended_account_is_refused_with_a_notice(
    served: Callable[[Test], None], request: pytest.FixtureRequest
) -> None:
    refuses = "enforcing" in request.node.name

    async def test(made: Running) -> None:
        await suspend(made, "@ann:home.example")
        for callback, data in (
            ("user_may_invite", {"inviter": "@ann:home.example", "invitee": "@b:c.example",
                                 "room_id": ROOM}),
            ("check_event_for_spam", {"event": event("@ann:home.example", ROOM, 1)}),
            ("user_may_create_room", {"user_id": "@ann:home.example"}),
        ):  # fmt: skip
            answer = await call(made, callback, **data)
            assert answer.status_code == (403 if refuses else 200)
            if refuses:
                assert answer.json()["errcode"] == "M_FORBIDDEN"
                assert answer.json()["error"].startswith("Your account is suspended")
                assert set(answer.json()["org.wavebreak.notice"]) == {"en", "he"}
        attempted = [each["attempted"] for each in await asyncio.to_thread(logged)]
        assert attempted == [True if refuses else None] * 2

    served(test)


def test_room_of_three_is_a_group(served: Callable[[Test], None]) -> None:
    async def test(made: Running) -> None:
        for invitee in ("@b:home.example", "@c:home.example"):
            invited = {"inviter": "@a:home.example", "invitee": invitee, "room_id": ROOM}
            await call(made, "user_may_invite", **invited)
        await call(made, "check_event_for_spam", event=event("@a:home.example", ROOM, 1))
        kinds = [TYPES[each["type"]] for each in await asyncio.to_thread(logged)]
        assert kinds == ["contact.requested", "group.member_added", "message.sent"]
        assert (await asyncio.to_thread(logged))[2]["group"] == ROOM

    served(test)


def test_only_a_key_that_decides_is_heard(served: Callable[[Test], None]) -> None:
    async def test(made: Running) -> None:
        for scope in ("ingest", "read", "list"):
            assert (await call(made, "ping", scope, id="x")).status_code == 403
        assert (await call(made, "check_media_file_for_spam")).status_code == 422

    served(test)
