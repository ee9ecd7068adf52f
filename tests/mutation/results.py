"""Results of the mutation figure: one line of JSON a trial, the newest of a bug counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mutation.bugs import Bug


class Result(NamedTuple):
    """What became of a bug.

    Attributes:
        name: The bug's name.
        verdict: `caught` or `survived`.
        test: The test that failed with it, and passed without it; empty where it survived.
        day: When it was tried.
        seconds: How long that took.
        digest: The bug as it was then.
    """

    name: str
    verdict: str
    test: str
    day: str
    seconds: int
    digest: str


class Results:
    """Results, in a file if there is one.

    Args:
        path: The file; each result is appended at once, so that nothing is lost with the process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._by_name = path, dict[str, Result]()
        if path and path.exists():
            for line in path.read_text("utf-8").splitlines():
                result = Result(**json.loads(line))
                self._by_name[result.name] = result

    def of(self, bug: Bug) -> Result | None:
        """Return the newest result of a bug as it is today; none where its text has changed."""
        result = self._by_name.get(bug.name)
        return result if result and result.digest == bug.digest else None

    def add(self, result: Result) -> None:
        """Keep a result."""
        self._by_name[result.name] = result
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result._asdict()) + "\n")


def summary(bugs: Sequence[Bug], results: Results) -> str:
    """Return a Markdown table: of each area how many bugs were tried and caught, and when."""
    lines = ["| promise | bugs | tried | caught | last tried |", "|---|---|---|---|---|"]
    areas = dict.fromkeys(bug.area for bug in bugs)
    for area in [*areas, ""]:
        some = [bug for bug in bugs if area in (bug.area, "")]
        tried = [result for bug in some if (result := results.of(bug))]
        caught = sum(result.verdict == "caught" for result in tried)
        day = max((result.day for result in tried), default="never")
        share = f" ({caught / len(tried):.0%})" if not area and tried else ""
        lines.append(f"| {area or 'all'} | {len(some)} | {len(tried)} | {caught}{share} | {day} |")
    return "\n".join(lines) + "\n"
