"""The default model's worlds: which there are, what of them is learned from, and what is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from wavebreak import rules
from wavebreak.errors import FileError
from wavebreak_lab.training.config import load_settings
from wavebreak_lab.training.default_model import (
    PlatformSource,
    import_traces,
    platform_sources,
    replay_platform,
)

SETTINGS = load_settings()
HELD = SETTINGS.default.held_from


def test_platform_sources_keep_held_out_seeds_apart() -> None:
    named = platform_sources(3, 2, 1000, [Path("bg/collegemsg/events.parquet")], SETTINGS.default)
    fit = {source.seed for source in named if not source.held}
    assert [source.seed for source in named if source.held] == [HELD, HELD + 1]
    assert max(fit) < HELD
    assert {source.world for source in named if source.trace} == {"collegemsg"}


def test_platform_sources_take_the_share_of_worlds_with_requests() -> None:
    def asking(share: float) -> list[bool]:
        numbers = msgspec.structs.replace(SETTINGS.default, requests=share)
        return [source.requests for source in platform_sources(60, 40, 1000, [], numbers)]

    assert not any(asking(0.0))
    assert all(asking(1.0))
    some = asking(0.3)
    assert 15 < sum(some) < 45
    assert some == asking(0.3)


def test_import_traces_empty_directory_raises_with_fix(tmp_path: Path) -> None:
    with pytest.raises(FileError) as failed:
        import_traces(tmp_path, tmp_path / "out")
    assert "collegemsg" in str(failed.value.fix)


def test_replay_platform_samples_points_only_for_the_fit() -> None:
    policy = rules.load_policy()
    fit, again, held = (
        replay_platform(PlatformSource(101, held=h), policy, SETTINGS) for h in (False, False, True)
    )
    assert np.array_equal(fit.points.values, again.points.values, equal_nan=True)
    assert fit.votes == again.votes
    assert 1000 < len(fit.points) < len(held.points)
    labelled = {vote.account: vote.family for vote in held.votes}
    assert all(name in labelled for _, name in held.points.accounts)
    assert len({vote.operator for vote in held.votes if vote.label == "abusive"}) >= 3
