"""Dials: what a search may turn, in numbers from 0 to 1 and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wavebreak.errors import PolicyError, UsageError
from wavebreak.red_team.config import Silence, load_terms
from wavebreak.red_team.feedback import Desk
from wavebreak.red_team.search_space import at, dials_of, moves, places, read
from wavebreak.red_team.tournament import chosen
from wavebreak.rules import Feedback
from wavebreak.simulation.attackers import PRESETS

TERMS = load_terms()


@pytest.mark.parametrize("name", PRESETS)
def test_every_sender_can_be_turned_and_stays_what_it_is(name: str) -> None:
    sender = PRESETS[name].sender
    dials = dials_of(sender, TERMS)
    assert len(dials) >= 5
    for where in (np.zeros(len(dials)), np.full(len(dials), 0.5), np.ones(len(dials))):
        other = at(sender, dials, where)
        assert (other.work, other.hijack, other.staging) == (
            sender.work,
            sender.hijack,
            sender.staging,
        )
        for dial, spec in dials.items():
            assert 0.4 * spec.low <= read(other, dial) <= 1.6 * spec.high + 1


def test_a_sender_at_its_own_places_is_nearly_itself() -> None:
    sender = PRESETS["jitter"].sender
    dials = dials_of(sender, TERMS)
    same = at(sender, dials, places(sender, dials))
    assert same.gap == pytest.approx(sender.gap)
    assert same.per_hour == pytest.approx(sender.per_hour)
    assert moves(sender, sender, dials) == "stays as it was"


def test_no_search_turns_what_does_nothing() -> None:
    assert not {"lurk_h", "ring_chats", "again"} & dials_of(PRESETS["jitter"].sender, TERMS).keys()
    assert "lurk_h" in dials_of(PRESETS["contact-staging"].sender, TERMS)
    assert "again" in dials_of(PRESETS["sharding"].sender, TERMS)
    assert "gap" not in dials_of(PRESETS["typing"].sender, TERMS)


def test_moves_are_told_in_words_from_where_to_where() -> None:
    sender = PRESETS["jitter"].sender
    dials = {"gap": TERMS.dials.write["gap"]}
    slower = at(sender, dials, np.ones(1))
    assert moves(sender, slower, dials) == "45 → 3,600 s between messages"


def test_local_terms_take_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    assert load_terms(tmp_path) == TERMS
    (tmp_path / "arena.toml").write_text("[price]\nnumber = 1\n")
    with pytest.raises(PolicyError, match=r"arena\.toml"):
        load_terms(tmp_path)


def test_a_family_that_is_not_known_is_named_an_error() -> None:
    assert chosen([]) == tuple(PRESETS)
    assert chosen(["blast", "blast"]) == ("blast",)
    with pytest.raises(UsageError):
        chosen(["nobody"])


def test_a_refusal_is_an_error_once_told_and_silence_before() -> None:
    desk = Desk("delayed", Feedback(), Silence(8, 1200))
    for minute in range(30):
        desk.refused(7, 1, minute * 60_000)
    told = desk.told(30 * 60_000)
    assert [answer.kind for answer in told] == ["silence"]
    assert desk.told(30 * 60_000) == []


def test_nobody_is_told_anything_where_nothing_is_told() -> None:
    desk = Desk("never", Feedback(), Silence(8, 1200))
    desk.refused(7, 3, 60_000)
    assert desk.told(1 << 60) == []
