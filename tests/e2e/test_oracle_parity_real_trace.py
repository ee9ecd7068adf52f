"""The kernel and the slow oracle agree to the last bit on what real people wrote."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from support import traces
from support.parity_streams import Both
from wavebreak.privacy.pseudonymizer import Pseudonymizer

EVENTS, CUTS, SAMPLE = 20_000, 12, 200


def first_events(name: str) -> pa.RecordBatch:
    """The first events of a trace, through the edge."""
    return Pseudonymizer(b"k" * 32).apply(traces.first_events(name, EVENTS))


@pytest.mark.parametrize("name", ["collegemsg", "copenhagen", "email_eu_150d", "irc_ubuntu"])
def test_kernel_equals_oracle_at_twelve_cuts_of_a_real_trace(name: str) -> None:
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
