"""A job's fan-out and groups, without Flink: what they emit, and how they go on from marks."""

from __future__ import annotations

import shutil
import threading
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest

from support.external_servers import postgresql
from support.flink_jobs import Decided, blocks, decided, final_state, groups, stretch
from support.shard_comparison import different
from wavebreak.engine import snapshot, state_ceiling
from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak.engine.published import merged
from wavebreak.engine.shard_group import ROUNDS
from wavebreak.errors import FileError, SnapshotError, StateSizeError
from wavebreak_flink import event_log
from wavebreak_flink.exchange import open_exchange
from wavebreak_flink.fan_out import FanOut
from wavebreak_flink.marks import Marks
from wavebreak_flink.sealed import Seal
from wavebreak_flink.switches import Switches


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Decided:
    made = decided(tmp_path_factory.mktemp("day"), people=30, days=0.1, model="none")
    assert len(made.decisions) > 10
    return made


def test_groups_decide_what_the_engine_decides(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, groups=3, model="none")
    rows = stretch(job, 0, len(blocks(job)))
    assert merged(rows, "decision") == day.decisions
    assert merged(rows, "operator") == day.operators
    whole = Marks(job).read(len(blocks(job)), 0, 1, Switches(job).deciding(0))
    state = {name: a for name, a in whole.items() if name.startswith(("core.", "linker."))}
    assert list(different(final_state(job), state)) == []


def test_other_numbers_of_groups_go_on_from_marks(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, groups=2, model="none")
    end = len(blocks(job))
    rows = stretch(job, 0, 5)
    rows += stretch(msgspec.structs.replace(job, groups=3), 5, 7)
    rows += stretch(msgspec.structs.replace(job, groups=1), 7, end)
    assert merged(rows, "decision") == day.decisions
    assert merged(rows, "operator") == day.operators
    assert len(rows) == len(day.decisions) + len(day.operators)


def test_a_damaged_mark_is_passed_over(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, groups=2, model="none")
    rows = stretch(job, 0, 7)
    newest = max(Marks(job).numbers())
    part = tmp_path / "marks" / f"{newest:012d}" / "group-1-of-2"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    assert Marks(job).newest(7, Switches(job).deciding)[0] == newest - job.mark_every
    rows += stretch(job, 7, len(blocks(job)))
    # On the way the damaged one is written again.
    assert Marks(job).newest(7, Switches(job).deciding)[0] == newest
    assert merged(rows, "decision") == day.decisions


def test_a_mark_that_lacks_a_group_is_passed_over(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, groups=2, model="none")
    stretch(job, 0, 7)
    (tmp_path / "marks" / f"{6:012d}" / "group-0-of-2").unlink()
    assert Marks(job).newest(7, Switches(job).deciding)[0] == 3


def test_a_mark_that_the_job_did_not_write_is_passed_over(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, groups=2, model="none")
    rows = stretch(job, 0, 7)
    for part in (tmp_path / "marks" / f"{6:012d}").iterdir():
        # An older mark in the place of a newer one, and one under no key.
        older = tmp_path / "marks" / f"{3:012d}" / part.name
        if part.name == "fan-out":
            snapshot.write(snapshot.read(part), part)
        else:
            shutil.copy(older, part)
    assert Marks(job).newest(7, Switches(job).deciding)[0] == 3
    rows += stretch(job, 7, len(blocks(job)))
    assert merged(rows, "decision") == day.decisions


def test_a_mark_of_two_policies_is_passed_over(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, groups=2, model="none")
    stretch(job, 0, 7)
    part = tmp_path / "marks" / f"{6:012d}" / "group-0-of-2"
    state, key = snapshot.read(part), Seal(job).key("mark", 6)
    snapshot.write(snapshot.EngineState(state.about | {"switches": 1}, state.arrays), part, key)
    assert Marks(job).newest(7, Switches(job).deciding)[0] == 3


def test_a_mark_of_another_mode_is_refused(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, model="none")
    stretch(job, 0, 4)
    shadow = msgspec.structs.replace(job, enforce=False)
    with pytest.raises(SnapshotError, match="another policy, model, profile or mode"):
        stretch(shadow, 4, 5)


def test_only_the_newest_marks_are_kept(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, model="none", mark_every=2, marks_kept=2)
    stretch(job, 0, 9)
    assert sorted(Marks(job).numbers()) == [6, 8]


def test_marks_that_are_ahead_push_none_out(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, model="none", mark_every=2, marks_kept=2)
    stretch(job, 0, 9)
    # As from a checkpoint that is older than all marks: it would find none if it failed again.
    stretch(job, 3, 6)
    assert sorted(Marks(job).numbers()) == [2, 4, 6, 8]


def test_a_group_that_begins_in_mid_log_stops_the_job(day: Decided, tmp_path: Path) -> None:
    job = day.settings(tmp_path, model="none")
    log = blocks(job)
    fan_out = FanOut(job, log)
    messages = [step.messages for n in range(2) for step in fan_out.take(n)]
    with pytest.raises(RuntimeError, match="the job has to restart"):
        groups(job, messages[1:])


def test_refused_events_are_said_once(day: Decided, tmp_path: Path) -> None:
    source = tmp_path / "log"
    source.mkdir()
    (source / "1.jsonl").write_text('{"type":"message.sent"}\n', "utf-8")
    shutil.copy(day.log, source / "2.jsonl")
    job = day.settings(tmp_path / "job", model="none")
    log = event_log.cut(source, 200_000)

    def said(fan_out: FanOut, number: int) -> list[tuple[str, str]]:
        steps = fan_out.take(number)
        return [(step.file, refusal.cause) for step in steps for refusal in step.refused]

    before, after = FanOut(job, log), FanOut(job, log)
    assert said(before, 0) == [("1.jsonl", "missing_field")]
    assert said(before, 1) == []
    # It begins in the middle of the log, and reads what came before again.
    assert said(after, 2) == []


def test_a_process_beyond_its_memory_stops_the_job(
    day: Decided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = day.settings(tmp_path, groups=2, model="none", max_memory="9MiB")
    # As if a process needed nothing besides its state.
    monkeypatch.setattr(state_ceiling, "FIXED_BYTES", 0)
    monkeypatch.setattr(state_ceiling, "LEAST_BYTES", 0)
    assert stretch(job, 0, 2) == stretch(msgspec.structs.replace(job, max_memory=""), 0, 2)
    tight = msgspec.structs.replace(job, max_memory="64KiB")
    with pytest.raises(StateSizeError, match=r"group . of 2 needs .* at block 0.* --parallelism"):
        groups(tight, [next(FanOut(job, blocks(job)).take(0)).messages])
    with pytest.raises(StateSizeError, match=r"the fan-out needs .* --max-memory"):
        list(FanOut(tight, blocks(job)).take(0))


@pytest.mark.parametrize("database", [False, True])
def test_a_row_is_written_once_and_compared_after(
    day: Decided, tmp_path: Path, database: bool
) -> None:
    url = f"{postgresql().url}/postgres" if database else ""
    job = day.settings(tmp_path / f"job{database}", exchange=url)
    with closing(open_exchange(job, 0)) as exchange:
        assert exchange.all(600, b"said") == [b"said"]
        assert exchange.all(600, b"said") == [b"said"]
        with pytest.raises(ExchangeConflictError, match="round 600 of group 0"):
            exchange.all(600, b"not said")
        # Two new rounds show that no group is behind.
        for number in (3 * ROUNDS, 3 * ROUNDS + 1):
            exchange.all(number, b"said")
        exchange.forget(3)
        assert exchange.all(600, b"another") == [b"another"]


@pytest.mark.parametrize("database", [False, True])
def test_a_group_that_runs_ahead_after_a_restart_forgets_nothing(
    day: Decided, tmp_path: Path, database: bool
) -> None:
    url = f"{postgresql().url}/postgres" if database else ""
    job = day.settings(tmp_path / f"ahead{database}", exchange=url, groups=2)
    rounds = [number * ROUNDS for number in range(1, 5)]

    def take(group: int, numbers: list[int], *, forget: int = 0) -> None:
        with closing(open_exchange(job, group)) as exchange:
            for number in numbers:
                assert exchange.all(number, b"said") == [b"said"] * 2
                exchange.forget(forget)

    def together(numbers: list[int], *, forget: int = 0) -> None:
        other = threading.Thread(target=take, args=(1, numbers))
        other.start()
        take(0, numbers, forget=forget)
        other.join()

    together(rounds)
    # All rows are there: the first group waits for nobody.
    take(0, rounds, forget=4)
    take(1, rounds)
    together([5 * ROUNDS, 6 * ROUNDS], forget=6)
    patient = msgspec.structs.replace(job, patience_s=1)
    with (
        closing(open_exchange(patient, 1)) as exchange,
        pytest.raises(TimeoutError, match="said nothing"),
    ):
        exchange.all(rounds[0], b"said")


@pytest.mark.parametrize("database", [False, True])
@pytest.mark.parametrize("source", ["plain", "round", "group", "generation"])
def test_a_row_of_another_writer_place_or_job_stops_the_group(
    day: Decided, tmp_path: Path, source: str, database: bool
) -> None:
    url = f"{postgresql().url}/postgres" if database else ""
    job = day.settings(tmp_path / f"{source}{database}", exchange=url, groups=2, patience_s=5)
    other = msgspec.structs.replace(job, generation="earlier") if source == "generation" else job
    place = {"round": (6, 1), "group": (5, 0)}.get(source, (5, 1))
    row = Seal(other).close(("round", place[0], "group", place[1], "of", 2), b"said")
    forged = b"said" if source == "plain" else row
    with closing(open_exchange(job, 0)) as exchange:
        if database:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "INSERT INTO wavebreak_flink_rows VALUES (%s, 2, 5, 1, %s)",
                    (f"{job.name}/{job.generation}", forged),
                )
        else:
            (tmp_path / f"{source}{database}" / "rounds/2/5.1").write_bytes(forged)
        with pytest.raises(FileError, match=r"round 5 group 1 of 2 .* not written under its key"):
            exchange.all(5, b"own")


@pytest.mark.parametrize("database", [False, True])
def test_a_group_that_stays_away_is_named(day: Decided, tmp_path: Path, database: bool) -> None:
    url = f"{postgresql().url}/postgres" if database else ""
    job = day.settings(tmp_path / f"away{database}", exchange=url, groups=2, patience_s=1)
    with (
        closing(open_exchange(job, 1)) as exchange,
        pytest.raises(TimeoutError, match="said nothing in round 5 for 1 s"),
    ):
        exchange.all(5, b"said")
