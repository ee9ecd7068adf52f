"""A case on disk: one command writes it at a time, and every step is sealed before it is stored.

CASE/case.json        the steps, canonical JSON (RFC 8785)
CASE/exhibits/E1/     files of exhibit E1, never rewritten
CASE/grounds/         the grounds of its determinations, by version
CASE/ledger/          the sealed entries of its steps
CASE/ledger/private/  openings of the entries' commitments; never leaves the organization

Entries hold digests and commitments, no names. Every step has a `step` entry, whose `sha256` is
that of the case's salt (hex) followed by the step in canonical JSON; a link, a notice, a
determination and an exhibit have an entry of their own kind as well.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import TypeVar

import msgspec

from wavebreak.durable_files import create_file
from wavebreak.errors import CaseBusyError, CaseError
from wavebreak.ledger import (
    DirectoryStorage,
    Entry,
    Ledger,
    OpeningFile,
    Openings,
    Signer,
    make_entry,
)
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.ledger.entries import Body, StepEntry
from wavebreak.ledger.storage import LEDGER
from wavebreak.ledger.verifier import canonical
from wavebreak_cases.bundles.bundle_checks import CASE as CASE
from wavebreak_cases.bundles.bundle_checks import EXHIBITS as EXHIBITS
from wavebreak_cases.bundles.bundle_checks import GROUNDS as GROUNDS
from wavebreak_cases.cases.case import Action, Case, CaseFile, Exhibit, Step
from wavebreak_cases.cases.eligibility import Grounds
from wavebreak_cases.cases.workflow import append_action, kind_of, replay
from wavebreak_cases.cases.workflow import salted_digest as salted_digest


def step_entries(
    before: Case, after: Case, salt: str, salts: Callable[[int], bytes]
) -> list[tuple[Entry, Openings]]:
    """The entries of the last step of `after`, which was taken in the case `before`."""
    step = after.steps[-1]
    body: Body = StepEntry(before.id, before.state, after.state, salted_digest(salt, step))
    drafts = [("step", body, {"by": step.by, "reason": step.why or None})]
    kind = kind_of(step.did)
    if kind.seal is not None:
        drafts.append((kind.entry, *kind.seal(after, step, step.did, salt)))
    return [
        make_entry(entry, body, hidden, at=step.at, salts=salts) for entry, body, hidden in drafts
    ]


MAX_CASE = 64 << 20
MAX_FILES = 10_000
_RESTORE = "bring back case.json from a backup or from a bundle of the case"

Salts = Callable[[int], bytes]
T = TypeVar("T", CaseFile, Step)


def load_case(path: Path) -> tuple[CaseFile, Case]:
    """Read a case's file and replay its steps; raises `CaseError` where that cannot be done."""
    try:
        if path.stat().st_size > MAX_CASE:
            raise CaseError(
                f"{path} is over {MAX_CASE:,} bytes",
                fix="give a case's directory",
                code="no-case-file",
            )
        raw = path.read_bytes()
        written = msgspec.json.decode(raw, type=CaseFile)
    except OSError:
        raise CaseError(
            f"there is no readable {path}", fix="give a case's directory", code="no-case-file"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, CaseError) as error:
        raise CaseError(f"{path} is not well formed: {error}", fix=_RESTORE) from None
    if encode_case(written) != raw:
        raise CaseError(f"{path} is not in canonical form: it was edited", fix=_RESTORE)
    return written, replay(written)


def is_case(path: Path) -> bool:
    """Whether a directory holds a case, also one whose first step was interrupted."""
    return (path / CASE).exists() or (path / f"{CASE}.new").exists()


def encode_case(written: CaseFile) -> bytes:
    """Write a case as its file holds it."""
    return canonical(msgspec.to_builtins(written)).encode() + b"\n"


class CaseWorkspace:
    """An open case directory. `clock` gives milliseconds, `salts` unguessable bytes."""

    def __init__(
        self, path: Path, signer: Signer, clock: Callable[[], int], salts: Salts, *, new: str = ""
    ) -> None:
        self.path, self.clock, self.salts = path, clock, salts
        if new:
            self.written, self.case = _validate(CaseFile(1, salts(32).hex(), new, ())), Case(new)
        self.ledger = Ledger(DirectoryStorage(path / LEDGER, write=True), signer)
        (path / LEDGER / "key.pub").write_text(f"{encode_verifier_key(signer.key)}\n", "utf-8")
        self.openings = OpeningFile(path / LEDGER / "private" / "openings.sqlite3")
        if not new:
            self._finish_interrupted_step()
            self.written, self.case = load_case(path / CASE)

    def take(self, did: Action, *, by: str, role: str, why: str = "") -> Case:
        """Take a step: checked, sealed, written. Raises `CaseError` where it may not be taken."""
        last = self.case.steps[-1].at if self.case.steps else 0
        after = append_action(self.case, did, at=max(self.clock(), last), by=by, role=role, why=why)
        # What is written is what is read again: limits of length and count are checked here.
        checked = _validate(after.steps[-1])
        written = msgspec.structs.replace(self.written, steps=(*self.written.steps, checked))
        content = encode_case(written)
        if len(content) > MAX_CASE:
            raise CaseError(f"the case is over {MAX_CASE:,} bytes", fix="open another case")
        fresh = self.path / f"{CASE}.new"
        fresh.unlink(missing_ok=True)
        create_file(fresh, content)
        entries = step_entries(self.case, after, self.written.salt, self.salts)
        self.openings.keep(self.ledger.size, [openings for _, openings in entries])
        self.ledger.seal([each for each, _ in entries])
        fresh.replace(self.path / CASE)
        self.written, self.case = written, after
        return after

    def _finish_interrupted_step(self) -> None:
        """Finish a step that was sealed before a crash, or discard one that was not."""
        fresh = self.path / f"{CASE}.new"
        if not fresh.exists():
            return
        last = self.ledger.entry(self._last_step()).body if self.ledger.size else None
        try:
            written, _ = load_case(fresh)
        except CaseError:
            written = None
        sealed = isinstance(last, StepEntry) and written and written.steps
        if sealed and last.sha256 == salted_digest(written.salt, written.steps[-1]):  # type: ignore[union-attr]
            fresh.replace(self.path / CASE)
        else:
            fresh.unlink()

    def _last_step(self) -> int:
        kinds = (n for n in reversed(range(self.ledger.size)) if self._kind(n) == "step")
        return next(kinds)

    def _kind(self, position: int) -> str:
        return self.ledger.entry(position).kind

    def fresh_exhibit(self) -> tuple[str, Path]:
        """The next exhibit's number and its directory, which is not there yet."""
        name = self.case.fresh("E")
        return name, self.path / EXHIBITS / name

    def keep_grounds(self, grounds: Grounds) -> None:
        """Keep the grounds that a determination is drawn from."""
        place = self.path / GROUNDS / f"{grounds.version}.json"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(msgspec.json.encode(grounds, order="deterministic"))

    def close(self) -> None:
        """Close the ledger and the openings."""
        self.openings.close()
        if isinstance(self.ledger.storage, DirectoryStorage):
            self.ledger.storage.close()


@contextmanager
def open_workspace(
    path: Path, signer: Signer, clock: Callable[[], int], salts: Salts, *, new: str = ""
) -> Iterator[CaseWorkspace]:
    """Open a case directory for one command; a new case gets the id `new`.

    Raises `CaseError` where there is no case, or already one, `CaseBusyError` where another command
    has it open.
    """
    if new and path.exists() and any(path.iterdir()):
        raise CaseError(f"{path} is not empty", fix="give a new directory")
    if not new and not is_case(path):
        raise CaseError(f"there is no case in {path}", fix="open one", code="no-case")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (path / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CaseBusyError(
                f"another command has {path} open", fix="run this again when that command has ended"
            ) from None
        opened = CaseWorkspace(path, signer, clock, salts, new=new)
        try:
            yield opened
        finally:
            opened.close()


def hash_files(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below a directory, by its path there, sorted.

    Raises `CaseError` for links, for names that are not plain, and above `MAX_FILES`.
    """
    digests: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise CaseError(f"{name[:80]} is no plain file", fix="leave it out")
        if not name.isascii() or not name.isprintable():
            raise CaseError("a file's name is not plain ASCII", fix="rename it")
        if path.is_file():
            with path.open("rb") as file:
                digests[name] = file_digest(file, "sha256").hexdigest()
    if not 0 < len(digests) <= MAX_FILES:
        raise CaseError(f"{len(digests):,} files in an exhibit", fix=f"give 1 to {MAX_FILES:,}")
    return digests


def check_exhibit_files(directory: Path, exhibit: Exhibit) -> list[str]:
    """What of an exhibit's files is not as it was taken in."""
    try:
        there = hash_files(directory / exhibit.path)
    except (CaseError, OSError) as error:
        return [f"{exhibit.id}: {error}"]
    names = sorted({*there, *exhibit.sha256})
    return [
        f"{exhibit.id}: {name} is not as it was taken in"
        for name in names
        if there.get(name) != exhibit.sha256.get(name)
    ]


def _validate(value: T) -> T:
    """Give a value as its file will be read; raises `CaseError` where it is out of limits."""
    try:
        return msgspec.convert(msgspec.to_builtins(value), type(value))
    except msgspec.ValidationError as error:
        raise CaseError(describe_field_error(error), fix="correct that field") from None


_LENGTH = re.compile(r"Expected `(?P<what>str|array)` of length (?P<sign>>=|<=) (?P<count>\d+)")
_UNKNOWN_VALUE = re.compile(r"Invalid enum value (?P<value>.*)")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")


def describe_field_error(error: msgspec.ValidationError) -> str:
    """Return what is wrong with which field, without types and paths.

    >>> say = lambda text: describe_field_error(msgspec.ValidationError(text))
    >>> say("Expected `str` of length >= 1 - at `$.did.party.name`")
    'name is empty'
    >>> say("Expected `str` of length <= 300 - at `$.did.party.aliases[...]`")
    'aliases is longer than 300 characters'
    >>> say("Invalid enum value 'guilty' - at `$.conduct`")
    "conduct: 'guilty' is none of the values that it may have"
    >>> say("Object missing required field `party`")
    'party is missing'
    """
    text, _, path = str(error).partition(" - at `")
    names = re.findall(r"[A-Za-z_]\w*", path)
    field = names[-1].replace("_", " ") if names else "a field"
    if found := _LENGTH.fullmatch(text):
        if found["sign"] == ">=":
            return f"{field} is empty"
        unit = "characters" if found["what"] == "str" else "entries"
        return f"{field} is longer than {int(found['count']):,} {unit}"
    if found := _UNKNOWN_VALUE.fullmatch(text):
        return f"{field}: {found['value'][:80]} is none of the values that it may have"
    if found := _UNKNOWN_FIELD.fullmatch(text):
        return f"{found['name'][:40]} is not known"
    if found := _MISSING.fullmatch(text):
        return f"{found['name']} is missing"
    return f"{field} is not well formed: {text.replace('`', '')}"
