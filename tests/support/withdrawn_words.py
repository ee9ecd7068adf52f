"""Words that the project withdrew, each with the field's own word, and where they still occur.

    PYTHONPATH=tests .venv/bin/python -m support.withdrawn_words [PATH ...]

prints each occurrence, with its replacement, in source, documentation and the README.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    "src", "docs", "experiments", "benchmarks", "README.md", "CONTRIBUTING.md", "SECURITY.md",
    "Makefile",
)  # fmt: skip
KINDS = {".py", ".toml", ".md", ".typ", ".html", ".css", ".yml", ""}
LEFT_OUT = (
    "docs/adr/",
    "claims/pages/",
    "claims_corpus/pages/",
    "/policy/claims/",
    "/policy/model/",
    "experiments/worlds/",
)
"""Decision records keep the words of their day (their titles do not); pages are specimens, worlds
are their authors'."""

WITHDRAWN = {
    r"told": "returned, reported, encoded, notified",
    r"standings?": "enforcement state",
    r"stands": "is, lies, holds, applies",
    r"innocents?": "benign, persona",
    r"drawn worlds?": "random platform, held-out platform",
    r"worlds? (that )?nobody": "held-out platforms",
    r"looked at once": "held out, evaluated once",
    r"(look|looks|looked) again": "re-evaluate",
    r"couriers?": "dispatcher",
    r"desks?": "application context",
    r"(dead|revived?) letters?|letters? (is|are) (dead|revived)": "dead-lettered, replayed",
    r"hooks?": "webhook",
    r"parcels?": "proof bundle",
    r"wronged": "false action",
    r"doubted": "suspected, scored",
    r"dials?": "parameter",
    r"asks too often": "rate limit exceeded",
    r"in conflict with what is there": "conflict",
    r"broke off": "client disconnected",
    r"mend(s|ed|ing)?": "fix, repair",
    r"doctor": "drift",
    r"arena": "red team",
    r"leave-out": "exclude-family",
    r"verbs?": "command",
    r"lived? through": "simulate",
    r"furnish(es|ed|ing)?": "set up",
    r"unfounded_reports|courted_last|hunted_share_32|kin_share_32|lurked_7d": "see docs/reference",
}
"""A word (a regular expression, whole words) and what to write in its place."""

ALLOWED = {
    "couriers?": (
        "src/wavebreak/simulation/",
        "src/wavebreak/training/",
        "src/wavebreak/features/",
        "docs/",
        "README.md",
    ),
    "hooks?": (),
}
"""Where a withdrawn word has its plain meaning: a courier who delivers parcels is a persona."""
ALLOWED["arena"] = ("src/wavebreak/red_team/config.py",)
ALLOWED["dials?"] = ("src/wavebreak/red_team/config.py",)
ALLOWED["parcels?"] = ("src/wavebreak/simulation/",)
ALLOWED["couriers?"] += ("src/wavebreak/cli/cases.py",)
ALLOWED["desks?"] = ("experiments/claims_corpus/corpus.py",)
# Stored formats of version 1: a column of the openings, and a label of exhibits.
ALLOWED["told"] = (
    "src/wavebreak/ledger/storage.py",
    "src/wavebreak/engine/enforcement.py",
)
ALLOWED["innocents?"] = (
    "src/wavebreak/claims/evaluation.py",
    "src/wavebreak/claims/review.py",
    "src/wavebreak/cli/claims.py",
)
# Memory arenas of the interner.
ALLOWED["arena"] = ("src/wavebreak/features/interner.py",)
# Names of features in version 0.1, and a prefix that is hashed into 0.1's output.
ALLOWED["standings?"] = ("src/wavebreak/features/catalog.py",)
ALLOWED[next(word for word in WITHDRAWN if "courted_last" in word)] = (
    "src/wavebreak/features/catalog.py",
)
# Names of tables, columns and ids of version 0.1, which stored data keep, and old names that load.
_STORED = ("src/wavebreak/service/migrations/", "src/wavebreak/service/models.py")
ALLOWED["hooks?"] += (*_STORED, "src/wavebreak/service/api/admin.py", "src/wavebreak/io/jsonl.py")
ALLOWED["hooks?"] += ("src/wavebreak/service/api/requests.py",)
ALLOWED["standings?"] += (
    *_STORED, "src/wavebreak/service/log_writer.py", "src/wavebreak/service/enforcement_cache.py",
)  # fmt: skip
ALLOWED["standings?"] += ("src/wavebreak/rules/loader.py",)
ALLOWED["standings?"] += ("src/wavebreak/service/database_audit.py",)
ALLOWED["told"] += (*_STORED, "src/wavebreak/service/ledger_store.py")
ALLOWED["desks?"] += _STORED
ALLOWED["arena"] += ("src/wavebreak/red_team/config.py", "src/wavebreak/cli/app.py")
ALLOWED["doctor"] = ("src/wavebreak/cli/app.py",)
ALLOWED["couriers?"] += ("src/wavebreak/policy/",)


class Occurrence(NamedTuple):
    """One withdrawn word: where it occurs, and what replaces it."""

    path: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word!r}, instead: {self.instead}"


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Return the text files below `paths` that are checked, in order."""
    for path in paths:
        found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in found:
            name = file.relative_to(ROOT).as_posix()
            hidden = any(part.startswith((".", "__pycache__")) for part in file.parts)
            if file.suffix in KINDS and not hidden and not any(part in name for part in LEFT_OUT):
                yield file


_PATTERNS = {
    word: re.compile(rf"(?<![A-Za-z-])(?:{word})(?![A-Za-z-])", re.IGNORECASE) for word in WITHDRAWN
}


def in_text(name: str, text: str) -> Iterator[Occurrence]:
    """Return the withdrawn words of a file's text; `name` is its path from the repository.

    An identifier counts by its words: `sent_letters` holds `letters`.
    """
    words = [word for word in WITHDRAWN if not name.startswith(tuple(ALLOWED.get(word, ())))]
    for number, line in enumerate(text.splitlines(), 1):
        for word in words:
            for found in _PATTERNS[word].finditer(line):
                yield Occurrence(name, number, found[0], WITHDRAWN[word])


def occurrences(paths: Iterable[Path] | None = None) -> Iterator[Occurrence]:
    """Return every withdrawn word below `paths`; everything that is checked, where not given."""
    for file in files(paths or [ROOT / place for place in PLACES if (ROOT / place).exists()]):
        yield from in_text(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))


def main() -> None:
    """Print the occurrences below the paths given; exit with 1 where there are any."""
    paths = [Path(argument).resolve() for argument in sys.argv[1:]]
    found = list(occurrences(paths or None))
    for one in found:
        print(one)
    print(f"{len(found)} withdrawn words")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
