"""The default model's worlds: which there are, what of them is learned from, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavebreak import rules
from wavebreak.errors import FileError
from wavebreak.training.config import load
from wavebreak.training.default_model import Source, gather, imported, sources

SETTINGS = load()
HELD = SETTINGS.default.held_from


def test_held_worlds_are_others_than_those_of_the_fit_and_a_trace_keeps_its_people() -> None:
    named = sources(3, 2, 1000, [Path("bg/collegemsg/events.parquet")], SETTINGS.default)
    fit = {source.seed for source in named if not source.held}
    assert [source.seed for source in named if source.held] == [HELD, HELD + 1]
    assert max(fit) < HELD
    assert {source.world for source in named if source.trace} == {"collegemsg"}


def test_a_directory_without_traces_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileError) as failed:
        imported(tmp_path, tmp_path / "out")
    assert "collegemsg" in str(failed.value.fix)


def test_a_world_is_gathered_alike_each_time_and_thinned_only_for_the_fit() -> None:
    policy = rules.load()
    fit, again, held = (gather(Source(101, held=h), policy, SETTINGS) for h in (False, False, True))
    assert np.array_equal(fit.points.values, again.points.values, equal_nan=True)
    assert fit.claims == again.claims
    assert 1000 < len(fit.points) < len(held.points)
    labelled = {claim.account: claim.family for claim in held.claims}
    assert all(name in labelled for _, name in held.points.accounts)
    assert len({claim.operator for claim in held.claims if claim.label == "abusive"}) >= 3
