"""Events on arrival: those without a time, late ones, repeated ones, and clocks that are wrong."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from support import service_harness
from support.service_harness import Live, Running, now_ms
from wavebreak_server.pipeline.log_clock import ClockSkews


def sent(number: int, **more: Any) -> dict[str, Any]:
    event = {"id": f"e{number}", "type": "message.sent", "account": "ann", "peer": f"p{number}"}
    return event | more


async def post(made: Running, events: Any) -> Any:
    answer = await made.ask("POST", "/v1/events", json=events)
    assert answer.status_code == 202, answer.text
    await made.wait_until_applied()
    return answer.json()


def test_event_without_a_time_is_dated_by_the_service(live: Live) -> None:
    async def test(made: Running) -> None:
        before = now_ms()
        assert (await post(made, [sent(1), sent(2, ts=before)]))["accepted"] == 2
        answer = await made.ask("POST", "/v1/decide?mode=record", json=sent(3))
        assert answer.status_code == 200, answer.text
        await made.wait_until_applied()
        found = await asyncio.to_thread(service_harness.logged)
        times = {event["id"]: event["ts"] for event in found}
        assert before <= times["e1"] <= times["e3"] <= now_ms()
        assert times["e2"] == before

    live(test)


def test_answer_counts_late_and_repeated_events(live: Live) -> None:
    async def test(made: Running) -> None:
        now = now_ms()
        first = await post(made, [sent(1, ts=now), sent(2, ts=now)])
        assert (first["late"], first["duplicates"]) == (0, 0)
        again = await post(made, [sent(1, ts=now), sent(3, ts=now - 120_000), sent(4, ts=now)])
        assert (again["accepted"], again["late"], again["duplicates"]) == (3, 1, 1)
        assert (again["refused"], again["refused_total"]) == ([], 0)

    live(test)


def test_clock_that_is_behind_is_measured_and_reported(live: Live) -> None:
    async def test(made: Running) -> None:
        prefix = made.key.split("_")[1]
        await post(made, [sent(1, ts=now_ms() - 600_000)])
        text = (await made.ask("GET", "/metrics")).text
        found = re.search(rf'wavebreak_clock_skew_seconds{{key="{prefix}"}} ([0-9.]+)', text)
        assert found is not None
        assert 599 < float(found[1]) < 700
        ready = await made.ask("GET", "/readyz", made.keys["read"])
        assert f"the newest event of key {prefix} is 60" in ready.text
        assert (await made.ask("GET", "/readyz", "")).text == "ready\n"
        await post(made, [sent(2)])
        assert (await made.ask("GET", "/readyz", made.keys["read"])).text == "ready\n"

    live(test)


def test_skews_of_many_keys_are_bounded() -> None:
    skews = ClockSkews(60_000)
    for n in range(300):
        skews.note(f"key{n}", 100_000, 100_000 - n)
    assert len(skews.seconds) == ClockSkews.MAX_KEYS + 1
    assert skews.seconds[ClockSkews.OTHERS] == 0.299
