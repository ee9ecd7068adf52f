"""Parameters of a sender as numbers from 0 to 1 and back, configuration, feedback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavebreak.errors import PolicyError, UsageError
from wavebreak.rules import Feedback
from wavebreak_lab.red_team.config import MissingReceipts, load_config
from wavebreak_lab.red_team.programme import resolve_families
from wavebreak_lab.red_team.round import FeedbackQueue
from wavebreak_lab.red_team.search import (
    decode,
    describe_changes,
    encode,
    parameter_value,
    search_parameters,
)
from wavebreak_lab.simulation.attackers import PRESETS, REACTION_PRESETS

SETTINGS = load_config()


@pytest.mark.parametrize("name", PRESETS)
def test_decode_keeps_tactic_and_bounds(name: str) -> None:
    sender = PRESETS[name].sender
    parameters = search_parameters(sender, SETTINGS)
    assert len(parameters) >= 5
    size = len(parameters)
    for vector in (np.zeros(size), np.full(size, 0.5), np.ones(size)):
        other = decode(sender, parameters, vector)
        assert (other.work, other.hijack, other.staging) == (
            sender.work,
            sender.hijack,
            sender.staging,
        )
        for parameter, spec in parameters.items():
            assert 0.4 * spec.low <= parameter_value(other, parameter) <= 1.6 * spec.high + 1


def test_decode_of_encoded_sender_restores_it() -> None:
    sender = PRESETS["jitter"].sender
    parameters = search_parameters(sender, SETTINGS)
    same = decode(sender, parameters, encode(sender, parameters))
    assert same.gap == pytest.approx(sender.gap)
    assert same.per_hour == pytest.approx(sender.per_hour)
    assert describe_changes(sender, sender, parameters) == "unchanged"


def test_search_parameters_without_effect_are_left_out() -> None:
    jitter = search_parameters(PRESETS["jitter"].sender, SETTINGS)
    assert not {"lurk_h", "ring_chats", "again"} & jitter.keys()
    assert "lurk_h" in search_parameters(PRESETS["contact-staging"].sender, SETTINGS)
    assert "again" in search_parameters(PRESETS["sharding"].sender, SETTINGS)
    assert "gap" not in search_parameters(PRESETS["typing"].sender, SETTINGS)


def test_describe_changes_names_old_and_new_values() -> None:
    sender = PRESETS["jitter"].sender
    parameters = {"gap": SETTINGS.parameters.write["gap"]}
    slower = decode(sender, parameters, np.ones(1))
    assert describe_changes(sender, slower, parameters) == "45 → 3,600 s between messages"


def test_local_config_replaces_the_shipped_one(tmp_path: Path) -> None:
    assert load_config(tmp_path) == SETTINGS
    (tmp_path / "red_team.toml").write_text("[prices]\nnumber = 1\n")
    with pytest.raises(PolicyError, match=r"red_team\.toml"):
        load_config(tmp_path)


def test_resolve_families_refuses_unknown_names() -> None:
    assert resolve_families([]) == tuple(PRESETS | REACTION_PRESETS)
    assert resolve_families(["blast", "blast"]) == ("blast",)
    with pytest.raises(UsageError):
        resolve_families(["nobody"])


def test_refusals_before_feedback_count_as_missing_receipts() -> None:
    queue = FeedbackQueue("delayed", Feedback(), MissingReceipts(8, 1200))
    for minute in range(30):
        queue.add_refusals(7, 1, minute * 60_000)
    assert [one.kind for one in queue.pop_due(30 * 60_000)] == ["silence"]
    assert queue.pop_due(30 * 60_000) == []


def test_feedback_mode_never_returns_nothing() -> None:
    queue = FeedbackQueue("never", Feedback(), MissingReceipts(8, 1200))
    queue.add_refusals(7, 3, 60_000)
    assert queue.pop_due(1 << 60) == []
