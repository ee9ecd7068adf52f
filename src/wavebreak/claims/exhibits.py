"""An exhibit: a directory that holds what was taken, what it is, and who touched it when.

    DIR/exhibit.json     what it is: the Exhibit below as JSON, keys sorted, one line
    DIR/custody.jsonl    one Touch a line, appended; each names the SHA-256 of the line before
    DIR/...              the files that exhibit.json lists with their SHA-256, never rewritten

`exhibit.json` is written once: its `id` is the SHA-256 of the rest of it, so an exhibit cannot be
changed and keep its name. Files made later from it (`reading.json`, `label.json`) are no part of
it: they stand in the custody line of who made them. Another program needs `json` and a SHA-256.

Custody follows ISO/IEC 27037: what, who, when, where, why, by what authority, and the changes
that could not be avoided.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak.errors import ClaimError

VERSION = 1
EXHIBIT, CUSTODY = "exhibit.json", "custody.jsonl"
_FIRST = "0" * 64
_MAX_JSON = 1 << 20
_MAX_TOUCHES = 100_000

Kind = Literal["capture", "upload", "test_purchase", "partner_notice"]


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On whose account something is done: `who`, `where` (the machine), `why`, by what right."""

    who: str
    where: str
    why: str = "not stated"
    authority: str = "not stated"


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of an exhibit: path inside the directory, SHA-256 (hex), bytes, media type, role.

    Roles: `warc`, `screenshot`, `rendered` (the page as the browser left it), `original` (an
    upload as it came).
    """

    path: str
    sha256: str
    size: int
    media: str
    role: str


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When what is shown was made public: between two RFC 3339 times, either of them unknown.

    `basis` says from what it is known, in words.
    """

    earliest: str | None = None
    latest: str | None = None
    basis: str = ""


class Exhibit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was taken: kind, from where, when (RFC 3339, UTC), published when, which files.

    `details` are further words, by kind: of a capture its software, address and gaps; of a test
    purchase `when`, `by`, `ordered`, `price`, `account` (a pseudonym) and `result`; of a partner's
    notice `when`, `from` and `about`.
    """

    kind: Kind
    source: str
    captured_at: str
    files: tuple[Kept, ...]
    actor: Actor
    published: Published | None = None
    details: dict[str, str] = {}
    version: int = VERSION

    @property
    def id(self) -> str:
        """The SHA-256 of the exhibit, in hex: what it is cited by."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def file(self, role: str) -> Kept | None:
        """Give the first file of a role."""
        return next((kept for kept in self.files if kept.role == role), None)


class Touch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of custody.

    `changes` are those that could not be avoided, `made` the SHA-256 of files made from it,
    `exhibit` is the exhibit's id and `previous` the SHA-256 of the line before (64 zeros in the
    first).
    """

    at: str
    what: str
    who: str
    where: str
    why: str
    authority: str
    changes: str
    exhibit: str
    previous: str
    made: dict[str, str] = {}


def keep(directory: Path, name: str, content: bytes, media: str, role: str) -> Kept:
    """Write a file once, synced to the disk, and give what exhibit.json says of it."""
    path = directory / name
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise ClaimError(f"{path} is there already", fix="give a new directory") from None
    return Kept(name, hashlib.sha256(content).hexdigest(), len(content), media, role)


def seal(directory: Path, exhibit: Exhibit, what: str, changes: str) -> None:
    """Write exhibit.json and the first line of custody."""
    body = msgspec.to_builtins(exhibit) | {"id": exhibit.id}
    keep(directory, EXHIBIT, msgspec.json.encode(body, order="sorted") + b"\n", "", "")
    touch(directory, exhibit.actor, exhibit.captured_at, what, changes)


def load(directory: Path) -> Exhibit:
    """Read exhibit.json; raises ClaimError if it is absent, malformed, or not what its id names."""
    try:
        raw = _bounded(directory / EXHIBIT)
        body = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        named = msgspec.json.decode(body.pop("id"), type=str)
        exhibit = msgspec.json.decode(msgspec.json.encode(body), type=Exhibit)
    except FileNotFoundError:
        fix = "give a directory that `wavebreak claim capture` or `claim add` wrote"
        raise ClaimError(f"{directory} holds no {EXHIBIT}", fix=fix) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError) as error:
        raise ClaimError(f"{directory / EXHIBIT} is malformed: {error}") from None
    if exhibit.version != VERSION:
        raise ClaimError(f"{directory} is of version {exhibit.version}", fix="update wavebreak")
    if named != exhibit.id:
        raise ClaimError(f"{directory / EXHIBIT} is not what its id names: it was changed")
    return exhibit


def touch(
    directory: Path,
    actor: Actor,
    at: str,
    what: str,
    changes: str = "none",
    made: dict[str, str] | None = None,
) -> Touch:
    """Append a line of custody, chained to the last; several processes may do so at once."""
    exhibit = load(directory).id
    with (directory / CUSTODY).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = file.read().splitlines()
        last = hashlib.sha256(lines[-1]).hexdigest() if lines else _FIRST
        line = Touch(
            at, what, actor.who, actor.where, actor.why, actor.authority, changes, exhibit, last,
            made or {},
        )  # fmt: skip
        file.write(msgspec.json.encode(line, order="sorted") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return line


def custody(directory: Path) -> list[Touch]:
    """Read the lines of custody; raises ClaimError where the chain or a line is broken."""
    exhibit, last, found = load(directory).id, _FIRST, []
    lines = _bounded(directory / CUSTODY).splitlines() if (directory / CUSTODY).exists() else []
    if len(lines) > _MAX_TOUCHES:
        raise ClaimError(f"{directory / CUSTODY} has more than {_MAX_TOUCHES:,} lines")
    for number, line in enumerate(lines, 1):
        try:
            read = msgspec.json.decode(line, type=Touch)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ClaimError(f"line {number} of {CUSTODY} is malformed") from None
        if read.previous != last or read.exhibit != exhibit:
            raise ClaimError(f"line {number} of {CUSTODY} does not follow the line before it")
        found.append(read)
        last = hashlib.sha256(line).hexdigest()
    return found


def doubts(directory: Path) -> list[str]:
    """Check every file and the custody of an exhibit; gives what is wrong, in words."""
    exhibit, wrong = load(directory), []
    for kept in exhibit.files:
        path = directory / kept.path
        if path.resolve().parent != directory.resolve() or path.is_symlink():
            wrong.append(f"{kept.path} does not lie in the directory")
        elif not path.is_file():
            wrong.append(f"{kept.path} is absent")
        elif _digest(path) != kept.sha256:
            wrong.append(f"{kept.path} is not what was taken: its SHA-256 differs")
    try:
        if not custody(directory):
            wrong.append(f"{CUSTODY} is absent or empty")
    except ClaimError as error:
        wrong.append(error.what)
    return wrong


def _bounded(path: Path) -> bytes:
    most = _MAX_JSON if path.name == EXHIBIT else 256 * _MAX_JSON
    if path.stat().st_size > most:
        raise ClaimError(f"{path} is over {most:,} bytes")
    return path.read_bytes()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
