from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.features import layout
from wavebreak.features.facts import AROUND, decode_events, locate_columns
from wavebreak.features.interner import Interner
from wavebreak.schema.events import CHANNELS, LOG_SCHEMA, MASS_MENTION, NEW_IN_GROUP_S, TYPES

OF_GROUPS = {k for k, t in enumerate(TYPES) if t.startswith("group.") or t == "account.declared"}
NEVER_NULL = {"id", "ts", "type", "account"}
SHORT = st.text("abcé", min_size=1, max_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": SHORT,
    "int64": st.integers(0, 1 << 40),
    "int32": st.integers(0, (1 << 31) - 1),
    "uint32": st.integers(0, (1 << 32) - 1),
    "uint8": st.integers(0, 7),
    "bool": st.booleans(),
}


@st.composite
def logs(draw: st.DrawFn) -> pa.RecordBatch:
    """A batch of the log, perhaps a slice of a larger one, perhaps without some columns."""
    rows = draw(st.integers(1, 20))
    columns = {}
    for field in LOG_SCHEMA:
        if field.name not in NEVER_NULL and draw(st.booleans()):
            continue
        value = VALUES[str(field.type)]
        value = value if field.name in NEVER_NULL else st.none() | value
        listed = draw(st.lists(value, min_size=rows, max_size=rows))
        columns[field.name] = pa.array(listed, field.type)
    begin = draw(st.integers(0, rows - 1))
    return pa.RecordBatch.from_pydict(columns).slice(begin, draw(st.integers(1, rows)))


def plain(row: dict[str, Any]) -> dict[str, int]:
    """What one row comes to but for names, as plain Python says it."""

    def flag(name: str, known: int, true: int) -> int:
        value = row.get(name)
        return 0 if value is None else known | (true if value else 0)

    def whole(name: str, absent: int, top: int = 0xFFFFFFFF) -> int:
        value = row.get(name)
        return absent if value is None else min(value, top)

    flags = flag("in_contacts", layout.CONTACT_KNOWN, layout.IN_CONTACTS)
    flags |= flag("broadcast", 0, layout.BROADCAST) | flag("linked", 0, layout.LINKED)
    flags |= flag("attested", layout.ATTEST_KNOWN, layout.ATTEST_TRUE)
    flags |= flag("attempted", 0, layout.ATTEMPTED)
    flags |= flag("trap", 0, layout.TO_TRAP)
    flags |= layout.BY_OTHERS if row.get("source") in (1, 3, 4) else 0
    flags |= layout.TO_GROUP if row.get("group") is not None else 0
    number, network = row.get("number_country"), row.get("network_country")
    if number is not None and network is not None:
        flags |= layout.MISMATCH_KNOWN | (layout.MISMATCH if number != network else 0)
    count = whole("count", 1)
    new = row.get("group") is not None and whole("joined_s", NEW_IN_GROUP_S) < NEW_IN_GROUP_S
    if new and whole("mentions", 0) >= MASS_MENTION:
        count, flags = row["mentions"], flags | layout.MENTIONS_MANY
    channel = whole("channel", 255)
    nameless = channel == CHANNELS.index("business_platform") and row.get("business") is None
    return {
        "type": row["type"], "outcome": whole("outcome", 255),
        "size": whole("size" if row.get("outcome") is None else "hold_s", 0),
        "lane": whole("lane", 0), "count": count, "hits": whole("hits", 0),
        "attempts": whole("attempts", 0, 65535),
        "media": whole("media", 255), "verification": whole("verification", 255),
        "label": whole("label", 255), "flags": flags,
        "channel": CHANNELS.index("personal") if nameless else channel,
    }  # fmt: skip


def numbers(log: pa.RecordBatch, accounts: Interner, entities: Interner) -> Any:
    ts = log.column("ts").to_numpy().copy()
    return decode_events(locate_columns(log), ts, np.zeros(ts.size, np.uint8), accounts, entities)


@given(logs())
def test_decoded_events_equal_plain_python(log: pa.RecordBatch) -> None:
    accounts, entities = Interner(), Interner()
    events = numbers(log, accounts, entities)
    for row, event in zip(log.to_pylist(), events, strict=True):
        for name, value in plain(row).items():
            assert event[name] == value, name
        assert accounts.texts([event["account"]]).to_pylist() == [row["account"]]
        peer = row.get("peer")
        assert (event["peer"] == layout.NONE) == (peer is None)
        if peer is not None:
            assert accounts.texts([event["peer"]]).to_pylist() == [peer]
        for name in AROUND:
            value, slot = row.get(name), int(event[name])
            unread = value is None or (name == "group" and row["type"] not in OF_GROUPS)
            text = entities.texts([slot - 1]).to_pylist()[0] if slot else None
            assert text == (None if unread else f"{name[0]}:{value}")


@given(logs())
def test_slots_do_not_depend_on_batch_size(log: pa.RecordBatch) -> None:
    whole = numbers(log, Interner(), Interner())
    accounts, entities = Interner(), Interner()
    alone = [numbers(log.slice(row, 1), accounts, entities) for row in range(log.num_rows)]
    assert np.concatenate(alone).tobytes() == whole.tobytes()
