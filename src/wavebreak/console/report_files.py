"""Transparency reports of a service: made and recounted by the command, kept as files.

HOME/reports/2026-11/ holds the report of a month, and recount.json what a recount found. A report
is counted by a process of its own, `wavebreak transparency report`, so that the service goes on.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from wavebreak.console.commands import Ended, RunningCommand
from wavebreak.errors import WavebreakError
from wavebreak.service.errors import ApiError
from wavebreak.transparency import Report, read_report
from wavebreak.transparency.report import shown

MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")
RECOUNT = "recount.json"
FILES = {
    "report.html": "text/html; charset=utf-8",
    "report.json": "application/json",
    "report.csv": "text/csv; charset=utf-8",
    "accounts.csv": "text/csv; charset=utf-8",
}
"""Files of a report that a page links to, beside the DSA's."""


STATEMENTS = "statements"
STATEMENT_MEDIA = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
STATEMENTS_FILE = re.compile(r"statements-(20\d\d-(?:0[1-9]|1[0-2]))\.(jsonl|csv)")
COUNTS = "counts.json"


class Statements(NamedTuple):
    """A month's statements of reasons: when they were written, how many, and their files."""

    month: str
    at_ms: int
    number: int
    files: list[str]


class Kept(NamedTuple):
    """A report that is kept: its month, the report, its files, what its recount found."""

    month: str
    report: Report
    files: list[str]
    recount: dict[str, Any] | None

    def number(self, name: str) -> str:
        """Return a number of the report as it is published; a dash where it has none."""
        found = self.report.numbers().get(name)
        return shown(found, self.report.minimum) if found else "–"

    @property
    def figures(self) -> list[tuple[str, str]]:
        """The numbers that the list of reports shows."""
        return [(label, self.number(name)) for label, name in _FIGURES]


_FIGURES = (
    ("Decisions", "decisions.total"),
    ("Accounts acted on", "accounts.acted"),
    ("Appeals received", "appeals.received"),
    ("Reversed", "appeals.reversed"),
)


class ReportFiles:
    """The reports of a service.

    Args:
        home: The service's directory.
        database: URL of its database (empty: SQLite in `home`).
    """

    def __init__(self, home: Path, database: str = "") -> None:
        self.place, self._home, self._database = home / "reports", home, database
        self.statements_place = self.place / STATEMENTS
        self._lock = threading.Lock()
        self._running: dict[str, RunningCommand] = {}
        self._failed: dict[str, str] = {}

    def kept(self) -> Iterator[Kept]:
        """Return the reports, newest first; one that cannot be read is left out."""
        for directory in sorted(self.place.glob("20??-??"), reverse=True):
            try:
                report = read_report(directory)
            except WavebreakError:
                continue
            files = [name for name in FILES if (directory / name).is_file()]
            files += sorted(f"dsa/{path.name}" for path in (directory / "dsa").glob("*.csv"))
            found = directory / RECOUNT
            recounted = json.loads(found.read_text("utf-8")) if found.is_file() else None
            yield Kept(directory.name, report, files, recounted)

    def file(self, month: str, name: str) -> tuple[Path, str]:
        """Return a file of a report and its media type; raises ApiError (404)."""
        media = FILES.get(name) or ("text/csv; charset=utf-8" if _is_dsa(name) else "")
        path = self.place / month / name
        if not MONTH.fullmatch(month) or not media or not path.is_file():
            raise ApiError(404, "there is no such file", fix="see the list of reports")
        return path, media

    def make(self, month: str, provider: str, now_ms: int) -> None:
        """Begin to count the report of a month; raises ApiError (409, 422)."""
        start, after = _bounds(month, now_ms)
        made = self.place / f"{month}.new"
        shutil.rmtree(made, ignore_errors=True)
        command = ["report", str(self._home), "--from", start, "--to", after]
        self._begin(month, [*command, "--provider", provider, "-o", str(made)])

    def recount(self, month: str) -> None:
        """Begin to recount a report from the ledger; raises ApiError (404, 409)."""
        self.file(month, "report.json")
        key = str(self._home / "ledger.pub")
        arguments = ["recount", str(self.place / month), str(self._home), "--key", key, "--json"]
        self._begin(f"{month} recount", arguments)

    def export_statements(self, month: str, key: bytes, policy: Path | None, now_ms: int) -> None:
        """Begin to write a month's statements of reasons; raises ApiError (409, 422)."""
        start, after = _bounds(month, now_ms)
        arguments = ["statements", str(self._home), "--from", start, "--to", after, "--json"]
        arguments += ["--keyed-ids", "-o", str(self.statements_place)]
        arguments += ["--policy", str(policy)] if policy else []
        self._begin(f"{month} {STATEMENTS}", arguments, {"WAVEBREAK_KEY": key.hex()})

    def statements(self) -> list[Statements]:
        """Return the months whose statements were written, newest first."""
        return [
            Statements(
                month, at_ms, count, [n for n in names if (self.statements_place / n).is_file()]
            )
            for month, (at_ms, count) in sorted(self._counts().items(), reverse=True)
            for names in [[f"statements-{month}.{kind}" for kind in STATEMENT_MEDIA]]
        ]

    def statements_file(self, name: str) -> tuple[Path, str]:
        """Return a file of statements and its media type; raises ApiError (404)."""
        found = STATEMENTS_FILE.fullmatch(name)
        path = self.statements_place / name
        if found is None or not path.is_file():
            raise ApiError(404, "there is no such file", fix="see the list of reports")
        return path, STATEMENT_MEDIA[found[2]]

    def _counts(self) -> dict[str, tuple[int, int]]:
        path = self.statements_place / COUNTS
        if not path.is_file():
            return {}
        return {month: (at, count) for month, (at, count) in json.loads(path.read_text()).items()}

    def _keep_statements(self, month: str, said: str) -> None:
        count = json.loads(said)["months"].get(month, 0)
        counts = self._counts() | {month: (int(datetime.now(UTC).timestamp() * 1000), count)}
        self.statements_place.mkdir(mode=0o700, exist_ok=True)
        if not count:
            for kind in STATEMENT_MEDIA:
                (self.statements_place / f"statements-{month}.{kind}").unlink(missing_ok=True)
        (self.statements_place / COUNTS).write_text(json.dumps(counts), "utf-8")

    def _begin(
        self, name: str, arguments: list[str], secret: Mapping[str, str] | None = None
    ) -> None:
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            if any(command.running for command in self._running.values()):
                raise ApiError(409, "a report is being counted", fix="wait until it is done")
            # The URL may hold a password: it is in the environment, not in the process list.
            environment = {"WAVEBREAK_DATABASE": self._database} if self._database else {}
            environment |= secret or {}
            self._failed.pop(name, None)
            self._running = {
                name: RunningCommand(
                    ["transparency", *arguments], partial(self._keep, name), environment
                )
            }

    def _keep(self, name: str, ended: Ended) -> None:
        month, _, what = name.partition(" ")
        if what == "recount" and ended.code in (0, 1):
            self._keep_recount(month, ended.output, ended.code)
        elif what == STATEMENTS and ended.code == 0:
            self._keep_statements(month, ended.output)
        elif not what and ended.code == 0:
            shutil.rmtree(self.place / month, ignore_errors=True)
            (self.place / f"{month}.new").rename(self.place / month)
        else:
            self._failed[name] = ended.problem

    def _keep_recount(self, month: str, said: str, code: int) -> None:
        numbers = json.loads(said)["numbers"]
        verdicts = [each["verdict"] for each in numbers]
        kept = {
            "at_ms": int(datetime.now(UTC).timestamp() * 1000),
            "holds": code == 0,
            "numbers": len(verdicts),
            "equal": verdicts.count("equal"),
            "different": verdicts.count("different"),
        }
        (self.place / month / RECOUNT).write_text(json.dumps(kept), "utf-8")

    def state(self) -> tuple[list[str], dict[str, str]]:
        """Return what is being counted, and what failed with its message."""
        with self._lock:
            running = [name for name, command in self._running.items() if command.running]
            return running, dict(self._failed)


def _bounds(month: str, now_ms: int) -> tuple[str, str]:
    """Return a month's first day and the day after its last; raises ApiError (422).

    >>> _bounds("2025-12", 1_800_000_000_000)
    ('2025-12-01', '2026-01-01')
    """
    if not MONTH.fullmatch(month) or month > _month(now_ms):
        raise ApiError(422, "the month is unclear", fix="write it as 2026-11, up to this month")
    year, number = map(int, month.split("-"))
    return f"{month}-01", f"{year + number // 12}-{number % 12 + 1:02d}-01"


def _is_dsa(name: str) -> bool:
    return bool(re.fullmatch(r"dsa/[a-zA-Z0-9_]{1,60}\.csv", name))


def _month(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m")


_reports: dict[Path, ReportFiles] = {}


def reports_of(home: Path, database: str) -> ReportFiles:
    """Return the reports of a service, the same object for each page."""
    return _reports.setdefault(home, ReportFiles(home, database))
