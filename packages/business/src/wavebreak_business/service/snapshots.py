"""Snapshots of the platform's state, so that a start reads the end of its log alone.

A file holds the arrays of `Platform.dump` at a row of the log, after a MAC under the deployment's
key. One that was changed, or that stands at a row which the log does not have, is passed over: the
log makes the state anew.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavebreak.durable_files import replacing
from wavebreak_server.storage import row_macs

KEPT = 2
"""Snapshots that are kept."""
_PURPOSE = "business snapshot"
_NAME = re.compile(r"business-(\d+)\.snapshot")
_MAC_BYTES, _PRIVATE = 32, 0o600
_ROW_MAC, _LIMITS, _ERASURES = "row_mac", "limits", "erasures"


class Snapshot(NamedTuple):
    """State of the platform at a row of its log.

    Attributes:
        number: The row.
        row_mac: Its MAC, by which the log is known again.
        limits: The limits in force there, as JSON.
        erasures: How many erasures from the log were before it.
        arrays: The state.
    """

    number: int
    row_mac: bytes
    limits: bytes
    erasures: int
    arrays: Mapping[str, Any]


def encode(snapshot: Snapshot) -> bytes:
    """Return a snapshot as bytes."""
    told = {
        _ROW_MAC: snapshot.row_mac,
        _LIMITS: snapshot.limits,
        _ERASURES: str(snapshot.erasures).encode(),
    }
    beside = {f"told.{name}": np.frombuffer(value, np.uint8) for name, value in told.items()}
    content = io.BytesIO()
    np.savez(content, **beside, **dict(snapshot.arrays))  # type: ignore[arg-type]
    return content.getvalue()


def as_bytes(text: bytes) -> Any:
    """Return bytes as an array of a snapshot."""
    return np.frombuffer(text, np.uint8)


def decode(number: int, body: bytes) -> Snapshot | None:
    """Return a snapshot at a row of the log from its bytes; None where they are none."""
    with suppress(ValueError, KeyError), np.load(io.BytesIO(body), allow_pickle=False) as kept:
        arrays = {name: kept[name] for name in kept.files}
        told = {n: arrays.pop(f"told.{n}").tobytes() for n in (_ROW_MAC, _LIMITS, _ERASURES)}
        return Snapshot(number, told[_ROW_MAC], told[_LIMITS], int(told[_ERASURES]), arrays)
    return None


def save(directory: Path, snapshot: Snapshot) -> None:
    """Write a snapshot, and remove all but the newest."""
    body = encode(snapshot)
    path = directory / f"business-{snapshot.number}.snapshot"
    with replacing(path, mode=_PRIVATE) as file:
        file.write(_mac(body) + body)
    for _, former in _files(directory)[KEPT:]:
        former.unlink(missing_ok=True)


def load(directory: Path) -> Iterator[Snapshot]:
    """Yield the snapshots that this service wrote, the newest first."""
    for number, path in _files(directory):
        content = path.read_bytes()
        mac, body = content[:_MAC_BYTES], content[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(body)):
            continue
        if (snapshot := decode(number, body)) is not None:
            yield snapshot


def remove(directory: Path, keep: int) -> None:
    """Remove the snapshots from before an erasure; `keep`: how many erasures there were."""
    kept = {each.number for each in load(directory) if each.erasures == keep}
    for number, path in _files(directory):
        if number not in kept:
            path.unlink(missing_ok=True)


def _files(directory: Path) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted(((int(match[1]), path) for match, path in found if match), reverse=True)


def _mac(body: bytes) -> bytes:
    key = row_macs.bound_key(_PURPOSE)
    return hmac.digest(key, body, hashlib.sha256) if key else hashlib.sha256(body).digest()
