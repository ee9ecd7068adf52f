"""`import wavebreak`: tables in and out, results that explain themselves, and a stream."""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

import wavebreak as wb
from wavebreak.errors import FileError, PolicyError, SnapshotError, UsageError
from wavebreak.library.results import DECISIONS
from wavebreak.outcomes import REFUSING

KEY = b"0123456789abcdef"
BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
COLUMNS = {"ts": "sent_at", "type": "kind", "account": "from", "peer": "to"}
SENDER = "a-bulk"


def rows() -> list[dict[str, Any]]:
    """Give a sender to ninety strangers, of whom twelve block it, among people who answer."""
    made = list[dict[str, Any]]()

    def add(seconds: int, kind: str, account: str, peer: str) -> None:
        moment = BEGIN + timedelta(seconds=seconds)
        made.append({"sent_at": moment, "kind": kind, "from": account, "to": peer})

    for k in range(90):
        add(600 + 6 * k, "message.sent", SENDER, f"p-{k}")
        if k < 12:
            add(700 + 6 * k, "user.blocked", f"p-{k}", SENDER)
    for k in range(60):
        add(30 * k, "message.sent", f"h-{k % 6}", f"h-{(k + 1) % 6}")
        add(30 * k + 9, "message.sent", f"h-{(k + 1) % 6}", f"h-{k % 6}")
    add(9000, "message.sent", "h-0", "h-1")
    return sorted(made, key=lambda row: row["sent_at"])


def table_events() -> wb.Events:
    return wb.events(pa.Table.from_pylist(rows()), columns=COLUMNS, key=KEY)


@pytest.fixture(scope="module")
def result() -> wb.Result:
    return wb.decide(table_events(), enforce=True, progress=False)


def _plain() -> list[dict[str, Any]]:
    """Give the rows with the names of the event schema."""
    return [
        {"ts": row["sent_at"], "type": row["kind"], "account": row["from"], "peer": row["to"]}
        for row in rows()
    ]


def worst(result: wb.Result, account: str) -> str:
    accounts = result.accounts.to_pylist()
    return str(next(row["worst"] for row in accounts if row["account"] == account))


def test_a_table_of_foreign_columns_gives_decisions_in_declared_columns(result: wb.Result) -> None:
    assert result.decisions.schema == DECISIONS
    assert tuple(DECISIONS.names) == wb.Decision.__struct_fields__
    assert worst(result, SENDER) in REFUSING
    first = result.decisions.to_pylist()[0]
    assert first["account"] == SENDER
    assert BEGIN < first["ts"] < BEGIN + timedelta(hours=3)
    assert first["reasons"][0].keys() == {"feature", "value", "contribution"}
    assert {row["account"] for row in result.decisions.to_pylist()} == {SENDER}
    assert result.rejected.num_rows == result.operators.num_rows == 0
    assert result.summary()["accepted"] == len(rows())


def test_lists_dicts_and_files_give_the_same_decisions(result: wb.Result, tmp_path: Path) -> None:
    made = rows()
    columns = {name: [row[name] for row in made] for name in made[0]}
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in made), encoding="utf-8")
    read = wb.read_events(path, columns=COLUMNS, key=KEY)
    for source in (made, columns):
        decided = wb.decide(wb.events(source, columns=COLUMNS), enforce=True, progress=False)
        assert decided.decisions.equals(result.decisions)
    kept = wb.decide(read, enforce=True, progress=False).decisions
    # Events that a file names have its name in their ids.
    assert kept.drop(["id", "trigger"]).equals(result.decisions.drop(["id", "trigger"]))


def test_a_field_of_later_rows_is_not_lost() -> None:
    kept = wb.events([
        {"ts": 1_772_366_400_000, "account": "a", "peer": "b"},
        {"ts": 1_772_366_400_001, "account": "a", "peer": "b", "size": 7},
    ], time="ms")  # fmt: skip
    assert kept.preview()["size"].to_pylist() == [None, 7]


def test_preview_shows_dates_words_and_pseudonyms() -> None:
    made = [{"ts": BEGIN, "account": "0541234567", "peer": "+972 54-765-4321", "ip": "203.0.113.7"}]
    kept = wb.events(made, country="IL", key=KEY)
    row = kept.preview().to_pylist()[0]
    assert (row["ts"], row["type"]) == (BEGIN, "message.sent")
    assert row["account"] == kept.pseudonym("054-123-4567") != kept.pseudonym("054-123-4568")
    assert not {"0541234567", "972541234567", "203.0.113.7"} & set(map(str, row.values()))


def test_phone_numbers_of_a_table_never_reach_the_disk(tmp_path: Path) -> None:
    made = [
        {"ts": BEGIN + timedelta(seconds=k), "account": "+972541234567", "peer": f"+97254765432{k}"}
        for k in range(9)
    ]
    wb.decide(wb.events(made, key=KEY), out=tmp_path / "out", progress=False)
    for path in (tmp_path / "out").iterdir():
        assert b"54123456" not in path.read_bytes(), path.name


def test_a_key_of_the_session_is_said_where_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WAVEBREAK_KEY", raising=False)
    with pytest.warns(UserWarning, match="key of this session"):
        assert wb.events([{"ts": BEGIN, "account": "a", "device": "d"}]).key
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wb.events([{"ts": BEGIN, "account": "a", "peer": "b"}]).key
        assert wb.example_events().key
    with pytest.raises(FileError):
        wb.events([{"ts": BEGIN, "account": "a"}], key=tmp_path / "absent").preview()


def test_an_engine_warns_of_its_key_when_something_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WAVEBREAK_KEY", raising=False)
    event = {"ts": BEGIN, "type": "session.started", "account": "a"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = wb.Engine()
        assert engine.update((event, event)) == []
        assert wb.decide([row | {"type": "message.sent"} for row in _plain()], progress=False)
    with pytest.warns(UserWarning, match="key of this session"):
        engine.update(event | {"device": "d"})


def test_ids_that_look_like_phone_numbers_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event = {"ts": 1_772_366_400_000, "type": "message.sent", "account": "+972541234567"}
    path.write_text(json.dumps(event | {"peer": "b"}) + "\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="looks like a phone number"):
        wb.decide(path, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wb.decide(wb.read_events(path, key=KEY), allow_identifiers=True, progress=False)


def test_what_failed_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def stop(share: float, text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wb.decide(table_events(), progress=stop)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ([], "has no rows"),
        (
            pa.table({"ts": pa.array([], pa.int64()), "account": pa.array([], pa.string())}),
            "no row",
        ),
        ({"ts": 1, "account": "a"}, "no table"),
    ],
)
def test_a_table_without_rows_is_named_so(table: Any, problem: str) -> None:
    with pytest.raises(wb.Error, match=problem):
        wb.events(table)


def test_what_is_no_table_or_not_certain_is_refused_with_a_fix() -> None:
    with pytest.raises(wb.Error, match="no table"):
        wb.events(7)
    with pytest.raises(wb.Error) as uncertain:
        wb.events([{"when": "05/06/2026 10:00", "from": "a", "to": "b"}])
    assert "zone" in str(uncertain.value)
    with pytest.raises(FileError, match="no such file"):
        wb.read_events("nowhere.parquet")


def test_an_explanation_prints_shows_itself_and_saves(result: wb.Result, tmp_path: Path) -> None:
    story = result.explain(SENDER)
    assert "would have been" not in str(story)
    assert "limited" in str(story)
    assert story.to_dict()["account"] == SENDER
    shown = story._repr_html_()
    assert f"<h3>Account {SENDER}</h3>" in shown
    assert "<svg" in shown
    assert "--accent" not in shown
    story.save(tmp_path / "why.html")
    assert story.html == (tmp_path / "why.html").read_text(encoding="utf-8")
    story.save(tmp_path / "why.json")
    assert json.loads((tmp_path / "why.json").read_text(encoding="utf-8"))["account"] == SENDER
    with pytest.raises(UsageError, match=r"no format"):
        story.save(tmp_path / "why.docx")
    with pytest.raises(wb.Error, match="did you mean a-bulk"):
        result.explain("a-bulc")


def test_a_cell_of_a_notebook_escapes_what_strangers_named() -> None:
    name = "<img src=x onerror=alert(1)>"
    made = [row | {"from": name if row["from"] == SENDER else row["from"]} for row in rows()]
    for row in made:
        row["to"] = name if row["to"] == SENDER else row["to"]
    read = wb.events(made, columns=COLUMNS)
    decided = wb.decide(read, allow_identifiers=True, progress=False)
    shown = decided.explain(name)._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_a_picture_is_matplotlibs_and_belongs_to_nobody(result: wb.Result, tmp_path: Path) -> None:
    picture = result.plot(SENDER)
    assert picture._repr_svg_().startswith("<svg")
    picture.axes[0].set_title("A sender")
    assert "A sender" in picture._repr_svg_()
    picture.save(tmp_path / "sender.png")
    assert (tmp_path / "sender.png").read_bytes().startswith(b"\x89PNG")


def test_the_events_of_a_picture_may_be_gone(tmp_path: Path) -> None:
    decided = wb.decide(table_events(), out=tmp_path / "out", progress=False)
    (tmp_path / "out" / "events.parquet").unlink()
    with pytest.raises(UsageError, match="not there any more"):
        wb.Result.open(decided.directory).plot(SENDER)
    with pytest.raises(UsageError, match="there is no operator op-1"):
        decided.plot_operator("op-1")


def test_evaluation_takes_a_table_of_labels(result: wb.Result) -> None:
    labels = pa.table({
        "account": [SENDER, *(f"h-{k}" for k in range(6))],
        "label": ["abusive", *["benign"] * 6],
        "family": ["bulk", *["friends"] * 6],
        "operator": ["", *[""] * 6],
    })  # fmt: skip
    report = result.evaluate(labels)
    assert "Of 6 benign accounts, 0 were slowed" in str(report)
    assert report.to_dict() == wb.evaluate([result], labels).to_dict()
    assert report.pictures
    excluded = wb.evaluate(result, labels, exclude=["bulk"])
    assert excluded.to_dict() != report.to_dict()


def test_a_comparison_lists_the_accounts_that_change(result: wb.Result) -> None:
    policy = wb.load_policy().with_rule(
        id="ten_strangers", when=["strangers_contacted_1h >= 10"], outcome="limit", duration="1h"
    )
    comparison = wb.compare(table_events(), wb.load_policy(), policy, progress=False)
    assert comparison.table.schema.names[:4] == ["account", "change", "first", "second"]
    assert comparison.second.summary()["rules"]["ten_strangers"]["hits"] > 0
    assert comparison.first.decisions.num_rows <= comparison.second.decisions.num_rows
    assert str(comparison).startswith(comparison.full.title)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"when": ["strangers_contcted_1h >= 10"]}, "strangers_contcted_1h"),
        ({"when": ["channel >= 0"], "outcome": "ban"}, "basis"),
        ({"outcome": "limit", "when": ["channel >= 9"]}, "without for"),
        ({"when": ["channel >= 9"], "colour": "red"}, "colour"),
    ],
)
def test_a_rule_of_ones_own_is_checked_as_one_of_a_file(
    fields: dict[str, Any], problem: str
) -> None:
    defaults = {"id": "mine", "outcome": "observe"}
    with pytest.raises(PolicyError, match=problem):
        wb.load_policy().with_rule(**defaults | fields)


def test_a_rule_takes_the_place_of_one_with_its_id() -> None:
    policy = wb.load_policy()
    again = policy.with_rule(id="mine", when=["sends_1h >= 9"], outcome="observe")
    changed = again.with_rule(id="mine", when=["sends_1h >= 8"], outcome="observe")
    assert len(again.rules) == len(changed.rules) == len(policy.rules) + 1
    assert len({policy.version, again.version, changed.version}) == 3


@wb.feature(unit="ratio", about="Strangers it wrote to for each message.", bounds=(0, 1))
def strangers_each_message(strangers_contacted_1h: float, sends_1h: float) -> float | None:
    """Return the share."""
    if sends_1h < 5:
        return None
    return min(1, strangers_contacted_1h / sends_1h)


def test_a_rule_reads_a_feature_of_ones_own() -> None:
    policy = wb.load_policy().with_rule(
        id="only_strangers", when=["strangers_each_message >= 0.9"], outcome="limit", duration="1h"
    )
    decided = wb.decide(table_events(), policy, progress=False)
    rules = [rule for row in decided.decisions.to_pylist() for rule in row["rules"]]
    assert "only_strangers" in rules
    assert "Strangers it wrote to for each message." in decided.explain(SENDER).html


def test_a_stream_decides_as_a_file_does(result: wb.Result, tmp_path: Path) -> None:
    plain = _plain()
    engine = wb.Engine(enforce=True, sample=table_events(), key=KEY)
    decisions = list[wb.Decision]()
    half = len(plain) // 2
    for event in plain[:half]:
        decisions += engine.update(event)
    engine.save(tmp_path / "state")
    engine = wb.Engine.load(tmp_path / "state", enforce=True, sample=table_events(), key=KEY)
    decisions += engine.update(plain[half : half + 5])
    decisions += engine.update(pa.Table.from_pylist(plain[half + 5 :]))
    decisions += engine.finish()
    assert [(d.ts, d.account, d.outcome, d.rules) for d in decisions] == [
        (int(row["ts"].timestamp() * 1000), row["account"], row["outcome"], tuple(row["rules"]))
        for row in result.decisions.to_pylist()
    ]
    with pytest.raises(SnapshotError):
        wb.Engine.load(tmp_path / "state", sample=wb.example_events(), key=KEY)


def test_asking_changes_nothing() -> None:
    engine = wb.Engine(enforce=True, key=KEY)
    for k in range(120):
        engine.update({"ts": BEGIN + timedelta(seconds=2 * k), "type": "message.sent",
                       "account": SENDER, "peer": f"p-{k}"})  # fmt: skip
    later = BEGIN + timedelta(seconds=245)
    question: dict[str, Any] = {
        "ts": later.isoformat(),
        "type": "message.sent",
        "account": SENDER,
        "peer": "q",
    }
    answer = engine.ask(question)
    assert answer == engine.ask(**question)
    assert answer.refused
    assert answer.outcome in REFUSING
    assert answer.until is not None
    assert answer.until > later
    honest = engine.ask(ts=later, type="message.sent", account="h-1", peer="h-2")
    assert (honest.outcome, honest.refused, honest.until, honest.rules) == (
        "allow",
        False,
        None,
        (),
    )


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"ts": datetime(2026, 3, 2), "type": "message.sent"}, "no time zone"),
        ({"ts": "yesterday", "type": "message.sent"}, "is no time"),
        ({"ts": 1_772_366_400_000, "type": "message.sent", "text": "hello"}, "text"),
        ({"type": "message.sent"}, "ts"),
    ],
)
def test_a_question_about_an_invalid_event_is_refused(event: dict[str, Any], problem: str) -> None:
    with pytest.raises(wb.Error, match=problem):
        wb.Engine(key=KEY).ask({"account": "a", "peer": "b"} | event)


def test_invalid_events_of_a_stream_are_kept_with_their_causes() -> None:
    engine = wb.Engine(key=KEY)
    valid = {"ts": BEGIN, "type": "message.sent", "account": "a", "peer": "b"}
    assert engine.update([valid, valid | {"type": "message.sung"}, valid | {"ts": 5}]) == []
    assert len(engine.rejected) >= 1
    assert (engine.rejected[0].line, engine.rejected[0].field) == (2, "type")
    assert engine.update([]) == []
    written = {name: [value] for name, value in (valid | {"ts": BEGIN.isoformat()}).items()}
    count = len(engine.rejected)
    assert engine.update(pa.table(written)) == []
    assert len(engine.rejected) == count
    with pytest.raises(wb.Error, match="no form"):
        engine.update(valid | {"peer": object()})


def test_progress_may_be_a_function() -> None:
    shares = list[float]()
    wb.decide(table_events(), progress=lambda share, text: shares.append(share))
    assert shares
    assert max(shares) <= 1


def test_a_notebook_shows_a_line_that_goes_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = list[str]()
    handle = SimpleNamespace(update=shown.append)
    display = SimpleNamespace(HTML=str, display=lambda text, display_id: handle)
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    wb.decide(table_events())
    assert "compiles" in shown[0]
    assert any("events" in text for text in shown[1:])
    assert shown[-1] == ""
