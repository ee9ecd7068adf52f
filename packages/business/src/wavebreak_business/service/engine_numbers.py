"""What the engine knows of a portfolio's numbers: they are of the platform, not people.

A number that is new to the engine is registered there as `business_platform`, so that no rule for
people meets it. One that has acted stays the person that it was: a sender who is known must not
become immune by one more event. One that leaves the portfolio is a person's from then on.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from wavebreak.engine.account_queries import channels
from wavebreak.schema.events import CHANNELS
from wavebreak_server.http.operations import RequestContext
from wavebreak_server.pipeline.pending_requests import Sender
from wavebreak_server.pipeline.request_decoder import Body
from wavebreak_server.slices.acts.actions import log_time_ms

PLATFORM = "business_platform"


async def register_numbers(
    context: RequestContext, portfolio: str, added: Sequence[str], removed: Sequence[str]
) -> None:
    """Tell the engine of a portfolio's numbers what it does not know; returns when it is durable.

    Who repeats it after a fault tells what is missing.
    """
    if not added and not removed:
        return
    known = await context.service.query(channels, [*added, *removed])
    of_platform = {"channel": PLATFORM, "business": portfolio}
    told: list[tuple[str, dict[str, Any]]] = [
        (number, of_platform) for number in added if number not in known
    ]
    told += [
        (number, {"channel": "personal"})
        for number in removed
        if known.get(number) == CHANNELS.index(PLATFORM)
    ]
    if not told:
        return
    at_ms = await log_time_ms(context)
    lines = [
        {"type": "account.registered", "ts": at_ms, "id": f"number-{secrets.token_hex(12)}"}
        | {"account": number}
        | more
        for number, more in told
    ]
    content = b"\n".join(map(msgspec.json.encode, lines))
    await context.service.accept(Body(content, "lines"), Sender(context.key, identifiers=True))
