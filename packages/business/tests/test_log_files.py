"""Files of every layout, broken ones, and bounds on memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.business_logs import KEY, NOON, person, status, write_lines
from wavebreak.errors import FileError
from wavebreak_business import log_files
from wavebreak_business.identities import Identities
from wavebreak_business.log_files import Place, Reading, read_consent, read_logs
from wavebreak_business.providers import read_payload
from wavebreak_business.record_table import RecordTable

ONE, TWO = (status(f"m{n}", person(n), "sent", NOON + n) for n in (1, 2))


def load(*paths: Path) -> tuple[RecordTable, Reading]:
    table = RecordTable(Identities(KEY))
    return table, read_logs(paths, table)


@pytest.mark.parametrize(
    "text",
    [
        f"{json.dumps(ONE)}\n{json.dumps(TWO)}\n",
        f"{json.dumps(ONE)}\r\n\r\n{json.dumps(TWO)}",
        json.dumps([ONE, TWO]),
        json.dumps([ONE, TWO], indent=2),
        f" \n [{json.dumps(ONE)} ,\n{json.dumps(TWO)} ]\n",
        f"[{json.dumps(ONE)}]\n[{json.dumps(TWO)}]\n",
        f"\ufeff{json.dumps(ONE)}\n{json.dumps(TWO)}\n",
        f"{json.dumps([ONE])}\n{json.dumps({'body': TWO})}\n",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_layout_gives_the_same_records(tmp_path: Path, text: str, packed: bool) -> None:
    data = text.encode()
    path = tmp_path / "log.json"
    path.write_bytes(gzip.compress(data) if packed else data)
    table, reading = load(path)
    assert (len(table), len(table.people.texts), reading.broken) == (2, 2, {})


def test_file_of_one_payload_over_several_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(ONE, indent=4), encoding="utf-8")
    assert len(load(path)[0]) == 1


def test_entries_across_chunks_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = {"note": 'a "quoted\\" [bracket] {', "more": ["\\", "]"]}
    path = tmp_path / "log.json"
    path.write_text(json.dumps([ONE, hostile, TWO]), encoding="utf-8")
    for chunk in (1, 2, 3, 7):
        monkeypatch.setattr(log_files, "_CHUNK", chunk)
        table, reading = load(path)
        assert (len(table), reading.values, reading.broken) == (2, 3, {})


def test_directory_is_read_in_order_and_other_files_are_left(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write_lines(tmp_path / "b" / "2.jsonl", TWO)
    write_lines(tmp_path / "1.ndjson", ONE)
    (tmp_path / "notes.md").write_text("{}", encoding="utf-8")
    (tmp_path / ".hidden.json").write_text("{}", encoding="utf-8")
    table, reading = load(tmp_path)
    assert (len(table), reading.files) == (2, 2)


def test_broken_lines_are_counted_with_their_places(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", ONE, "{cut", TWO, "", "[1,", "nope")
    table, reading = load(path)
    assert len(table) == 2
    assert reading.broken == {"not_json": 3}
    assert reading.places[0] == Place("log.jsonl", "line", 2, "not_json")


def test_list_that_is_cut_off_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    whole = json.dumps([ONE, TWO])
    for cut in (len(whole) - 1, len(whole) - 2, len(json.dumps(ONE)) + 20):
        path.write_text(whole[:cut], encoding="utf-8")
        table, reading = load(path)
        assert len(table) == 1
        assert reading.broken == {"not_json": 1}


def test_gzip_that_is_cut_off_keeps_what_came_before(tmp_path: Path) -> None:
    lines = "".join(f"{json.dumps(status(f'm{n}', person(n % 9), 'sent', NOON))}\n"
                    for n in range(30_000))  # fmt: skip
    packed = gzip.compress(lines.encode())
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    table, reading = load(path, write_lines(tmp_path / "next.jsonl", ONE))
    assert len(table) > 100
    assert reading.broken["gzip_broken"] == 1
    assert reading.files == 2


def test_payload_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_VALUE", 2_000)
    long = {"body": "x" * 3_000}
    lines = write_lines(tmp_path / "log.jsonl", ONE, long, TWO)
    entries = tmp_path / "log.json"
    entries.write_text(json.dumps([ONE, long, TWO]), encoding="utf-8")
    for path in (lines, entries):
        table, reading = load(path)
        assert len(table) == 2
        assert reading.broken == {"too_long": 1}


def test_deep_nesting_is_broken_and_not_fatal(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", ONE, "[" * 100_000, '{"a":' * 100_000)
    assert load(path)[1].broken == {"not_json": 2}


def test_missing_path_and_empty_directory_are_errors(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path, "no log"),
        (Path("/dev/null"), "no file"),
    ):
        with pytest.raises(FileError, match=what):
            load(path)


def test_file_named_after_a_number_is_not_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / f"{person(7)}.jsonl", "{cut")
    assert load(path)[1].places[0].file == "file 1"


def test_consent_is_read_and_a_bad_row_is_named_without_its_values(tmp_path: Path) -> None:
    table, path = RecordTable(Identities(KEY)), tmp_path / "consent.csv"
    path.write_text(f"person,at,source\n+{person(1)},2026-11-01T10:00:00Z,shop\n", encoding="utf-8")
    assert (read_consent(path, table), len(table)) == (1, 1)
    path.write_text(f"person,at\n{person(1)},soon\n", encoding="utf-8")
    with pytest.raises(FileError, match="row 1 has no person or no time") as error:
        read_consent(path, table)
    assert person(1) not in str(error.value)


MEASURE = """
import resource, sys
from pathlib import Path
from wavebreak_business.answers import Options
from wavebreak_business.findings import find
from wavebreak_business.identities import Identities
from wavebreak_business.log_files import read_logs
from wavebreak_business.record_table import RecordTable
from wavebreak_business.settings import load_settings
table = RecordTable(Identities(bytes(range(16))))
read_logs([Path(sys.argv[1])], table)
found = find(table, load_settings(), Options())
print(found.totals.messages, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measured(path: Path) -> tuple[int, int]:
    """Messages of a log, and the most memory in KiB that a process needed for them."""
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    messages, kib = map(int, done.stdout.split())
    return messages, kib


def test_memory_grows_with_records_and_not_with_bytes(tmp_path: Path) -> None:
    """Sixty megabytes of texts, in one list on one line, cost no more than the reader's buffers."""
    small, large = tmp_path / "small.json", tmp_path / "large.json"
    for path, padding in ((small, 0), (large, 30_000)):
        with path.open("w", encoding="utf-8") as file:
            file.write("[")
            for n in range(2_000):
                text = {"padding": "x" * padding}
                one = status(f"m{n}", person(n % 900), "sent", NOON + n) | text
                file.write(f"{',' if n else ''}{json.dumps(one)}")
            file.write("]")
    (messages, kib), (same, more) = measured(small), measured(large)
    assert messages == same == 2_000
    assert large.stat().st_size > 60_000_000
    assert more - kib < 5 * log_files.MAX_VALUE // 1024


def test_table_holds_a_bounded_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavebreak_business.record_table.MAX_RECORDS", 3)
    table = RecordTable(Identities(KEY))
    with pytest.raises(FileError, match="more than 3 records") as error:
        read_payload([ONE] * 4, table)
    assert "a month" in error.value.fix
