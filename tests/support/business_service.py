"""A service with a business: its portfolio, sends that are asked about, acts, words on consent."""

from __future__ import annotations

import asyncio
from typing import Any

from django.db import connection

from support.service_harness import Running
from wavebreak_business.service.live_platform import LivePlatform, live_platform

BECAUSE = "because a test asks for it"


async def ok(made: Running, method: str, path: str, key: str | None = None, **body: Any) -> Any:
    answer = await made.ask(method, path, key, json=body)
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.content else None


async def register(made: Running, name: str = "shop", number: str = "n1", **more: Any) -> None:
    listed = [{"number": number, "display_name": "Shop"}]
    fields: dict[str, Any] = {"legal_name": "Shop Ltd", "verified": True, "paced": False}
    path = f"/v1/business/{name}"
    await ok(made, "PUT", path, **(fields | {"numbers": listed, "reason": BECAUSE} | more))
    for category in ("marketing", "utility"):
        fields = {"category": category, "language": "he", "status": "approved", "reason": BECAUSE}
        await ok(made, "PUT", f"{path}/templates/{category}", **fields)


def sends(*people: str, template: str | None = "utility", number: str = "n1") -> list[Any]:
    return [
        {"id": f"s-{who}", "number": number, "account": who, "template": template} for who in people
    ]


async def decide(made: Running, some: list[Any], portfolio: str = "shop", key: Any = None) -> Any:
    body = {"portfolio": portfolio, "sends": some}
    return (await ok(made, "POST", "/v1/business/decide", key, **body))["answers"]


def outcomes(answers: list[Any]) -> list[str]:
    return [answer["outcome"] for answer in answers]


async def tell(made: Running, *events: dict[str, Any]) -> Any:
    return await ok(made, "POST", "/v1/business/events", made.keys["ingest"], events=list(events))


async def say(made: Running, *words: dict[str, Any], key: str | None = None) -> Any:
    path = "/v1/business/shop/consents"
    return (await ok(made, "POST", path, key, words=list(words)))["words"]


def word(name: str, account: str, word: str = "granted", **more: Any) -> dict[str, Any]:
    return {"id": name, "account": account, "word": word, "source": "person"} | more


async def own_key(made: Running, portfolio: str = "shop") -> str:
    """A key of a business, bound to its portfolio."""
    body = {"name": portfolio, "scopes": ["business"], "reason": BECAUSE}
    made_key = (await made.ask("POST", "/v1/keys", json=body)).json()
    path = f"/v1/business/{portfolio}/keys/{made_key['prefix']}"
    await ok(made, "PUT", path, reason=BECAUSE)
    return str(made_key["text"])


def live(made: Running) -> LivePlatform:
    return live_platform(made.context, made.service)


async def in_thread(work: Any) -> Any:
    def closing() -> Any:
        try:
            return work()
        finally:
            connection.close()

    return await asyncio.to_thread(closing)
