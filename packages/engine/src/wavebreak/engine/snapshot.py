"""Snapshots of an engine: one checksummed file, valid for one layout, policy, model and profile.

A service's snapshots are authenticated by the deployment's key.

A snapshot made in shadow can be resumed with enforcement, and the other way round.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wavebreak.durable_files import replacing
from wavebreak.engine.engine import Engine
from wavebreak.engine.mode_switch import switch_mode
from wavebreak.errors import SnapshotError
from wavebreak.features import layout
from wavebreak.features.memory import GrowableArray

VERSION = 9
_MANIFEST = "manifest.json"
_FIX = "take an older snapshot, or run again from the log"
_ALIGNED = 64
_HEADER = 10
"""Bytes before the text of an array's header: NumPy's magic, version 1.0, and the text's length."""
# For ids of events, and for growth while the memory is allocated.
_SPARE, _LEAST = 1.2, 1 << 20


def manifest_of(engine: Engine) -> dict[str, Any]:
    """Return what a snapshot says about the engine that it was made with."""
    return {
        "version": VERSION,
        "layout": layout.layout_digest(),
        "policy": engine.policy.version,
        "features": engine.version,
        "model": engine.model.version if engine.model else None,
        "covered": sorted(engine.covered),
        "sources": {name: sorted(one.covered) for name, one in engine.by_source.items()} or None,
        "enforce": engine.enforce,
    }


@dataclass(frozen=True)
class EngineState:
    """Copy of an engine's state at one position of its log."""

    about: dict[str, Any]
    arrays: dict[str, Any]


class CopyBuffer:
    """Memory for a copy of an engine's state, allocated before it is needed.

    Copying is ten times as fast as allocating. An array that does not fit into the `size` bytes
    gets memory of its own.

    >>> room, whole = CopyBuffer(4096), np.arange(6).reshape(2, 3)
    >>> copy = room.copy(whole)
    >>> whole[0] = 9
    >>> copy.tolist(), room.copy(np.zeros(4096)).nbytes
    ([[0, 1, 2], [3, 4, 5]], 32768)
    """

    def __init__(self, size: int) -> None:
        self._held, self._used = GrowableArray(np.dtype(np.uint8), size), 0
        self._held.touch(size)

    def copy(self, array: Any) -> Any:
        """Return a copy of an array, made as bytes: ten times as fast as by record fields."""
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        begin, self._used = self._used, self._used + -(-content.size // _ALIGNED) * _ALIGNED
        place = self._held.records[begin : begin + content.size]
        if place.size < content.size:
            place = np.empty(content.size, np.uint8)
        place[:] = content
        return place.view(array.dtype).reshape(array.shape)


def copy_size(engine: Engine) -> int:
    """Return the bytes that a copy of an engine's state needs, with reserve for growth."""
    held, fanout = engine.core.nbytes(), engine.fanout
    named = sum(part.nbytes() for part in (fanout.accounts, fanout.entities, fanout.seen))
    return _LEAST + int(_SPARE * (sum(held.values()) - held["pairs_known"] + named))


def copy_state(engine: Engine, room: CopyBuffer) -> EngineState:
    """Copy an engine's state, so that another thread can write it while the engine goes on."""
    copies = {name: room.copy(array) for name, array in engine.dump().items()}
    return EngineState(manifest_of(engine), copies)


def save(engine: Engine, path: Path, key: bytes | None = None) -> None:
    """Write a snapshot; the file appears whole or not at all. See `write` for `key`."""
    write(EngineState(manifest_of(engine), engine.dump()), path, key)


def write(state: EngineState, path: Path, key: bytes | None = None) -> None:
    """Write an engine's copied state; the file appears whole or not at all.

    With a `key` the manifest, which has the digests of all parts, names the file and has a MAC.
    """
    sums: dict[str, str] = {}
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in state.arrays.items():
            content = _header_of(array.dtype, array.shape) + array.tobytes()
            archive.writestr(name, content)
            sums[name] = hashlib.sha256(content).hexdigest()
        manifest = state.about | {"sums": sums}
        if key is not None:
            manifest["name"] = path.name
            manifest["mac"] = _manifest_mac(manifest, key)
        archive.writestr(_MANIFEST, json.dumps(manifest, sort_keys=True))


def _manifest_mac(manifest: dict[str, Any], key: bytes) -> str:
    content = {name: value for name, value in manifest.items() if name != "mac"}
    return hmac.digest(key, json.dumps(content, sort_keys=True).encode(), "sha256").hex()


_UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, KeyError,
    ValueError, EOFError, TypeError, IndexError, AttributeError, OverflowError, MemoryError,
)  # fmt: skip


def _unreadable(path: Path, error: BaseException) -> SnapshotError:
    return SnapshotError(
        f"{path} cannot be read as a snapshot ({type(error).__name__}: {error})", fix=_FIX
    )


def restore(engine: Engine, path: Path, key: bytes | None = None) -> bool:
    """Restore an engine's state from a snapshot.

    With a `key` only a file that was written under it, and not renamed, is read. Without one the
    digests show damage; they do not show that somebody who can write the file has changed it.

    Returns:
        Whether the snapshot was made with enforcement; see `load`.

    Raises:
        SnapshotError: The file is damaged (the error names the part), was made with another
            layout, policy, model, catalog or coverage, or was not written under the key.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(_read(archive, _MANIFEST))
            if key is not None:
                _check_mac(manifest, path, key)
            _check_manifest(manifest, manifest_of(engine))
            parts = {n: _part(archive, n, sum_) for n, sum_ in manifest["sums"].items()}
            return load(engine, EngineState(manifest, parts))
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def load(engine: Engine, state: EngineState) -> bool:
    """Let an engine go on from a state, of which it keeps a copy.

    Where it was made in the other mode, the engine switches at its position
    (`mode_switch.switch_mode`): outcomes found in shadow are cleared before enforcement begins.

    Returns:
        Whether the state was made with enforcement.

    Raises:
        SnapshotError: It was made with another layout, policy, model, catalog or coverage.
    """
    enforce = engine.enforce
    _check_manifest(state.about, manifest_of(engine))
    engine.load(state.arrays)
    engine.set_mode(enforce=state.about["enforce"])
    switch_mode(engine, enforce=enforce)
    return bool(state.about["enforce"])


def check(path: Path, key: bytes | None = None) -> dict[str, Any]:
    """Return what a snapshot says about its engine; reads and checks every part.

    Raises:
        SnapshotError: The file is damaged, of another layout or version of Wavebreak, or was not
            written under the key.
    """
    return _contents(path, key, _checked)[0]


def read(path: Path, key: bytes | None = None) -> EngineState:
    """Return the state that a snapshot holds, without an engine.

    Raises:
        SnapshotError: As of `check`.
    """
    return EngineState(*_contents(path, key, _part))


def _contents(
    path: Path, key: bytes | None, part: Callable[[zipfile.ZipFile, str, str], Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a snapshot says about its engine, and its parts."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(_read(archive, _MANIFEST))
            if key is not None:
                _check_mac(manifest, path, key)
            made = manifest.get("version"), manifest.get("layout")
            if made != (VERSION, layout.layout_digest()):
                raise SnapshotError("the snapshot was made with another layout", fix=_FIX)
            parts = {name: part(archive, name, sum_) for name, sum_ in manifest["sums"].items()}
            about = {k: v for k, v in manifest.items() if k not in ("sums", "name", "mac")}
            return about, parts
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _check_manifest(manifest: dict[str, Any], own: dict[str, Any]) -> None:
    for name, value in own.items():
        if name != "enforce" and manifest.get(name) != value:
            raise SnapshotError(
                f"the snapshot was made with another {name}",
                fix="run with the same policy, model and profile, or again from the log",
            )
    if not isinstance(manifest.get("enforce"), bool):
        raise SnapshotError("the snapshot names no mode", fix="run again from the log")


def _check_mac(manifest: dict[str, Any], path: Path, key: bytes) -> None:
    """Check, before anything else is read, that this service wrote the file under this name."""
    mac = str(manifest.get("mac", ""))
    fix = "nothing is lost: the log is replayed instead"
    if not mac:
        raise SnapshotError("it is not authenticated by a deployment's key", fix=fix)
    if not hmac.compare_digest(mac, _manifest_mac(manifest, key)):
        raise SnapshotError("it was changed, or is of another deployment's key", fix=fix)
    if manifest.get("name") != path.name:
        raise SnapshotError("it was written under another name", fix=fix)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a part as it is stored; one that unpacks to more than the file holds is refused."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile
    return archive.read(name)


def _part(archive: zipfile.ZipFile, name: str, expected: str) -> Any:
    content = _checked(archive, name, expected)
    begin = _HEADER + int.from_bytes(content[_HEADER - 2 : _HEADER], "little")
    shape, in_columns, dtype = _header(content[:begin])
    array = np.frombuffer(content, dtype, math.prod(shape), begin).copy()
    return array.reshape(shape, order="F" if in_columns else "C")


# NumPy writes and parses the text of a header anew for each of hundreds of arrays: that was most of
# what a small snapshot took.
@lru_cache(maxsize=4096)
def _header_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the header of an array as NumPy stores it, with its last index the fastest."""
    file = io.BytesIO()
    described = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        file, {"descr": described, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@lru_cache(maxsize=4096)
def _header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether columns come first, and the type of an array as NumPy stores it."""
    file = io.BytesIO(header)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("a part has a header of another version")
    shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("a part holds objects")
    return shape, in_columns, dtype


def _checked(archive: zipfile.ZipFile, name: str, expected: str) -> bytes:
    content = _read(archive, name)
    if hashlib.sha256(content).hexdigest() != expected:
        raise SnapshotError(
            f"the snapshot's part {name} is damaged",
            fix=_FIX,
        )
    return content
