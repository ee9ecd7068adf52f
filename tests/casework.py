"""A small run with a sender and its victims, and a case about it, for tests of cases and bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from factories import HOUR, MINUTE, NOON, events_file
from wavebreak import rules
from wavebreak.edge import Edge
from wavebreak.pipeline import run

KEY = bytes(range(32))
SENDER, OTHER = "+15550100", "other-1"


def sending(account: str, start: int, count: int, network: str) -> list[dict[str, Any]]:
    """A registration, and a minute later messages to strangers, eight a second; some report."""
    found: list[dict[str, Any]] = [
        {"ts": start, "type": "account.registered", "account": account, "ip": network,
         "phone": "+14155550100", "device": f"d-{account}", "attested": False},
    ]  # fmt: skip
    found += [
        {"ts": start + MINUTE + n * 125, "type": "message.sent", "account": account,
         "peer": f"v{n}", "in_contacts": False}
        for n in range(count)
    ]  # fmt: skip
    found += [
        {"ts": start + 2 * MINUTE, "type": "user.reported", "account": f"v{n}", "peer": account}
        for n in range(3)
    ]
    return found


def chatting(start: int, pairs: int) -> list[dict[str, Any]]:
    """People who write with each other."""
    return [
        {"ts": start + n * 7_000 + k * 3_000, "type": "message.sent",
         "account": f"p{(n + k) % pairs}", "peer": f"p{(n + 1 - k) % pairs}", "in_contacts": True}
        for n in range(pairs)
        for k in range(2)
    ]  # fmt: skip


def small_run(directory: Path, **options: Any) -> Path:
    """Run over a small log: people, a sender who is banned, an hour later another."""
    directory.mkdir(parents=True, exist_ok=True)
    events = [
        *chatting(NOON, 40),
        *sending(SENDER, NOON + 10 * MINUTE, 130, "203.0.113.7"),
        *chatting(NOON + 30 * MINUTE, 40),
        *sending(OTHER, NOON + HOUR, 120, "203.0.113.9"),
    ]
    source = events_file(directory / "events.jsonl", sorted(events, key=lambda e: int(e["ts"])))
    run(source, directory / "run", rules.load(), Edge(KEY, None), **options)
    return directory / "run"
