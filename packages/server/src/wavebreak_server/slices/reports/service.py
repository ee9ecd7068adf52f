"""Transparency reports of a service: made and recounted by the command, kept as files.

HOME/reports/2026-11/ holds the report of a month, and recount.json what a recount found. A report
is counted by a process of its own, `wavebreak transparency report`, so that the service goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from wavebreak.durations import HOUR_S
from wavebreak.errors import WavebreakError
from wavebreak.languages import msgid
from wavebreak_server.errors import ApiError
from wavebreak_server.texts import translate
from wavebreak_server.transparency import Report, read_report
from wavebreak_server.transparency.report import shown

MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")
RECOUNT = "recount.json"
FILES = {
    "report.html": "text/html; charset=utf-8",
    "report.json": "application/json",
    "report.csv": "text/csv; charset=utf-8",
    "accounts.csv": "text/csv; charset=utf-8",
}
"""Files of a report that a page links to, beside the DSA's."""
TIMEOUT_S = float(HOUR_S)


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
    (msgid("Decisions"), "decisions.total"),
    (msgid("Accounts acted on"), "accounts.acted"),
    (msgid("Appeals received"), "appeals.received"),
    (msgid("Reversed"), "appeals.reversed"),
)


class ReportFiles:
    """The reports of a service.

    Args:
        home: The service's directory.
        database: URL of its database (empty: SQLite in `home`).
    """

    def __init__(self, home: Path, database: str = "") -> None:
        self.place, self._home, self._database = home / "reports", home, database
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
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
            raise ApiError(
                404, translate("there is no such file"), fix=translate("see the list of reports")
            )
        return path, media

    def make(self, month: str, provider: str, now_ms: int) -> None:
        """Begin to count the report of a month; raises ApiError (409, 422)."""
        if not MONTH.fullmatch(month) or month > _month(now_ms):
            raise ApiError(
                422,
                translate("the month is unclear"),
                fix=translate("write it as 2026-11, up to this month"),
            )
        year, number = map(int, month.split("-"))
        after = f"{year + number // 12}-{number % 12 + 1:02d}-01"
        made = self.place / f"{month}.new"
        shutil.rmtree(made, ignore_errors=True)
        command = ["report", str(self._home), "--from", f"{month}-01", "--to", after]
        self._begin(month, [*command, "--provider", provider, "-o", str(made)])

    def recount(self, month: str) -> None:
        """Begin to recount a report from the ledger; raises ApiError (404, 409)."""
        self.file(month, "report.json")
        key = str(self._home / "ledger.pub")
        arguments = ["recount", str(self.place / month), str(self._home), "--key", key, "--json"]
        self._begin(f"{month} recount", arguments)

    def _begin(self, name: str, arguments: list[str]) -> None:
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            if self._running:
                raise ApiError(
                    409,
                    translate("a report is being counted"),
                    fix=translate("wait until it is done"),
                )
            command = [sys.executable, "-m", "wavebreak", "transparency", *arguments]
            # The URL may hold a password: it is in the environment, not in the process list.
            env = os.environ | ({"WAVEBREAK_DATABASE": self._database} if self._database else {})
            self._failed.pop(name, None)
            process = subprocess.Popen(  # noqa: S603 - our own command, of checked values
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )  # fmt: skip
            self._running[name] = process
        threading.Thread(target=self._wait, args=(name, process), daemon=True).start()

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        try:
            said, failed = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, failed = b"", b"error: it took over an hour"
        month, _, recounting = name.partition(" ")
        try:
            if recounting and process.returncode in (0, 1):
                self._keep_recount(month, said, process.returncode)
            elif not recounting and process.returncode == 0:
                shutil.rmtree(self.place / month, ignore_errors=True)
                (self.place / f"{month}.new").rename(self.place / month)
            else:
                self._failed[name] = failed.decode("utf-8", "replace").strip()[-300:]
        finally:
            with self._lock:
                self._running.pop(name, None)

    def _keep_recount(self, month: str, said: bytes, code: int) -> None:
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
            return list(self._running), dict(self._failed)


def _is_dsa(name: str) -> bool:
    return bool(re.fullmatch(r"dsa/[a-zA-Z0-9_]{1,60}\.csv", name))


def _month(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m")
