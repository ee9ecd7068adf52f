"""Traps: accounts and numbers of nobody, which the operator declares; kept under the secret key.

Whoever writes first to one got its number from a range, a bought or a scraped list. The file holds
pseudonyms alone, sealed by a MAC: without the key nobody can read which numbers are traps, or add
one. Events are marked where they cross the privacy edge, so that decisions follow from the log.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from wavebreak.durable_files import replacing
from wavebreak.errors import FileError, UsageError
from wavebreak.privacy.secret_key import derived_key

FILE = "traps.sealed"
MAX_TRAPS = 100_000
MARKED = ("message.sent", "contact.requested", "call.started")
"""Event types that are marked where their `peer` is a trap."""
_MAC_BYTES = 32
_PLACEHOLDERS = re.compile(r"\+?([0-9]{3,17})(x{1,5})", re.IGNORECASE)
_INTERVAL = re.compile(r"\+?([0-9]{3,18})-\+?([0-9]{3,18})")


class TrapSet(msgspec.Struct, frozen=True):
    """Traps that were declared together: when (ms), and their pseudonyms."""

    added_at_ms: int
    pseudonyms: tuple[str, ...]


def canonical(account: str) -> str:
    """Return what a trap is known by: a number is the same with and without its plus."""
    return account.removeprefix("+")


def expand(entry: str) -> list[str]:
    """Return the accounts or numbers that an entry stands for.

    >>> expand("+97250123456x")[:2], expand("+4912-+4914"), expand("firm-7")
    (['972501234560', '972501234561'], ['4912', '4913', '4914'], ['firm-7'])

    Raises:
        UsageError: A range is empty, or too large.
    """
    if match := _PLACEHOLDERS.fullmatch(entry):
        digits = len(match[2])
        return [f"{match[1]}{number:0{digits}}" for number in range(10**digits)]
    if match := _INTERVAL.fullmatch(entry):
        first, last = match[1], match[2]
        count = int(last) - int(first) + 1
        if len(first) != len(last) or not 1 <= count <= MAX_TRAPS:
            raise UsageError(
                f"a range has 1 to {MAX_TRAPS:,} numbers of one length", fix="give smaller ranges"
            )
        return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return [canonical(entry)]


def all_pseudonyms(sets: Iterable[TrapSet]) -> frozenset[str]:
    """Return the pseudonyms of all traps."""
    return frozenset(pseudonym for trap_set in sets for pseudonym in trap_set.pseudonyms)


def load(path: Path, secret: bytes) -> list[TrapSet]:
    """Read the traps of a file; none where there is no file.

    Raises:
        FileError: The file was not written with this key, or was changed since.
    """
    try:
        sealed = path.read_bytes()
    except FileNotFoundError:
        return []
    mac, content = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(secret, content)):
        raise FileError(
            f"{path} was written with another key, or was changed",
            fix="give the deployment's key; or remove the file and declare the traps again",
        )
    return msgspec.msgpack.decode(content, type=list[TrapSet])


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Let one process at a time read, change and write the file of traps."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def save(path: Path, secret: bytes, sets: list[TrapSet]) -> None:
    """Write the traps into a file that nobody else can read."""
    content = msgspec.msgpack.encode(sets)
    with replacing(path, mode=0o600) as file:
        file.write(_mac(secret, content) + content)


def _mac(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(derived_key(secret, "traps"), content, "sha256")
