"""Readers of the payloads that providers document, by their shape.

`read_payload` takes one decoded JSON value. Fields that are not named here are not looked at. The
text of a person's message is compared with the words of opting out (`inbound`), and not kept.
"""

from __future__ import annotations

from typing import Any

from wavebreak_business.providers import bird, infobip, sinch, twilio, whatsapp
from wavebreak_business.providers.envelope import unwrap
from wavebreak_business.providers.shapes import describe_shape
from wavebreak_business.record_table import RecordTable

READERS = {each.NAME: each.read for each in (whatsapp, twilio, infobip, sinch, bird)}
"""What reads the payloads of each provider; each returns whether the payload is one of its own."""
MAX_DEPTH = 4
"""Lists and envelopes within each other that are opened."""


def read_payload(
    payload: Any, table: RecordTable, at_ms: int | None = None, depth: int = 0
) -> None:
    """Add what a payload says to a table; one of unknown shape is counted.

    Args:
        payload: A decoded JSON value: a payload, a list of them, or one in an envelope of the log.
        table: What takes its records.
        at_ms: When it was received, where an envelope says so.
        depth: In how many lists and envelopes it lies.
    """
    if isinstance(payload, list) and depth < MAX_DEPTH:
        for each in payload:
            read_payload(each, table, at_ms, depth + 1)
        return
    if isinstance(payload, dict):
        for provider, read in READERS.items():
            if read(payload, table, at_ms):
                table.payloads[provider] += 1
                return
        if depth < MAX_DEPTH and (inner := unwrap(payload)) is not None:
            read_payload(inner.payload, table, inner.at_ms or at_ms, depth + 1)
            return
    table.add_unread(describe_shape(payload, table.identities))
