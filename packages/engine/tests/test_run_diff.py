from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from support.banning_policy import load_banning_policy
from wavebreak import engine
from wavebreak.config import SHIPPED
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak.reports.html import write_html
from wavebreak.reports.report import print_report
from wavebreak.rules import Policy, load_policy
from wavebreak.run_diff import compare, differences_report, replay
from wavebreak_lab.simulation import simulate, write

Row = tuple[str, str, int | None, int]
NAMES = ("account", "worst", "first_action_ms", "unwanted")


def run_dir(path: Path, rows: Sequence[Row], scores: dict[str, float], events: int = 9) -> Path:
    """Write what of a run `compare` reads."""
    path.mkdir()
    columns: dict[str, Any] = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
    none = [None] * len(rows)
    for name in (
        "first_seen_ms",
        "registered_ms",
        "first_action_stage",
        "strangers_before_action",
        "reports_before_action",
        "last_report_before_action_ms",
        "refused",
        "first_contacts_attempted",
        "first_contacts_refused",
    ):
        columns[name] = none
    pq.write_table(pa.table(columns), path / "accounts.parquet")
    versions = {"policy": path.name, "model": None}
    (path / "summary.json").write_text(
        json.dumps({"events": events, "accepted": events, "versions": versions})
    )
    decisions = [
        {
            "account": account,
            "ts": at,
            "outcome": worst,
            "rules": ["cold_outreach_hour"],
            "reasons": [{"feature": "age_s", "value": 60.0}],
            "score": scores.get(account),
        }
        for account, worst, at, _ in rows
        if worst != "allow"
    ]
    (path / "decisions.jsonl").write_text("\n".join(map(json.dumps, decisions)))
    return path


def made(tmp_path: Path) -> tuple[Path, Path, Path]:
    champion = run_dir(
        tmp_path / "champion",
        [
            ("a", "restrict", 50_000, 9),
            ("b", "restrict", 50_000, 5),
            ("c", "allow", None, 7),
            ("d", "restrict", 10_000, 1),
            ("e", "challenge", None, 0),
            ("f", "limit", None, 0),
            ("g", "allow", None, 0),
        ],
        {},
    )
    challenger = run_dir(
        tmp_path / "challenger",
        [
            ("a", "restrict", 20_000, 4),
            ("b", "allow", None, 5),
            ("c", "ban", 30_000, 2),
            ("d", "restrict", 40_000, 2),
            ("e", "limit", None, 0),
            ("f", "observe", None, 0),
            ("g", "restrict", 90_000, 0),
        ],
        {"g": 0.75},
    )
    labels = tmp_path / "labels.csv"
    labels.write_text("account,label,family\na,abusive,blast\nb,benign,person\nc,benign,person\n")
    return champion, challenger, labels


def test_account_has_one_kind_of_difference(tmp_path: Path) -> None:
    found = compare(*made(tmp_path))
    kinds = {change.account: change.kind for change in found.changes}
    assert kinds == {
        "a": "earlier",
        "b": "newly spared",
        "c": "newly actioned",
        "d": "later",
        "e": "harsher",
        "f": "milder",
        "g": "newly actioned",
    }
    assert found.unwanted == (9, 4)
    assert found.actioned == (
        {"": 1, "abusive": 1, "benign": 1},
        {"": 2, "abusive": 1, "benign": 1},
    )


def test_false_actions_come_from_labels_and_scores(tmp_path: Path) -> None:
    counts = compare(*made(tmp_path)).false_actions()
    assert (counts["labelled"], counts["labelled_benign"]) == (1, 1)
    assert (counts["expected"], counts["scored"], counts["unscored"]) == (0.25, 1, 0)


def test_explaining_decision_is_of_the_harsher_run(
    tmp_path: Path,
) -> None:
    why = {change.account: change.decision for change in compare(*made(tmp_path)).changes}
    assert (why["c"] or {})["outcome"] == "ban"
    assert (why["b"] or {})["outcome"] == "restrict"


def test_compare_refuses_runs_over_different_logs(tmp_path: Path) -> None:
    champion, _, _ = made(tmp_path)
    other = run_dir(tmp_path / "other", [("a", "allow", None, 0)], {}, events=3)
    with pytest.raises(FileError, match="different logs"):
        compare(champion, other)


def test_differences_are_described_and_page_is_deterministic(
    tmp_path: Path,
) -> None:
    found = compare(*made(tmp_path))
    counts = io.StringIO()
    print_report(differences_report(found), Console(file=counts, width=140))
    assert "2 newly actioned, 1 newly spared, 1 earlier, 1 later" in counts.getvalue()
    write_html(differences_report(found), tmp_path / "1.html")
    write_html(differences_report(found), tmp_path / "2.html")
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()


def test_replay_under_same_policy_changes_nothing(tmp_path: Path) -> None:
    world = simulate(people=120, days=0.3, campaigns=[("blast", 6)], seed=102)
    write(world, tmp_path / "world")
    edge = Pseudonymizer(b"0123456789abcdef0123456789abcdef")
    from_events = run_of(tmp_path / "world", tmp_path / "out", edge)
    found = replay(from_events, tmp_path / "again", load_banning_policy(), edge)
    assert found.changes == []
    assert sum(found.actioned[0].values()) >= 3
    with pytest.raises(UsageError, match="overwrite"):
        replay(from_events, from_events, load_banning_policy(), edge)


def run_of(world: Path, out: Path, edge: Pseudonymizer) -> Path:
    engine.run(world, out, load_banning_policy(), edge)
    return out


RULE = """
[[rule]]
id = "quick_sender"
abuse = "bulk"
about = "Writes to ten strangers within an hour."
source = "An example of a test."
stage = "messaging"
on = ["sent"]
when = ["strangers_contacted_1h >= 10"]
outcome = "limit"
for = "24h"
mode = "shadow"
fires_on = [{ strangers_contacted_1h = 10 }]
stays_quiet_on = [{ strangers_contacted_1h = 9 }]
"""


def policy_of(directory: Path, rule: str) -> Policy:
    """A policy of one rule."""
    (directory / "rules").mkdir(parents=True)
    (directory / "rules" / "bulk.toml").write_text(rule)
    shutil.copy(SHIPPED / "actions.toml", directory)
    return load_policy(shipped=directory)


def test_replay_counts_what_a_rule_in_shadow_would_have_met(tmp_path: Path) -> None:
    world = simulate(people=60, days=0.3, campaigns=[("blast", 6)], seed=102)
    write(world, tmp_path / "world")
    edge = Pseudonymizer(b"0123456789abcdef0123456789abcdef")
    enforced = policy_of(tmp_path / "enforced", RULE.replace('"shadow"', '"enforce"'))
    summary = engine.run(tmp_path / "world", tmp_path / "out", enforced, edge)
    assert "accounts" not in summary["rules"]["quick_sender"]
    lines = (tmp_path / "out" / "decisions.jsonl").read_text().splitlines()
    limited = {json.loads(line)["account"] for line in lines}
    assert limited
    shadow = policy_of(tmp_path / "shadow", RULE)
    found = replay(tmp_path / "out", tmp_path / "again", shadow, edge)
    met = found.as_json()["shadow"]["quick_sender"]
    assert (met["outcome"], met["accounts"]) == ("limit", len(limited))
    assert met["decisions"] >= met["accounts"]
    text = io.StringIO()
    print_report(differences_report(found), Console(file=text, width=140))
    assert re.search(
        rf"quick_sender\W+limit\W+{len(limited)}\W+{met['decisions']}\b", text.getvalue()
    )


def test_replay_of_a_missing_log_is_refused(tmp_path: Path) -> None:
    gone = {"path": str(tmp_path / "gone.parquet"), "sha256": "0"}
    counts = {"source": gone, "profile": "none", "mode": "shadow"}
    (tmp_path / "summary.json").write_text(json.dumps(counts))
    with pytest.raises(FileError, match="of a log that is no longer there"):
        replay(
            tmp_path,
            tmp_path / "out",
            load_banning_policy(),
            Pseudonymizer(b"a key long enough for a test"),
        )
