"""Redaction of an exhibit in a case: the copy, its step, and the steps that then show no digests.

See `wavebreak_cases.cases.case.Redaction` for what is shown, and
`wavebreak_cases.claims.redaction` for the copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
from msgspec import UNSET

from wavebreak.durable_files import replace_file
from wavebreak.errors import CaseError
from wavebreak.extras import LazyModule
from wavebreak.ledger.storage import LEDGER
from wavebreak_cases.bundles.workspace import CaseWorkspace, hash_files, salted_digest
from wavebreak_cases.cases.case import (
    Case,
    CaseFile,
    ExhibitAdded,
    ExhibitRedacted,
    Redaction,
    RemovedRegion,
    Step,
)
from wavebreak_cases.cases.date_ranges import format_instant

if TYPE_CHECKING:
    from wavebreak_cases.claims import redaction
    from wavebreak_cases.claims.exhibits import Actor
    from wavebreak_cases.claims.redaction import Marks, RedactedCopy, Suggestion

    CopyMaker = Callable[[Path, Path, Marks, Actor, str], RedactedCopy]
else:  # pictures and PDFs: most steps need neither
    redaction = LazyModule("wavebreak_cases.claims.redaction")


PRIVATE_MARKS = "private/redacted.json"
"""What was marked, beside the openings of the ledger: it never leaves the organization."""


class CaseFiles(Protocol):
    """A case that is read: its directory and its state."""

    @property
    def path(self) -> Path:
        """The case's directory."""

    @property
    def case(self) -> Case:
        """The case."""


def original_directory(files: CaseFiles, exhibit: str) -> Path:
    """Return where the original of an exhibit is; raises CaseError for a run, or where none is."""
    return files.path / _original_path(files.case, exhibit)


def suggest_marks(files: CaseFiles, exhibit: str, names: Sequence[str] = ()) -> list[Suggestion]:
    """Return what may be personal data in the text of an exhibit."""
    return redaction.suggest(redaction.exhibit_text(original_directory(files, exhibit)), names)


def make_marks(
    suggested: Sequence[Suggestion],
    *,
    kinds: Sequence[str] = (),
    names: Sequence[str] = (),
    texts: Sequence[str] = (),
    regions: Sequence[str] = (),
    keep: Sequence[str] = (),
    pictures_seen: bool = False,
) -> Marks:
    """Return what a person marked.

    Args:
        suggested: What was suggested.
        kinds: Kinds of which every suggestion is marked: phone, mail, identity, address.
        names: Names to remove.
        texts: Other words to remove.
        regions: Regions, as PAGE:LEFT,TOP,RIGHT,BOTTOM in thousandths.
        keep: Suggestions that are not marked.
        pictures_seen: Whether a person looked at what cannot be searched.
    """
    marks = [
        redaction.TextMark(each.what, each.text)
        for each in suggested
        if each.what in kinds and each.text not in keep
    ]
    marks += [redaction.TextMark("name", name) for name in names]
    marks += [redaction.TextMark("text", text) for text in texts]
    return redaction.Marks(tuple(marks), tuple(map(redaction.read_region, regions)), pictures_seen)


def require_marks(marks: Marks) -> None:
    """Raise CaseError where nothing is marked."""
    if not marks.texts and not marks.regions:
        raise CaseError("nothing is marked", fix="mark words or regions", code="nothing-marked")


def redact_exhibit(
    workspace: CaseWorkspace,
    exhibit: str,
    marks: Marks,
    actor: Actor,
    role: str,
    *,
    copy: CopyMaker | None = None,
    recording: AbstractContextManager[object] | None = None,
) -> Redaction:
    """Put a redacted copy of an exhibit in its place; the original remains in the case's directory.

    Args:
        workspace: The case.
        exhibit: The exhibit. One that is redacted already is redacted anew, from the original.
        marks: What a person marked.
        actor: Who redacts, and why.
        role: In which role.
        copy: What makes the copy (None: `wavebreak_cases.claims.redaction.redact_exhibit`, here).
        recording: Within which the step is taken, once the copy is made.

    Returns:
        What the step says of it.

    Raises:
        CaseError: The exhibit is a run, nothing is marked, or no reason is given.
        ClaimError: A mark is nowhere in it, or a picture was not looked at.
    """
    case = workspace.case
    original = original_directory(workspace, exhibit)
    require_marks(marks)
    if not actor.why.strip() or actor.why == "not stated":
        raise CaseError(
            "why it is redacted is not stated", fix="give the reason", code="reason-missing"
        )
    number = 1 + sum(_redacts(step, exhibit) for step in case.steps)
    place = workspace.path / f"exhibits/{exhibit}R{number}"
    if place.exists():  # what a crash left behind
        shutil.rmtree(place)
    try:
        now = format_instant(max(workspace.clock(), case.steps[-1].at))
        made = (copy or redaction.redact_exhibit)(original, place, marks, actor, now)
        done = Redaction(
            exhibit,
            place.relative_to(workspace.path).as_posix(),
            hash_files(place),
            made.counts,
            tuple(RemovedRegion(region.page, region.box) for region in made.regions),
            made.left_out,
            {
                str(step.n): salted_digest(workspace.written.salt, shown_step(step))
                for step in case.steps
                if (isinstance(step.did, ExhibitAdded) and step.did.exhibit.id == exhibit)
                or _redacts(step, exhibit)
            },
            workspace.salts(32).hex(),
        )
        with recording or nullcontext():
            keep_marks(workspace, exhibit, marks)
            workspace.take(ExhibitRedacted(done), by=actor.who, role=role, why=actor.why)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return done


def _original_path(case: Case, name: str) -> str:
    exhibit = case.originals.get(name) or case.exhibits.get(name)
    if exhibit is None:
        raise CaseError(f"there is no exhibit {name[:40]}", fix="see the case", code="not-in-case")
    if exhibit.kind == "platform_run":
        raise CaseError(
            f"{name} is a run: it holds pseudonyms, and is decided again as a whole",
            fix="erase what opens entries on an account",
            code="run-not-redacted",
        )
    return exhibit.path


def _redacts(step: Step, exhibit: str) -> bool:
    return isinstance(step.did, ExhibitRedacted) and step.did.redaction.exhibit == exhibit


def shown_step(step: Step) -> Step:
    """Return a step on an exhibit without the digests of its files, and without its nonce."""
    replace = msgspec.structs.replace
    match step.did:
        case ExhibitAdded(exhibit=exhibit):
            return replace(step, did=ExhibitAdded(replace(exhibit, sha256={}, nonce=UNSET)))
        case ExhibitRedacted(redaction=done):
            return replace(step, did=ExhibitRedacted(replace(done, sha256={}, nonce=UNSET)))
    return step


def restated_steps(written: CaseFile) -> dict[int, str]:
    """Return, by number, the digest of each step that the newest redactions show otherwise."""
    newest: dict[str, Redaction] = {}
    for step in written.steps:
        if isinstance(step.did, ExhibitRedacted):
            newest[step.did.redaction.exhibit] = step.did.redaction
    return {int(n): digest for done in newest.values() for n, digest in done.restated.items()}


def shown_case(written: CaseFile) -> CaseFile:
    """Return a case's file as a bundle shows it: without the digests of redacted originals."""
    restated = restated_steps(written)
    steps = tuple(shown_step(step) if step.n in restated else step for step in written.steps)
    return msgspec.structs.replace(written, steps=steps)


class NamedPlace(NamedTuple):
    """Where something that was removed still stands: a file or exhibit, and what of it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where} ({self.what})"


def exhibits_that_name(files: CaseFiles, marks: Marks, redacted: str = "") -> list[NamedPlace]:
    """Return where exhibits of a case still name what was marked in one of them (`redacted`)."""
    found: list[NamedPlace] = []
    for name, exhibit in files.case.exhibits.items():
        place = files.path / exhibit.path
        if name == redacted or exhibit.kind == "platform_run":
            continue
        if redaction.names_mark(marks.texts, redaction.exhibit_text(place)):
            found.append(NamedPlace(name, "its text"))
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            found += [NamedPlace(name, what) for what in _naming(path, path.name, marks)]
    return list(dict.fromkeys(found))


def names_in_payload(data: Path, marks: Marks) -> list[NamedPlace]:
    """Return which files of a bundle's payload name what was marked: name, words or metadata."""
    found: list[NamedPlace] = []
    for path in sorted(path for path in data.rglob("*") if path.is_file()):
        name = path.relative_to(data).as_posix()
        found += [NamedPlace(name, what) for what in _naming(path, name, marks)]
    return found


_MAX_READ = 64 << 20


def _naming(path: Path, name: str, marks: Marks) -> Iterator[str]:
    if redaction.names_mark(marks.texts, name):
        yield "file name"
    if path.stat().st_size > _MAX_READ:
        return
    raw = path.read_bytes()
    if raw.startswith(b"%PDF"):
        if redaction.names_mark(marks.texts, redaction.pdf_text(raw)):
            yield "words or metadata"
        return
    with suppress(UnicodeDecodeError):  # what is no text is not read
        if redaction.names_mark(marks.texts, raw.decode("utf-8")):
            yield "words"


def keep_marks(workspace: CaseWorkspace, exhibit: str, marks: Marks) -> None:
    """Keep what was marked with what never leaves the organization, for the check of bundles."""
    path = workspace.path / LEDGER / PRIVATE_MARKS
    kept = _kept(workspace.path)
    kept[exhibit] = [[mark.what, mark.text] for mark in marks.texts]
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(path, msgspec.json.encode(kept, order="sorted"), mode=0o600)


def kept_marks(place: Path) -> Marks:
    """Return all that was marked in the exhibits of a case, as it is kept in its directory."""
    texts = (mark for marks in _kept(place).values() for mark in marks)
    return redaction.Marks(tuple(redaction.TextMark(what, text) for what, text in texts))  # type: ignore[arg-type]


def _kept(place: Path) -> dict[str, list[list[str]]]:
    path = place / LEDGER / PRIVATE_MARKS
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, list[list[str]]])


def steps_that_name(steps: Sequence[Step], marks: Marks) -> list[int]:
    """Return the numbers of steps whose own words still name what was marked."""
    found = []
    for step in map(shown_step, steps):
        said = msgspec.json.encode(step).decode()
        if redaction.names_mark(marks.texts, said):
            found.append(step.n)
    return found


def is_guessable(case: Case, exhibit: str) -> bool:
    """Whether an exhibit was taken in without a nonce, by an earlier version."""
    return case.originals.get(exhibit, case.exhibits[exhibit]).nonce is UNSET


def describe_removed(done: Redaction) -> str:
    """Return what was removed, in a few words.

    >>> describe_removed(Redaction("E1", "exhibits/E1R1", {}, {"phone": 2}, (), (), {}))
    'removed: phone 2'
    """
    parts = [f"{what} {count}" for what, count in sorted(done.words.items())]
    if done.regions:
        parts.append(f"regions {len(done.regions)}")
    left = f"; not copied: {', '.join(done.left_out)}" if done.left_out else ""
    return f"removed: {', '.join(parts) or 'nothing'}{left}"
