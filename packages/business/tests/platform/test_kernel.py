"""Boundaries of the platform's rules: the last allowed, the first refused, the opening instant."""

from __future__ import annotations

import numpy as np
import pytest

from support.platform_scene import DAY, HOUR, MINUTE, NOON, Scene, limits, unpaced
from support.platform_streams import compare
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.state import State


def test_window_is_open_until_exactly_a_day_has_passed() -> None:
    scene = Scene()
    assert scene.send(1, NOON, None) == (k.WINDOW_CLOSED, k.NEVER)
    scene.write(1, NOON)
    assert scene.send(1, NOON + DAY - 1, None)[0] == k.IN_WINDOW
    assert scene.send(1, NOON + DAY, None) == (k.WINDOW_CLOSED, k.NEVER)


def test_free_entry_point_keeps_the_window_open_for_three_days() -> None:
    scene = Scene()
    scene.write(1, NOON, by_entry=True)
    scene.write(1, NOON + 1)
    assert scene.send(1, NOON + 3 * DAY - 1, None)[0] == k.IN_WINDOW
    assert scene.send(1, NOON + 3 * DAY, None)[0] == k.WINDOW_CLOSED


def test_limit_counts_people_once_and_opens_after_exactly_a_day() -> None:
    scene = Scene(limit=2)
    assert scene.send(1, NOON)[0] == scene.send(2, NOON + 1)[0] == k.SENT
    assert scene.send(3, NOON + 2) == (k.LIMIT, NOON + DAY)
    assert scene.send(1, NOON + HOUR)[0] == k.SENT
    assert scene.send(3, NOON + 2 * HOUR) == (k.LIMIT, NOON + 1 + DAY)
    assert scene.send(3, NOON + DAY)[0] == k.LIMIT
    assert scene.send(3, NOON + DAY + 1)[0] == k.SENT


def test_message_within_a_window_takes_no_place() -> None:
    scene = Scene(limit=1)
    scene.write(1, NOON)
    assert scene.send(1, NOON + 1)[0] == k.IN_WINDOW
    assert scene.send(2, NOON + 2)[0] == k.SENT


def test_undeliverable_message_frees_its_place_and_no_other() -> None:
    scene = Scene(limit=1)
    scene.send(1, NOON)
    scene.send(1, NOON + MINUTE)
    scene.act(k.UNDELIVERABLE, 1, NOON + 2 * MINUTE)
    assert scene.send(2, NOON + 3 * MINUTE) == (k.LIMIT, NOON + DAY)
    scene.act(k.UNDELIVERABLE, 1, NOON + 4 * MINUTE)
    assert scene.send(2, NOON + 5 * MINUTE)[0] == k.SENT


def test_failed_answer_within_a_window_frees_no_place() -> None:
    scene = Scene(limit=1)
    scene.send(1, NOON)
    scene.write(1, NOON + 1)
    assert scene.send(1, NOON + 2, None)[0] == k.IN_WINDOW
    scene.act(k.UNDELIVERABLE, 1, NOON + 3)
    assert scene.send(2, NOON + 4)[0] == k.LIMIT


def test_place_stays_taken_where_sends_count() -> None:
    scene = Scene(unpaced(limit={"count": "sent"}), limit=1)
    scene.send(1, NOON)
    scene.act(k.UNDELIVERABLE, 1, NOON + 1)
    assert scene.send(2, NOON + 2)[0] == k.LIMIT


def test_refused_send_leaves_nothing_behind() -> None:
    scene = Scene(limit=1)
    scene.send(1, NOON)
    before = scene.state.dump()
    for person in range(2, 50):
        assert scene.send(person, NOON + 1)[0] == k.LIMIT
        assert scene.send(person, NOON + 1, k.MARKETING)[0] == k.NO_CONSENT
    after = scene.state.dump()
    assert after["nodes"].tobytes() == before["nodes"].tobytes()
    assert after["places"].tobytes() == before["places"].tobytes()


def test_pair_rate_lets_a_burst_go_and_opens_to_the_millisecond() -> None:
    scene = Scene()
    assert {scene.send(1, NOON)[0] for _ in range(45)} == {k.SENT}
    assert scene.send(1, NOON) == (k.PAIR_RATE, NOON + 6000)
    assert scene.send(2, NOON)[0] == k.SENT
    assert scene.send(1, NOON + 5999)[0] == k.PAIR_RATE
    assert scene.send(1, NOON + 6000)[0] == k.SENT


def test_throughput_is_of_a_number_and_opens_to_the_millisecond() -> None:
    scene = Scene(limit=-1, rate=80)
    scene.state.add_number(0, 80)
    assert {scene.send(person, NOON)[0] for person in range(80)} == {k.SENT}
    assert scene.send(80, NOON) == (k.THROUGHPUT, NOON + 13)
    assert scene.send(80, NOON, number=1)[0] == k.SENT
    assert scene.send(81, NOON + 12)[0] == k.THROUGHPUT
    assert scene.send(81, NOON + 13)[0] == k.SENT


def test_portfolio_with_a_thousand_numbers_has_one_limit() -> None:
    scene = Scene(limit=999)
    for _ in range(999):
        scene.state.add_number(0, 80)
    told = [scene.send(n, NOON + n, number=n) for n in range(1000)]
    assert {outcome for outcome, _ in told[:999]} == {k.SENT}
    assert told[999] == (k.LIMIT, NOON + DAY)


def test_revocation_binds_from_the_next_message_within_its_scope() -> None:
    scene = Scene()
    scene.state.add_number(0, 80)
    scene.grant(1, NOON)
    assert scene.send(1, NOON + 1, k.MARKETING)[0] == k.SENT
    scene.revoke(1, NOON + 2, number=0)
    assert scene.send(1, NOON + 2, k.MARKETING) == (k.OPTED_OUT, k.NEVER)
    assert scene.send(1, NOON + 2, k.MARKETING, number=1)[0] == k.SENT
    assert scene.send(1, NOON + 2, k.UTILITY)[0] == k.SENT
    scene.revoke(1, NOON + 3)
    assert scene.send(1, NOON + 4, k.MARKETING, number=1)[0] == k.OPTED_OUT
    scene.revoke(1, NOON + 5, k.UTILITY)
    assert scene.send(1, NOON + 6, k.UTILITY)[0] == k.OPTED_OUT


def test_revocation_binds_in_an_open_window_too() -> None:
    scene = Scene()
    scene.write(1, NOON)
    scene.revoke(1, NOON + 1)
    assert scene.send(1, NOON + 2, k.MARKETING)[0] == k.OPTED_OUT
    assert scene.send(1, NOON + 2, None)[0] == k.IN_WINDOW


def test_grant_from_before_a_revocation_lifts_nothing() -> None:
    scene = Scene()
    scene.revoke(1, NOON)
    scene.grant(1, NOON - 1)
    scene.grant(1, NOON)
    assert scene.send(1, NOON + 1, k.MARKETING)[0] == k.OPTED_OUT
    scene.grant(1, NOON + 2)
    assert scene.send(1, NOON + 3, k.MARKETING)[0] == k.SENT


def test_later_word_on_a_number_comes_after_a_stop_to_all() -> None:
    scene = Scene()
    scene.state.add_number(0, 80)
    scene.revoke(1, NOON)
    scene.grant(1, NOON + 1, number=0)
    assert scene.send(1, NOON + 2, k.MARKETING)[0] == k.SENT
    assert scene.send(1, NOON + 2, k.MARKETING, number=1)[0] == k.OPTED_OUT


def test_template_of_nobody_or_of_another_portfolio_is_missing() -> None:
    scene = Scene()
    scene.state.add_portfolio(250)
    scene.state.add_number(1, 80)
    assert scene.send(1, NOON, k.UTILITY, number=1)[0] == k.TEMPLATE_MISSING
    assert scene.send(1, NOON, 77)[0] == k.TEMPLATE_MISSING
    assert scene.act(k.SEND, 1, NOON, number=k.NONE)[0] == k.NO_PORTFOLIO
    assert scene.act(k.SEND, 1, NOON, number=2)[0] == k.NO_PORTFOLIO
    assert scene.act(k.SEND, 1, NOON, number=k.NONE, portfolio=0)[0] == k.NO_PORTFOLIO


def spoil(scene: Scene, at: int, people: range, bad: int, kind: int = k.BLOCK) -> int:
    """Send to people, of whom so many react; return all that changed."""
    for person in people:
        scene.send(person, at + (person - people[0]) * 20)
    changed = 0
    for person in people[:bad]:
        changed |= scene.react(kind, person, at + HOUR)
    return changed


RATED = {"quality": {"low": 0.1, "medium": 0.05, "least": 20}}


def test_bad_rating_pauses_a_template_three_times_and_then_for_good() -> None:
    scene = Scene(unpaced(**RATED, ladder={"steps": limits().ladder.steps[:1]}), limit=-1)
    assert spoil(scene, NOON, range(20), 1) == 0
    assert scene.react(k.BLOCK, 1, NOON + 2 * HOUR) & k.PAUSED_BY_QUALITY
    opens = NOON + 2 * HOUR + 3 * HOUR
    assert scene.send(99, opens - 1) == (k.TEMPLATE_PAUSED, opens)
    assert scene.send(99, opens)[0] == k.SENT
    assert spoil(scene, opens + HOUR, range(100, 130), 4) & k.PAUSED_BY_QUALITY
    assert scene.send(99, opens + 2 * HOUR) == (k.TEMPLATE_PAUSED, opens + 8 * HOUR)
    assert spoil(scene, opens + 8 * HOUR, range(200, 230), 4) & k.PAUSED_BY_QUALITY
    assert scene.send(99, opens + 900 * HOUR) == (k.TEMPLATE_DISABLED, k.NEVER)


def test_pacing_holds_after_the_first_people_and_ends_after_the_wait() -> None:
    scene = Scene(limits(pacing={"first": 3, "categories": ("utility",)}), limit=-1)
    told = [scene.send(n, NOON + n)[0] for n in range(5)]
    assert told == [k.SENT, k.SENT, k.SENT, k.HELD, k.HELD]
    ends = NOON + 2 + 30 * MINUTE
    assert scene.send(7, ends - 1)[0] == k.HELD
    assert scene.send(8, ends)[0] == k.SENT


def test_new_templates_are_paced_together() -> None:
    scene = Scene(
        limits(pacing={"first": 4, "categories": ("utility", "authentication")}), limit=-1
    )
    both = (k.UTILITY, k.AUTHENTICATION)
    told = [scene.send(n, NOON + n, both[n % 2])[0] for n in range(8)]
    assert told == [k.SENT] * 4 + [k.HELD] * 4
    ends = NOON + 5 + 30 * MINUTE
    assert [scene.send(20, ends, t)[0] for t in both] == [k.SENT, k.SENT]


def test_pacing_pause_never_ends_by_itself() -> None:
    rules = limits(pacing={"first": 30, "least": 10, "categories": ("utility",)})
    scene = Scene(rules, limit=-1)
    spoil(scene, NOON, range(30), 0)
    assert scene.react(k.BLOCK, 1, NOON + 10 * MINUTE) & k.PAUSED_BY_PACING
    for later in (HOUR, DAY, 400 * DAY):
        assert scene.send(99, NOON + HOUR + later) == (k.TEMPLATE_PAUSED, k.NEVER)
    scene.state.set_template(k.UTILITY, k.APPROVED, k.UTILITY, NOON + 401 * DAY)
    assert scene.send(99, NOON + 402 * DAY)[0] == k.SENT


def test_paced_portfolio_sends_in_growing_batches() -> None:
    rules = unpaced(pacing={
        "categories": (), "portfolio_first": 2, "portfolio_growth": 2, "portfolio_until": 8,
    })  # fmt: skip
    scene = Scene(rules, limit=-1, paced=True)
    assert [scene.send(n, NOON)[0] for n in range(3)] == [k.SENT, k.SENT, k.HELD]
    second = [scene.send(10 + n, NOON + HOUR)[0] for n in range(5)]
    assert second == [k.SENT] * 4 + [k.HELD]
    assert {scene.send(20 + n, NOON + 2 * HOUR)[0] for n in range(30)} == {k.SENT}


def test_ladder_climbs_with_new_evidence_only_and_ends_locked() -> None:
    rules = unpaced(**RATED, pauses={"ladder": ()})
    steps = rules.ladder.steps
    scene, at = Scene(rules, limit=-1), NOON
    p = scene.state.ports.records[0]
    for number, step in enumerate(steps[:7], 1):
        scene.state.set_template(k.UTILITY, k.APPROVED, k.UTILITY, at)
        assert spoil(scene, at, range(number * 100, number * 100 + 30), 4) & k.STEPPED, step.name
        assert scene.react(k.BLOCK, number * 100 + 9, at + HOUR) & k.STEPPED == 0
        assert p["step"] == number
        at = int(p["until"])
        scene.state.set_template(k.UTILITY, k.APPROVED, k.UTILITY, at)
        if step.bars == "nothing":
            continue
        if not step.lasts:
            assert scene.send(1, NOON + 500 * DAY) == (k.LOCKED, k.NEVER)
            break
        expected = k.BLOCKED if step.bars == "all" else k.RESTRICTED
        assert scene.send(number, at - 1) == (expected, at)
        assert scene.send(number, at)[0] == k.SENT
    assert step.name == "locked"


def test_restricted_portfolio_still_answers_within_windows() -> None:
    rules = unpaced(**RATED, ladder={"steps": limits().ladder.steps[1:]})
    scene = Scene(rules, limit=-1)
    spoil(scene, NOON, range(30), 4)
    scene.write(90, NOON + 2 * HOUR)
    assert scene.send(90, NOON + 2 * HOUR, None)[0] == k.IN_WINDOW
    assert scene.send(91, NOON + 2 * HOUR, k.AUTHENTICATION)[0] == k.RESTRICTED


def test_notice_of_disabling_locks_meanwhile() -> None:
    scene = Scene(unpaced(**RATED, ladder={"steps": limits().ladder.steps[7:]}), limit=-1)
    spoil(scene, NOON, range(30), 4)
    p = scene.state.ports.records[0]
    assert p["begins"] - p["told"] == 30 * DAY
    assert scene.send(1, NOON + 2 * HOUR) == (k.LOCKED, k.NEVER)
    assert scene.state.reverse_step(0, NOON + 3 * HOUR) == 0
    assert scene.send(91, NOON + 3 * HOUR, k.AUTHENTICATION)[0] == k.SENT


def test_limit_rises_when_used_and_good_for_the_wait() -> None:
    scene = Scene(unpaced(quality={"least": 20}), limit=250)
    for n in range(125):
        scene.send(n, NOON + n * 20)
    began = NOON + 125 * 20
    scene.send(125, began)
    scene.send(126, NOON + 6 * HOUR - 1)
    assert int(scene.state.ports.records[0]["limit"]) == 250
    scene.send(127, began + 6 * HOUR)
    assert int(scene.state.ports.records[0]["limit"]) == 2000


def test_reactions_of_people_not_written_to_say_nothing() -> None:
    scene = Scene(unpaced(**RATED), limit=-1)
    spoil(scene, NOON, range(30), 0)
    for stranger in range(500, 900):
        scene.write(stranger, NOON + 1)
        assert scene.react(k.REPORT, stranger, NOON + HOUR) == 0
    assert scene.react(k.BLOCK, 1, NOON + 8 * DAY) == 0
    assert scene.state.rating_of(0) == k.RATING_UNKNOWN


def test_one_person_counts_once_a_day_and_by_credibility() -> None:
    scene = Scene(unpaced(**RATED), limit=-1)
    spoil(scene, NOON, range(30), 0)
    for _ in range(50):
        scene.react(k.MUTE, 1, NOON + HOUR)
        scene.react(k.REPORT, 1, NOON + HOUR)
    for person in range(2, 30):
        scene.act(k.REPORT, person, NOON + HOUR, weight=0)
    points = scene.state.ports.records[0]["points"]
    assert int(points.sum()) == 15_000


def test_few_reads_make_quality_worse_and_pause_nothing() -> None:
    scene = Scene(unpaced(quality={"least": 20, "few_reads": 0.5}), limit=-1)
    spoil(scene, NOON, range(30), 0)
    scene.send(90, NOON + DAY)
    assert scene.state.rating_of(0) == k.HIGH
    assert scene.react(k.READ, 1, NOON + DAY) == 0
    assert scene.state.rating_of(0) == k.MEDIUM
    for person in range(2, 16):
        scene.react(k.READ, person, NOON + DAY)
    assert scene.state.rating_of(0) == k.HIGH


def test_late_act_is_taken_at_the_portfolios_own_time() -> None:
    scene = Scene()
    scene.send(9, NOON)
    scene.write(1, NOON - HOUR)
    assert scene.send(1, NOON + DAY - 1, None)[0] == k.IN_WINDOW
    assert scene.send(1, NOON + DAY - HOUR, None)[0] == k.IN_WINDOW
    assert scene.send(1, NOON + DAY, None)[0] == k.WINDOW_CLOSED


def test_merged_people_are_one_in_window_limit_and_consent() -> None:
    scene = Scene(limit=2)
    scene.grant(1, NOON)
    scene.send(1, NOON)
    scene.send(2, NOON + 1)
    scene.revoke(2, NOON + 2, number=0)
    scene.write(2, NOON + 3)
    assert scene.send(3, NOON + 4)[0] == k.LIMIT
    scene.state.merge_people(1, 2)
    assert scene.send(3, NOON + 5)[0] == k.SENT
    assert scene.send(1, NOON + 6, None)[0] == k.IN_WINDOW
    assert scene.send(1, NOON + 7, k.MARKETING)[0] == k.OPTED_OUT
    assert scene.state.used_of(0) == 2


@pytest.mark.parametrize("seeds", [range(0, 40), range(40, 80), range(80, 120)])
def test_random_streams_equal_the_oracle_on_any_workers_and_cuts(seeds: range) -> None:
    assert [line for seed in seeds for line in compare(seed).differ] == []


def test_random_streams_reach_every_outcome_and_change() -> None:
    found = [compare(seed, length=600) for seed in range(300, 330)]
    outcomes = set().union(*(each.outcomes for each in found))
    changes = set().union(*(each.changes for each in found))
    assert outcomes == {*range(k.PERSON_CAP + 1), k.NOT_A_SEND}
    assert {k.STEPPED, k.PAUSED_BY_QUALITY, k.PAUSED_BY_PACING, k.RAISED} <= changes


def test_state_of_another_layout_is_refused() -> None:
    scene = Scene()
    arrays = scene.state.dump()
    arrays["nodes"] = np.zeros(3, np.int64)
    with pytest.raises(Exception, match="another layout"):
        State(unpaced()).load(arrays)
