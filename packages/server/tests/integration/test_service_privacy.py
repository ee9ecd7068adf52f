"""What a service must never keep or tell: raw numbers, addresses, devices, content."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from pathlib import Path
from random import Random

import pytest

from support import service_harness
from support.service_harness import abuser
from wavebreak_server.pipeline import observability
from wavebreak_server.slices.webhooks.service import RetryPolicy, WebhookDispatcher

PHONE, IP, DEVICE = "+972541234567", "203.0.113.77", "planted-fingerprint"
CONTENT = "planted-words-of-a-message"
PLANTED = (PHONE, PHONE[1:], IP, DEVICE, CONTENT)
ACCOUNT = "planted-account"
BECAUSE = "because a test asks for it"


def _bodies() -> list[bytes]:
    """Bodies that are taken, refused in part, and broken."""
    good = abuser(account=ACCOUNT)
    good[0] |= {"phone": PHONE, "ip": IP, "device": DEVICE}
    bad = [
        {"ts": 1, "type": "message.sent", "account": ACCOUNT, "peer": "b", "body": CONTENT},
        {"ts": 1, "type": "message.sent", "account": ACCOUNT, "peer": "b", CONTENT: 1},
        {"ts": CONTENT, "type": "message.sent", "account": ACCOUNT, "peer": "b"},
        {"ts": 1, "type": CONTENT, "account": ACCOUNT},
        {"ts": 1, "type": "account.registered", "account": "c", "phone": PHONE + "99999"},
    ]
    texts = [json.dumps([*good, *bad]).encode(), json.dumps(bad).encode()]
    return [*texts, texts[0][:-40], CONTENT.encode(), b"[" * 10_000 + PHONE.encode()]


@pytest.mark.parametrize("kind", service_harness.DATABASES)
def test_planted_personal_data_appears_nowhere(tmp_path: Path, kind: str) -> None:
    root = logging.getLogger()
    handlers, level, stream = root.handlers[:], root.level, io.StringIO()
    observability.configure_logging(stream, logging.DEBUG)
    try:
        with service_harness.migrated(kind, tmp_path):
            told = asyncio.run(_lived(tmp_path))
            told += json.dumps(service_harness.logged())
            kept = service_harness.held()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("uvicorn.access").disabled = False
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert any(line["event"] == "delivery attempted" for line in lines)
    assert ACCOUNT not in stream.getvalue()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert ("wavebreak.sqlite3" in {path.name for path in files}) == (kind == "sqlite")
    assert ACCOUNT.encode() in kept
    for planted in PLANTED:
        assert planted not in stream.getvalue(), planted
        assert planted not in told, planted
        assert planted.encode() not in kept, planted
        for path in files:
            assert planted.encode() not in path.read_bytes(), (path.name, planted)


async def _lived(home: Path) -> str:
    """Everything that a service answered while it was asked all kinds of things."""
    held = service_harness.context()
    dispatcher = WebhookDispatcher(held, Random(1), RetryPolicy(attempts=1, answer_s=0.2))
    answers: list[str] = []
    async with service_harness.running(home, held=held, background=[dispatcher]) as made:
        hook = {"url": "http://127.0.0.1:9/hook", "reason": BECAUSE}
        assert (await made.ask("POST", "/v1/webhooks", json=hook)).status_code == 201
        for body in _bodies():
            kind = {"Content-Type": "application/json"}
            answer = await made.ask("POST", "/v1/events", content=body, headers=kind)
            answers.append(answer.text)
        await made.wait_until_applied()
        for path in (
            f"/v1/accounts/{ACCOUNT}",
            f"/v1/accounts/{PHONE}",
            f"/v1/{IP}",
            "/v1/decisions",
            f"/v1/decisions?{CONTENT}=1",
            "/v1/audit",
        ):
            answers.append((await made.ask("GET", path)).text)
        for path in (f"/v1/accounts/{ACCOUNT}/override", "/v1/labels"):
            answer = await made.ask("POST", path, json={"reason": CONTENT, "x": PHONE})
            answers.append(answer.text)
        async with asyncio.timeout(20):
            while b'webhook_deliveries_total{result="dead_lettered"}' not in held.metrics.text():
                await asyncio.sleep(0.05)
        answers.append((await made.ask("GET", "/metrics")).text)
    return "\n".join(answers)
