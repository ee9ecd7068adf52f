"""Evaluation against values computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest  # type: ignore[attr-defined]

from support.factories import DAY, HOUR, MINUTE, NOON, account_row, labels_file, run_directory
from wavebreak.errors import FileError, UsageError
from wavebreak.evaluation import (
    Evaluation,
    evaluate,
    evaluate_all,
    exact_interval,
    labels_path,
    read_labels,
)
from wavebreak.example import example_labels_path, example_path

FAMILY_KEYS = {
    "accounts",
    "challenged",
    "actioned",
    "at_registration",
    "no_report_7d",
    "no_report_ever",
    "unwanted_median",
    "unwanted_p90",
    "unwanted_mean",
    "hours_median",
    "limited",
    "delivered",
    "stopped",
}
PERSONA_KEYS = {
    "accounts",
    "challenged",
    "limited",
    "restricted",
    "suspended",
    "banned",
    "first_contacts",
    "refused",
}


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Five blasters (one unseen), one sybil, four shops (one unseen), one unlabelled account."""
    run = run_directory(
        tmp_path / "run",
        [
            account_row(
                "b1",
                worst="ban",
                first_action_ms=NOON + 2 * HOUR,
                unwanted=10,
                refused=300,
                first_action_stage="messaging",
                strangers_before_action=12,
            ),
            account_row(
                "b2",
                worst="restrict",
                first_action_ms=NOON + 4 * HOUR,
                unwanted=20,
                first_action_stage="feedback",
                strangers_before_action=20,
                reports=3,
                reports_before_action=2,
                last_report_before_action_ms=NOON + 3 * HOUR,
            ),
            account_row(
                "b3",
                worst="suspend",
                registered_ms=None,
                first_seen_ms=NOON - 10 * DAY,
                first_action_ms=NOON,
                first_action_stage="messaging",
                unwanted=30,
                reports_before_action=1,
                last_report_before_action_ms=NOON - 8 * DAY,
                strangers_before_action=30,
            ),
            account_row(
                "b4", worst="challenge", challenged=True, unwanted=40, strangers_before_action=40
            ),
            account_row(
                "s1",
                worst="ban",
                first_action_ms=NOON + 30 * MINUTE,
                first_action_stage="registration",
                refused=5,
            ),
            account_row(
                "p1",
                worst="limit",
                challenged=True,
                limited=True,
                first_contacts_attempted=30,
                first_contacts_refused=12,
            ),
            account_row(
                "p2",
                worst="restrict",
                challenged=True,
                limited=True,
                first_action_ms=NOON,
                first_action_stage="messaging",
            ),
            account_row("p3", first_contacts_attempted=10),
            account_row("x1", worst="ban", first_action_ms=NOON, first_action_stage="messaging"),
        ],
    )
    labels = labels_file(
        tmp_path / "labels.csv",
        *(f"b{n},abusive,blast,op1" for n in range(1, 6)),
        "s1,abusive,sybil,op2",
        *(f"p{n},benign,shop," for n in range(1, 5)),
    )
    return evaluate(run, labels)


def test_family_counts_match_a_hand_count(evaluation: Evaluation) -> None:
    assert evaluation.as_json()["families"]["blast"] == {
        "accounts": 5,
        "challenged": 1,
        "actioned": 3,
        "at_registration": 0,
        "no_report_7d": 2,  # b1 never, b3 eight days before; b2 an hour before
        "no_report_ever": 1,
        "unwanted_median": 20.0,  # of 0 10 20 30 40: the unseen one delivered nothing
        "unwanted_p90": 36.0,
        "unwanted_mean": 20.0,
        "hours_median": 4.0,  # of 2, 4 and 240
        "limited": 0,
        "delivered": 100,
        "stopped": 300,
    }


def test_share_stopped_is_of_what_was_tried(evaluation: Evaluation) -> None:
    # 300 of 400 by the blasters, 5 of 5 by the sybil.
    assert evaluation.as_json()["stopped"] == {"share": 305 / 405, "equal_weight": (0.75 + 1) / 2}


def test_action_at_registration_is_counted_separately(evaluation: Evaluation) -> None:
    sybil = evaluation.families["sybil"]
    assert (sybil.actioned, sybil.at_registration, sybil.hours_median) == (1, 1, 0.5)


def test_account_counts_only_at_its_worst_outcome(evaluation: Evaluation) -> None:
    assert evaluation.as_json()["personas"]["shop"] == {
        "accounts": 4,
        "challenged": 0,
        "limited": 1,
        "restricted": 1,
        "suspended": 0,
        "banned": 0,
        "first_contacts": 40,
        "refused": 12,
    }


def test_first_messages_refused_in_all_and_of_the_worst(evaluation: Evaluation) -> None:
    refused = evaluation.as_json()["refused"]
    expected = binomtest(12, 40).proportion_ci(method="exact")
    assert (refused["refused"], refused["first_contacts"], refused["share"]) == (12, 40, 0.3)
    assert refused["interval"] == pytest.approx([expected.low, expected.high])
    assert refused["worst"] == {"persona": "shop"} | {
        key: value for key, value in refused.items() if key != "worst"
    }
    assert evaluation.as_json()["intervals"]["personas"]["shop"]["refused"] == refused["interval"]


def test_worst_persona_is_one_that_wrote_to_several(tmp_path: Path) -> None:
    rows = [
        account_row("a", first_contacts_attempted=100, first_contacts_refused=4),
        account_row("b", first_contacts_attempted=40, first_contacts_refused=10),
        account_row("c", first_contacts_attempted=2, first_contacts_refused=2),
        account_row("d"),
    ]
    lines = ("a,benign,courier,", "b,benign,mover,", "c,benign,shy,", "d,benign,silent,")
    found = evaluate(run_directory(tmp_path / "run", rows), labels_file(tmp_path / "l", *lines))
    assert found.worst_persona == "mover"
    assert found.first_messages == (16, 142)
    few = evaluate(
        run_directory(tmp_path / "few", rows[2:]), labels_file(tmp_path / "m", *lines[2:])
    )
    assert few.worst_persona == "shy"
    none = evaluate(
        run_directory(tmp_path / "none", rows[3:]), labels_file(tmp_path / "n", lines[3])
    )
    assert none.as_json()["refused"]["worst"] is None
    assert none.as_json()["refused"]["share"] is None


def test_all_abusive_accounts_are_counted_together(
    evaluation: Evaluation,
) -> None:
    assert set(evaluation.as_json()["families"]) == {"blast", "sybil"}
    everyone = evaluation.as_json()["all"]
    assert (everyone["accounts"], everyone["actioned"], everyone["hours_median"]) == (6, 4, 3.0)


def test_absent_accounts_are_counted_by_label(evaluation: Evaluation) -> None:
    assert evaluation.as_json()["absent"] == {"abusive": 1, "benign": 1}


def test_unlabelled_accounts_are_counted_separately(evaluation: Evaluation) -> None:
    assert evaluation.as_json()["unlabelled"]["accounts"] == 1
    assert evaluation.as_json()["unlabelled"]["banned"] == 1


def test_messages_to_strangers_before_action_by_family(evaluation: Evaluation) -> None:
    before = evaluation.as_json()["before_action"]["blast"]
    assert before["strangers_median"] == 20.0  # of 0 12 20 30 40
    assert before["strangers_p90"] == pytest.approx(36.0)
    assert before["hours_p90"] == pytest.approx(192.8)  # of 2, 4, 240: 4 + 0.8 × 236
    assert before["unwanted_spread"] == pytest.approx((4.0, 10.0, 20.0, 30.0, 36.0))


def test_json_has_the_documented_keys_and_round_trips(
    evaluation: Evaluation,
) -> None:
    found = evaluation.as_json()
    assert all(set(family) == FAMILY_KEYS for family in found["families"].values())
    assert all(set(persona) == PERSONA_KEYS for persona in found["personas"].values())
    assert all(type(n) is int for persona in found["personas"].values() for n in persona.values())
    assert json.loads(json.dumps(found, allow_nan=False))["families"] == found["families"]


def test_every_share_has_an_interval(evaluation: Evaluation) -> None:
    intervals = evaluation.as_json()["intervals"]
    low, high = intervals["families"]["blast"]["actioned"]
    expected = binomtest(3, 5).proportion_ci(method="exact")
    assert (low, high) == pytest.approx((expected.low, expected.high))
    counted = PERSONA_KEYS - {"accounts", "first_contacts"} | {"actioned"}
    assert set(intervals["personas"]["shop"]) == counted


@pytest.mark.parametrize(("count", "of"), [(0, 7), (7, 7), (1, 200), (150, 1000)])
def test_interval_is_clopper_pearson(count: int, of: int) -> None:
    expected = binomtest(count, of).proportion_ci(method="exact")
    assert exact_interval(count, of) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_hours_without_actions_are_null(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", [account_row("a", worst="observe")])
    family = evaluate(run, labels_file(tmp_path / "l.csv", "a,abusive,slow,")).families["slow"]
    assert (family.actioned, family.hours_median) == (0, None)


def test_report_exactly_seven_days_before_counts(tmp_path: Path) -> None:
    rows = [
        account_row(
            name,
            worst="ban",
            first_action_ms=NOON,
            first_action_stage="messaging",
            reports_before_action=1,
            last_report_before_action_ms=NOON - 7 * DAY - late,
        )
        for name, late in (("on", 0), ("off", 1))
    ]
    labels = labels_file(tmp_path / "l.csv", "on,abusive,on,", "off,abusive,off,")
    found = evaluate(run_directory(tmp_path / "run", rows), labels).families
    assert (found["on"].no_report_7d, found["off"].no_report_7d) == (0, 1)


def test_account_without_family_counts_as_unnamed(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", [account_row("a"), account_row("b")])
    found = evaluate(run, labels_file(tmp_path / "l.csv", "a,abusive,,", "b,benign,,"))
    assert (list(found.families), list(found.personas)) == (["unnamed"], ["unnamed"])


def test_benign_labels_alone_are_accepted(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", [account_row("a")])
    found = evaluate(run, labels_file(tmp_path / "l.csv", "a,benign,shop,")).as_json()
    assert (found["families"], found["all"]["accounts"]) == ({}, 0)


def test_labels_allow_any_order_and_repeated_lines(tmp_path: Path) -> None:
    path = labels_file(
        tmp_path / "l.csv", "blast,abusive,a", "blast,abusive,a", header="family,label,account"
    )
    (label,) = read_labels(path)
    assert (label.account, label.label, label.family, label.operator) == (
        "a",
        "abusive",
        "blast",
        "",
    )


@pytest.mark.parametrize(
    ("header", "lines", "says"),
    [
        ("account,family,operator", ["a,blast,"], "line 1 has no column label"),
        ("account,label,family,operator", ["a,spam,blast,"], "line 2, field label must be"),
        ("account,label,family,operator", [",benign,shop,"], "line 2, field account is empty"),
        ("account,label,family,operator", ["a,benign"], "line 2 has more or fewer values"),
        (
            "account,label,family,operator",
            ["a,benign,shop,", "b,benign,shop,", "a,abusive,blast,"],
            "line 4, field label contradicts line 2",
        ),
        (
            "account,label,family,operator",
            ["a,abusive,blast,", "a,abusive,sybil,"],
            "line 3, field family contradicts line 2",
        ),
    ],
)
def test_faulty_labels_error_names_line_field_and_fix(
    tmp_path: Path, header: str, lines: list[str], says: str
) -> None:
    with pytest.raises(FileError, match=says) as error:
        read_labels(labels_file(tmp_path / "l.csv", *lines, header=header))
    assert error.value.fix


def test_directory_without_run_error_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"contains no accounts\.parquet.*wavebreak run"):
        evaluate(tmp_path, labels_file(tmp_path / "l.csv", "a,benign,shop,"))


def test_missing_labels_error_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        evaluate(run_directory(tmp_path / "run", [account_row("a")]), tmp_path / "none.csv")


@pytest.fixture
def two_runs(tmp_path: Path) -> list[tuple[Path, Path]]:
    """Two platforms whose accounts have the same names, each with its labels beside its events."""
    runs = []
    for name, worst, families in (("one", "ban", ("blast", "hijack")), ("two", "allow", ("slow",))):
        labels = labels_file(
            tmp_path / name / "labels.csv",
            *(
                f"a,abusive,{family}," if n == 0 else f"a{n},abusive,{family},"
                for n, family in enumerate(families)
            ),
            "p,benign,shop,",
            "gone,benign,shop,",
        )
        rows = [account_row("a", worst=worst), account_row("a1"), account_row("p", worst=worst)]
        source = {"path": str(labels.parent / "events.parquet")}
        runs.append((run_directory(tmp_path / f"{name}-out", rows, source=source), labels))
    return runs


def test_runs_with_equal_account_names_are_added_up(
    two_runs: list[tuple[Path, Path]],
) -> None:
    found = evaluate_all(two_runs)
    counts = {name: (f.accounts, f.actioned) for name, f in found.families.items()}
    assert counts == {"blast": (1, 1), "hijack": (1, 0), "slow": (1, 0)}
    assert (found.personas["shop"].accounts, found.personas["shop"].banned) == (4, 1)
    assert (found.absent["benign"], found.unlabelled.accounts) == (2, 1)
    assert found.as_json()["equal_weight"] == pytest.approx(1 / 3)


def test_excluded_family_is_not_counted(two_runs: list[tuple[Path, Path]]) -> None:
    found = evaluate_all(two_runs, ["hijack"])
    assert (set(found.families), found.equal_weight) == ({"blast", "slow"}, 0.5)
    assert (found.everyone.accounts, found.unlabelled.accounts) == (2, 1)
    with pytest.raises(UsageError, match="no family nobody"):
        evaluate_all(two_runs, ["nobody"])


def test_labels_path_is_beside_the_events_of_the_run(
    two_runs: list[tuple[Path, Path]], tmp_path: Path
) -> None:
    assert [labels_path(run) for run, _ in two_runs] == [labels for _, labels in two_runs]
    source = {"path": str(example_path())}
    run = run_directory(tmp_path / "example", [account_row("a")], source=source)
    assert labels_path(run) == example_labels_path()
    with pytest.raises(FileError, match=r"no labels\.csv"):
        labels_path(run_directory(tmp_path / "alone", [account_row("a")]))
