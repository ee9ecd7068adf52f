"""Messages on templates, quality, standing and limits, to the webhooks that ask for them."""

from __future__ import annotations

from typing import Any

import msgspec

from support.business_service import BECAUSE, decide, in_thread, ok, register, sends, tell
from support.service_harness import Live, Running
from wavebreak_server.pipeline.platform_messages import message_body
from wavebreak_server.storage.models import Delivery, PlatformMessage

PEOPLE = 400


async def add_webhook(made: Running, *kinds: str) -> str:
    body = {"url": "http://127.0.0.1:9/hook", "kinds": kinds, "reason": BECAUSE}
    answer = await made.ask("POST", "/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def messages(made: Running) -> list[dict[str, Any]]:
    """What waits for webhooks, as it would be sent."""

    def load() -> list[dict[str, Any]]:
        return [
            msgspec.json.decode(message_body(each.message, b"", str(each.webhook_id)))
            for each in Delivery.objects.select_related("message").order_by("id")
        ]

    return list(await in_thread(load))


def test_changes_reach_the_webhooks_that_ask_for_them(served: Live) -> None:
    async def test(made: Running) -> None:
        asking = await add_webhook(made, "business")
        await add_webhook(made, "decisions", "states")
        await register(made, limit=2000)
        told = await messages(made)
        assert {each["webhook"] for each in told} == {asking}
        # The change of status, not the first one of a template that nobody could use before.
        assert [(each["type"], each["data"]) for each in told[-1:]] == [
            (
                "business.template_status",
                {
                    "business": "shop",
                    "template": "utility",
                    "status": "approved",
                    "field": "message_template_status_update",
                },
            )
        ]
        await ok(made, "PUT", "/v1/business/shop", limit=-1, reason=BECAUSE)
        last = (await messages(made))[-1]
        assert (last["type"], last["data"]["limit"]) == ("business.limit", None)

    served(test)


def test_bad_quality_is_told_with_what_follows_from_it(served: Live) -> None:
    async def test(made: Running) -> None:
        await add_webhook(made, "business")
        numbers = [{"number": "n1", "display_name": "Shop", "throughput": "upgraded"}]
        await register(made, limit=-1, numbers=numbers)
        people = [f"p{n}" for n in range(PEOPLE)]
        answers = await decide(made, sends(*people))
        assert all(each["allowed"] for each in answers)
        blocks = [
            {"id": f"b{n}", "type": "user.blocked", "account": who, "peer": "n1"}
            for n, who in enumerate(people[: PEOPLE // 2])
        ]
        await tell(made, *blocks)
        told = [each for each in await messages(made) if each["type"] != "business.limit"]
        kinds = {each["type"] for each in told}
        assert {"business.template_status", "business.standing"} <= kinds
        paused = [each["data"] for each in told if each["data"].get("status") == "paused"]
        assert [each["template"] for each in paused] == ["utility"]
        standing = [each["data"] for each in told if each["type"] == "business.standing"]
        view = await ok(made, "GET", "/v1/business/shop")
        assert standing[-1]["step"] == view["standing"]["step"] > 0
        assert "p1" not in str(await messages(made))

    served(test)


def test_messages_of_a_failed_change_are_not_sent(served: Live) -> None:
    async def test(made: Running) -> None:
        await add_webhook(made, "business")
        await register(made)
        before = await in_thread(PlatformMessage.objects.count)
        taken = {"reason": BECAUSE, "numbers": [{"number": "n1", "display_name": "Mine"}]}
        assert (await made.ask("PUT", "/v1/business/thief", json=taken)).status_code == 409
        assert await in_thread(PlatformMessage.objects.count) == before

    served(test)
