"""What a reader of an evaluation sees."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from support.factories import HOUR, NOON, account_row, labels_file, run_directory
from wavebreak.evaluation import (
    Evaluation,
    evaluate,
    evaluate_all,
    evaluation_overview,
    evaluation_report,
)
from wavebreak.reports.html import write_html
from wavebreak.reports.report import print_report
from wavebreak.reports.tables import Console


def _evaluation(path: Path, world: object = None) -> Evaluation:
    rows = [
        account_row(
            "b1",
            worst="ban",
            first_action_ms=NOON + HOUR,
            unwanted=7,
            first_action_stage="messaging",
            strangers_before_action=9,
        ),
        account_row("s1", unwanted=1_500),
        account_row("p1", worst="limit"),
        account_row("other"),
    ]
    run = run_directory(path / "run", rows)
    labels = labels_file(
        path / "sim" / "labels.csv",
        "b1,abusive,blast,",
        "s1,abusive,slow,",
        "p1,benign,<shop>,",
        "gone,benign,<shop>,",
    )
    if world is not None:
        (path / "sim" / "world.json").write_text(json.dumps(world))
    return evaluate(run, labels)


def _printed(evaluation: Evaluation, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    print_report(evaluation_report(evaluation), console)
    return console.export_text()


def _words(text: str) -> str:
    return " ".join(text.split())


def test_tables_at_80_columns_cut_no_number(tmp_path: Path) -> None:
    text = _printed(_evaluation(tmp_path))
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert re.search(r"blast\s+1\s+0\s+0\s+1\s+100\s+0\s+1\s+1\s+2\.5–100", text)
    assert re.search(r"blast\s+1\sh; 1\sh\s+9; 9\s+7; 7\s+7", text)
    assert "1,500" in text


def test_tables_and_overview_state_first_messages_refused(tmp_path: Path) -> None:
    rows = [
        account_row("p1", worst="limit", first_contacts_attempted=40, first_contacts_refused=12),
        account_row("p2", first_contacts_attempted=60),
    ]
    run = run_directory(tmp_path / "run", rows)
    lines = ("p1,benign,people-with-a-new-number,", "p2,benign,courier,")
    evaluation = evaluate(run, labels_file(tmp_path / "labels.csv", *lines))
    text = _printed(evaluation)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert re.search(r"people-with-a-new-number\s+40\s+12\s+30\.0\s+16\.6–46\.5", text)
    assert re.search(r"courier\s+60\s+0\s+0", text)
    console = Console(width=80, record=True, file=io.StringIO())
    print_report(evaluation_overview(evaluation), console)
    said = console.export_text()
    assert max(len(line.rstrip()) for line in said.splitlines()) <= 80
    assert (
        "Of their 100 first messages, 12 (12.0 %) were refused; of people-with-a-new-number, the "
        "worst persona, 30.0 %." in _words(said)
    )
    assert re.search(r"people-with-a-new-number\s+1\s+1\s+0\s+100\s+30\.0", said)


def test_tables_with_long_names_and_times_fit_80_columns(tmp_path: Path) -> None:
    rows = [account_row("b1", worst="ban", first_action_ms=NOON + HOUR, unwanted=1_234)]
    run = run_directory(tmp_path / "run", rows)
    labels = labels_file(tmp_path / "labels.csv", "b1,abusive,many-to-one-flood,")
    text = _printed(evaluate(run, labels))
    assert "many-to-one-flood" in text
    assert re.search(r"flood\s+1\sh; 1\sh\s+0; 0\s+1,234; 1,234\s+1,234", text)


def test_provenance_without_world_file_is_stated(tmp_path: Path) -> None:
    assert "No world.json says that the attacks were injected." in _words(
        _printed(_evaluation(tmp_path))
    )


def test_provenance_names_the_background_trace(tmp_path: Path) -> None:
    text = _words(_printed(_evaluation(tmp_path, {"background": "/somewhere/collegemsg.parquet"})))
    assert (
        "Injected attacks: 2 abusive accounts in 2 families and 2 benign accounts in 1 persona, "
        "inserted by the simulator into collegemsg.parquet (1 account without a label)." in text
    )


def test_provenance_names_a_simulated_platform(tmp_path: Path) -> None:
    text = _words(_printed(_evaluation(tmp_path, {"background": None})))
    assert "on a simulated platform" in text


def test_labelled_accounts_absent_from_log_are_stated(tmp_path: Path) -> None:
    text = _words(_printed(_evaluation(tmp_path)))
    assert "Labelled but not in the log: 1 benign account." in text


def test_provenance_states_runs_and_excluded_families(tmp_path: Path) -> None:
    runs = []
    for n, background in enumerate((None, "/somewhere/collegemsg.parquet")):
        _evaluation(tmp_path / str(n), {"background": background})
        runs.append((tmp_path / str(n) / "run", tmp_path / str(n) / "sim" / "labels.csv"))
    text = _words(_printed(evaluate_all(runs)))
    assert "into simulated people, collegemsg.parquet (2 accounts without a label)." in text
    assert "2 runs, counted together." in text
    assert "Each family weighing the same, 50.0 % were slowed or worse, 50.0 % restricted" in text
    assert "Excluded: the families slow." in _words(_printed(evaluate_all(runs, ["slow"])))


def test_page_is_self_contained_accessible_and_deterministic(tmp_path: Path) -> None:
    evaluation = _evaluation(tmp_path)
    write_html(evaluation_report(evaluation), tmp_path / "one.html")
    write_html(evaluation_report(evaluation), tmp_path / "two.html")
    text = (tmp_path / "one.html").read_text()
    assert text == (tmp_path / "two.html").read_text()
    assert text.count("<svg") == text.count('role="img"') == 3
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"|@import|<script', text) == []
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert len(identifiers) == len(set(identifiers))
    assert "&lt;shop&gt;" in text
    assert "<shop>" not in text


def test_page_states_the_result_first(tmp_path: Path) -> None:
    write_html(evaluation_report(_evaluation(tmp_path)), tmp_path / "one.html")
    text = (tmp_path / "one.html").read_text()
    assert "unwanted messages, 0 % were stopped (each family weighing the same: 0 %)" in text
    assert "Of 2 abusive accounts, 0 were slowed and 1 (50.0 %) restricted or worse." in text
    assert re.search("Of 2 benign accounts, [0-9] were slowed, 0 restricted or worse, 0 ban", text)


def test_page_without_abusive_accounts_is_written(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", [account_row("a")])
    found = evaluate(run, labels_file(tmp_path / "labels.csv", "a,benign,shop,"))
    write_html(evaluation_report(found), tmp_path / "one.html")
    assert (tmp_path / "one.html").read_text().count("<svg") == 1


def test_overview_lists_worst_families_first_and_counts_others(tmp_path: Path) -> None:
    families = {"a": "ban", "b": "limit", "c": "restrict", "d": "ban"}
    rows = [
        account_row(f"{name}1", worst=worst, unwanted=9 if name == "b" else 0, refused=27)
        for name, worst in families.items()
    ]
    run = run_directory(tmp_path / "run", rows)
    labels = labels_file(tmp_path / "l.csv", *(f"{name}1,abusive,{name}," for name in families))
    console = Console(width=80, record=True, file=io.StringIO())
    print_report(evaluation_overview(evaluate(run, labels), limit=2), console)
    text = console.export_text()
    said = " ".join(text.split())
    assert "Of 117 unwanted messages, 92.3 % were stopped (each family weighing the same: " in said
    assert "Of 4 abusive accounts, 1 were slowed and 3 (75.0 %) restricted or worse." in said
    counts = r"^(a|b|c|d|2 other families) +(\d+) +(\d+) +(\d+) +(\d+)"
    assert re.findall(counts, text, re.MULTILINE) == [
        ("b", "1", "1", "0", "75"),
        ("a", "1", "0", "1", "100"),
        ("2 other families", "2", "0", "2", "100"),
    ]


def test_overview_without_false_actions_has_no_persona_table(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", [account_row("p")])
    console = Console(width=80, record=True, file=io.StringIO())
    labels = labels_file(tmp_path / "l.csv", "p,benign,shop,")
    print_report(evaluation_overview(evaluate(run, labels)), console)
    text = console.export_text()
    assert "Of 1 benign account, 0 were slowed, 0 restricted or worse, 0 banned." in text
    assert "persona" not in text
