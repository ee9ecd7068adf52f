"""Switches of policy, model, mode or profile, as records beside a log that a job on Flink reads.

The service, whose log it is, writes what decides from a position on into a table of its database,
while its log stands still there; the job reads it and goes over at that position. Files come with
the record: the job needs no directory of the service's. It has a MAC under the
key of what is published (`wavebreak.engine.published`).

A record is settled once the service runs by it. Until then the service may take it back, so that a
job follows one that is not settled only where the log has events behind it: those were acknowledged
after the switch.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from wavebreak.errors import FileError, UsageError

TABLE = "wavebreak_switches"
CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
  number bigint PRIMARY KEY, position bigint NOT NULL, settled boolean NOT NULL,
  content bytea NOT NULL, mac bytea NOT NULL
)
"""
"""The service makes the table; the job's user has to be able to select."""
SELECT = f"SELECT number, position, settled, content, mac FROM {TABLE} "  # noqa: S608
"""The beginning of a query whose rows `decode_switch` reads."""
MAX_BYTES: Final = 32 << 20
"""Of a record: a policy has kilobytes, a model a megabyte."""
_ROOT = "policy"


class SwitchTerms(msgspec.Struct, frozen=True, array_like=True):
    """What decides.

    Attributes:
        versions: As decisions of it are published (`versions.engine_versions`).
        enforce: Whether outcomes are enforced.
        policy: The name of a local policy's directory ("": the shipped policy).
        model: "own": its files are here; or "none".
        profile: What the declared sources carry, as JSON ("": the profile of the job's settings).
        files: Texts of the policy below `policy/`, and of the model below `model/`, by their names.
    """

    versions: str
    enforce: bool
    policy: str = ""
    model: str = "none"
    profile: str = ""
    files: dict[str, str] = {}


class SwitchRecord(NamedTuple):
    """A switch: its number from 1 on, the position from which it decides, and what decides."""

    number: int
    position: int
    settled: bool
    terms: SwitchTerms


def in_files(policy: Mapping[str, str], model: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a switch: those of a policy and of a model, by their names."""
    named = {f"{_ROOT}/{name}": text for name, text in policy.items()}
    return named | {f"model/{name}": text for name, text in model.items()}


def write_files(terms: SwitchTerms, directory: Path) -> tuple[str, str, str]:
    """Write the files of a switch; return where policy, model and profile are.

    "" stands for the shipped policy and for no profile, "none" for no model.
    """
    places = {_ROOT: directory / _ROOT / terms.policy, "model": directory / "model"}
    for name, text in terms.files.items():
        root, _, rest = name.partition("/")
        path = places[root] / rest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="")
    profile = directory / "profile.json"
    if terms.profile:
        profile.write_text(terms.profile, "utf-8", newline="")
    return (
        str(places[_ROOT]) if terms.policy else "",
        str(places["model"]) if terms.model == "own" else "none",
        str(profile) if terms.profile else "",
    )


def encode_switch(key: bytes, number: int, position: int, terms: SwitchTerms) -> tuple[Any, ...]:
    """Return a switch as a row of the table, which is not settled yet.

    Raises:
        UsageError: It is too large.
    """
    content = msgspec.msgpack.encode(terms)
    if len(content) > MAX_BYTES:
        raise UsageError(
            f"policy and model have {len(content):,} bytes, and a switch may have {MAX_BYTES:,}",
            fix="use a smaller model, or split nothing but rules from the policy's directory",
        )
    return number, position, False, content, switch_mac(key, number, position, content)


def decode_switch(key: bytes, row: tuple[Any, ...]) -> SwitchRecord:
    """Return the switch of a row.

    Raises:
        FileError: It was not written under the key, or by another version of Wavebreak.
    """
    number, position, settled, content, mac = row
    content = bytes(content)
    if not hmac.compare_digest(switch_mac(key, number, position, content), bytes(mac)):
        raise FileError(
            f"switch {number} of the log is not of this deployment's key, or was changed",
            fix="give the job the service's key of pseudonyms; if it has it, restore the row of "
            f"{TABLE} from a backup of the database",
        )
    try:
        terms = msgspec.msgpack.decode(content, type=SwitchTerms)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise FileError(
            f"switch {number} of the log cannot be read: {error}",
            fix="run the same version of Wavebreak in the job and in the service",
        ) from None
    return SwitchRecord(number, position, bool(settled), terms)


def switch_mac(key: bytes, number: int, position: int, content: bytes) -> bytes:
    """Return the MAC of a switch.

    >>> switch_mac(b"k", 1, 5, b"") == switch_mac(b"k", 1, 6, b"")
    False
    """
    values = msgspec.msgpack.encode([TABLE, number, position, content])
    return hmac.digest(key, values, "sha256")


Piece = tuple[int, pa.RecordBatch]
"""Events of the log, behind the position of the first."""


def divided(
    pieces: Iterable[Piece], after: int, read: Callable[[int], list[SwitchRecord]]
) -> Iterator[tuple[int, list[Piece]]]:
    """Divide pieces of the log where something else decides.

    Args:
        pieces: In the order of the log.
        after: How many switches were made before.
        read: Returns the switches after a number. It is called when the pieces are read already, so
            that whatever was committed before their events is seen.

    Returns:
        Stretches, each with the number of switches that were made before it.
    """
    held = list(pieces)
    end = held[-1][0] + held[-1][1].num_rows
    known = [each.position for each in read(after) if each.settled or each.position < end]
    for place in known:
        held = [part for piece in held for part in _cut(piece, place)]
    made = groupby(held, lambda piece: after + sum(place <= piece[0] for place in known))
    return ((number, list(stretch)) for number, stretch in made)


def _cut(piece: Piece, place: int) -> Iterator[Piece]:
    position, events = piece
    before = place - position
    if 0 < before < events.num_rows:
        yield position, events.slice(0, before)
        position, events = place, events.slice(before)
    yield position, events
