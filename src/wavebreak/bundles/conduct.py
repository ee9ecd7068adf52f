"""An account's conduct in numbers, recounted from an exhibit's log, and its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wavebreak import charts
from wavebreak.bundles.rerunning import LOG
from wavebreak.decision import Decision
from wavebreak.explain import Timeline
from wavebreak.explain.story import busiest_minute
from wavebreak.explain.timeline import KINDS, read_timeline

NUMBERS = "conduct.json"
OWN = ("sends", "group_sends", "lookups", "groups_created", "members_added", "sessions")
"""Kinds of event that an account does itself, by which its conduct is dated."""
LABELS = {
    "sends": "messages sent",
    "group_sends": "of them to groups",
    "first_contacts": "first messages to people never in touch",
    "stranger_sends": "messages to people who had not written to it",
    "replies": "first answers received from them",
    "received": "messages received",
    "reports": "reports against it",
    "blocks": "blocks against it",
    "undeliverable": "messages that could not be delivered",
    "lookups": "look-ups of numbers",
    "groups_created": "groups created",
    "members_added": "members added to groups",
    "sessions": "sessions",
    "registered": "registrations",
    "challenges": "challenges answered",
}


class Conduct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an account did, counted: events by kind, numbers looked up, the most sent in a minute.

    `first` and `last` are its first and last own act (ms; None: none in the log).
    """

    counts: dict[str, Annotated[int, Meta(ge=0)]]
    looked_up: int
    busiest_minute: int
    first: int | None
    last: int | None


def counted(timeline: Timeline) -> Conduct:
    """Count a timeline."""
    ends = [int(timeline[kind][at]) for kind in OWN if len(timeline[kind]) for at in (0, -1)]
    return Conduct(
        {kind: len(timeline[kind]) for kind in KINDS},
        timeline.looked_up,
        busiest_minute(timeline["sends"]),
        min(ends, default=None),
        max(ends, default=None),
    )


def of_exhibit(directory: Path, accounts: tuple[str, ...]) -> dict[str, Timeline]:
    """Read each account's timeline from the log of an exhibit."""
    return {account: read_timeline(directory / LOG, account) for account in accounts}


def picture(name: str, account: str, timeline: Timeline, decisions: list[Decision]) -> str | None:
    """Draw what an account did and what was decided on it; None where the log has nothing."""
    window = timeline.window
    if window is None:
        return None
    names = {kind: kind.replace("_", " ") for kind in KINDS}
    shown: dict[str, Any] = {names[k]: timeline[k] for k in ("sends", "first_contacts", "replies")}
    lanes = {names[kind]: timeline[kind] for kind in KINDS if len(timeline[kind])}
    marks = [(made.ts, made.outcome) for made in decisions]
    start, end = window
    edge = max(1_000, (end - start) // 50)
    return charts.timeline(
        name, f"Account {account}", shown, lanes, marks, (start - edge, end + edge)
    )
