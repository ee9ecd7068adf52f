"""The example data that the engine ships is what the script makes."""

from __future__ import annotations

import pyarrow.parquet as pq

from experiments import make_example
from wavebreak import example
from wavebreak.evaluation import labels as label_files
from wavebreak.schema.events import WIRE_SCHEMA

MAX_BYTES = 1 << 20


def test_example_is_what_the_script_makes() -> None:
    events, labels = make_example.make_events()
    assert pq.read_table(example.example_path()).equals(events)
    assert label_files.read_labels(example.example_labels_path()) == [
        label_files.Label(*label) for label in labels
    ]


def test_example_is_small_and_carries_no_phone_and_no_address() -> None:
    table = pq.read_table(example.example_path())
    assert all(WIRE_SCHEMA.field(field.name).equals(field) for field in table.schema)
    assert not {"phone", "ip"} & set(table.column_names)
    assert 60_000 <= len(table) <= 120_000
    assert 2000 <= len(label_files.read_labels(example.example_labels_path())) <= 4000
    files = [path for path in example.example_path().parent.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_example_has_three_campaigns_and_honest_people_like_them() -> None:
    labels = label_files.read_labels(example.example_labels_path())
    campaigns = {campaign.name for campaign in make_example.CAMPAIGNS}
    assert {label.family for label in labels if label.label == "abusive"} == campaigns
    personas = {persona.name for persona, _ in make_example.PERSONAS}
    assert {label.family for label in labels if label.label == "benign"} == personas | {"person"}
