"""The kernel and the slow oracle agree to the last bit on what real people wrote."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from support.parity_streams import Both
from wavebreak.io.csv_import import PRESETS, read_csv
from wavebreak.privacy.pseudonymizer import Pseudonymizer

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
EVENTS, CUTS, SAMPLE = 20_000, 12, 200


def first_events(name: str) -> pa.RecordBatch:
    """The first events of a trace, through the edge."""
    path = TRACES / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"../shared/data/traces/{path.name} is absent")
    preset = PRESETS[name.removesuffix("_150d")]
    wire = read_csv(path, types=preset.types, unit=preset.unit, several=preset.several)
    taken = pa.Table.from_batches(wire).slice(0, EVENTS).combine_chunks().to_batches()[0]
    return Pseudonymizer(b"k" * 32).apply(taken)


@pytest.mark.parametrize("name", ["collegemsg", "copenhagen", "email_eu_150d", "irc_ubuntu"])
def test_kernel_and_oracle_agree_at_a_dozen_cuts_of_a_real_trace(name: str) -> None:
    log = first_events(name)
    both, rng, compared = Both(accounts=4096), random.Random(name), 0
    step = log.num_rows // CUTS + 1
    for start in range(0, log.num_rows, step):
        both.take(log.slice(start, step))
        seen = sorted(both.naive.facts)
        sample = rng.sample(seen, min(SAMPLE, len(seen)))
        assert both.differences(sample) == []
        compared += len(sample)
    assert compared >= CUTS * SAMPLE // 2
