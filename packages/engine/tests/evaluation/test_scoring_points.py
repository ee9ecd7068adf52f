"""Points of a replay, and the labels that its log holds."""

from __future__ import annotations

import pyarrow as pa

from support.factories import NOON
from wavebreak.engine import Engine
from wavebreak.evaluation.scoring_points import record_points
from wavebreak.rules import load_policy
from wavebreak.schema.events import LABELS, LOG_SCHEMA, SOURCES, TYPES


def _log(*events: tuple[str, dict[str, int]]) -> pa.RecordBatch:
    rows = [
        {"id": f"e{k}", "ts": NOON + k, "type": TYPES.index(kind), "account": "a"} | fields
        for k, (kind, fields) in enumerate(events)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=LOG_SCHEMA)


def _votes(log: pa.RecordBatch) -> list[tuple[str, str]]:
    engine = Engine(load_policy(), enforce=False, record=True)
    return [(vote.label, vote.source) for vote in record_points(engine, [log], "").votes]


def test_a_log_without_columns_of_labels_has_no_votes() -> None:
    whole = _log(("account.registered", {}), ("group.created", {}))
    assert _votes(whole.drop_columns(["label", "source"])) == []


def test_a_label_without_a_source_is_an_analysts() -> None:
    label = LABELS.index("abusive")
    named = _log(
        ("account.registered", {}),
        ("label.assigned", {"label": label, "source": SOURCES.index("honeypot")}),
    )
    assert _votes(named) == [("abusive", "honeypot")]
    assert _votes(named.drop_columns(["source"])) == [("abusive", "analyst")]
