"""Unpacking of a bundle from an untrusted zip file, and the names of its members.

Refused are names that lead outside the folder or are not plain, links, two files of one name, other
compressions, encryption, and what unpacks to far more than it may. Bytes are counted as they are
decompressed, never by what a header promises.

Needs nothing but the ledger's verifier: the verifier in a bundle has both.
"""

import re
import stat
import struct
import zipfile
import zlib
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO, NamedTuple

from wavebreak.ledger.verifier import VerifierError

_NAME = re.compile(r"[A-Za-z0-9_.+=@-][A-Za-z0-9_.+=@ -]*")
_BLOCK = 1 << 20
_ELSEWHERE = 0xFFFFFFFF
"""What a header says instead of a size that is in a field of its own (ZIP64)."""


class Bounds(NamedTuple):
    """The most that a bundle may hold: files, bytes unpacked, times its packed size, depth."""

    files: int = 50_000
    octets: int = 16 << 30
    ratio: int = 200
    spare: int = 64 << 20
    depth: int = 12


def file_hash(path: Path, algorithm: str) -> str:
    """Return the hash of a file, in hex."""
    with path.open("rb") as file:
        return file_digest(file, algorithm).hexdigest()


def unpack(source: Path, target: Path, bounds: Bounds | None = None) -> Path:
    """Unpack a bundle into the empty directory `target`; gives the one folder that it holds.

    Raises `VerifierError` whose name says what is wrong; `target` may then hold a part.
    """
    bounds = bounds or Bounds()
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            _check_members(members, bounds)
            most = min(bounds.octets, bounds.spare + bounds.ratio * source.stat().st_size)
            for member in members:
                most -= _extract_member(archive, member, target, most)
    except FileNotFoundError:
        raise VerifierError("bundle_absent", f"there is no {source}") from None
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        EOFError,
        ValueError,
    ) as error:
        raise VerifierError("bundle_damaged", f"the zip file cannot be read: {error}") from None
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise VerifierError(
            "bundle_damaged", f"it cannot be unpacked: {type(error).__name__}"
        ) from None
    return target / members[0].filename.split("/")[0]


def _check_members(members: list[zipfile.ZipInfo], bounds: Bounds) -> None:
    if not 0 < len(members) <= bounds.files:
        raise VerifierError(
            "bundle_files", f"{len(members):,} files, where 1 to {bounds.files:,} may be"
        )
    seen: set[str] = set()
    for member in members:
        name = member.orig_filename
        parts = name.split("/")
        if len(parts) > bounds.depth or not len(parts) > 1:
            raise VerifierError("bundle_depth", "a file lies too deep, or in no folder")
        if not all(_NAME.fullmatch(part) and part.strip(".") for part in parts):
            raise VerifierError("bundle_name", "a file's name leads elsewhere, or is not plain")
        if name.casefold() in seen:
            raise VerifierError("bundle_twice", f"{name[:80]} is there twice")
        seen.add(name.casefold())
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise VerifierError("bundle_link", f"{name[:80]} is a link, or no plain file")
        if member.flag_bits & 1:
            raise VerifierError("bundle_encrypted", f"{name[:80]} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise VerifierError("bundle_compression", f"{name[:80]} is compressed in another way")
    if len({name.split("/")[0] for name in seen}) > 1:
        raise VerifierError("bundle_folders", "it holds more than one folder")


def _extract_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, most: int
) -> int:
    path, count = target / member.filename, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, path.open("xb") as file:
        while block := packed.read(_BLOCK):
            count += len(block)
            if count > most:
                raise VerifierError("bundle_bomb", "it unpacks to far more than it may")
            file.write(block)
    return count


def check_structure(source: Path) -> None:
    """Check that a zip file holds its files and not one byte else.

    Members follow each other from the first byte, as our writer leaves them: in order, with its
    times and modes, without comments or fields of their own, and each deflated to its end; then
    their directory, then the end. Raises `VerifierError`.
    """
    with zipfile.ZipFile(source) as archive, source.open("rb") as file:
        members, at = archive.infolist(), 0
        names = [member.filename for member in members]
        if names != sorted(names, key=lambda name: name.split("/")):
            raise _other_bytes("its files are in another order")
        for member in members:
            at = _check_place(file, member, at)
            _check_deflated(file, member, at)
            at += member.compress_size
        large = max(at, *(m.file_size for m in members)) > zipfile.ZIP64_LIMIT or any(
            member.extra for member in members
        )
        directory = sum(46 + len(member.filename) + len(member.extra) for member in members)
        end = at + directory + 22
        actual = source.stat().st_size
        if archive.comment or archive.start_dir != at:
            raise _other_bytes("a comment, or bytes before its directory")
        if actual != end and not (large and actual == end + 76):
            raise _other_bytes("more bytes than its files and their directory")


def _check_place(file: BinaryIO, member: zipfile.ZipInfo, at: int) -> int:
    """Check a member's headers, and that it begins at a position; return where its bytes do."""
    written = (member.date_time, member.external_attr, member.create_system, member.flag_bits)
    if written != (FIXED_TIME, FIXED_MODE << 16, 3, 0) or member.comment:
        raise _other_bytes(f"{member.filename[:80]} was not packed by Wavebreak")
    if member.header_offset != at:
        raise _other_bytes(f"bytes lie before {member.filename[:80]}")
    file.seek(at)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\3\4":
        raise _other_bytes(f"{member.filename[:80]} has no header")
    (version, flags, method, _, _, crc, packed, size, name, extra) = struct.unpack(
        "<HHHHHIIIHH", head[4:]
    )
    local = file.read(name + extra)
    same = (flags, method, crc, local[:name]) == (
        0, zipfile.ZIP_DEFLATED, member.CRC, member.filename.encode(),
    )  # fmt: skip
    large = (packed, size, extra) == (_ELSEWHERE, _ELSEWHERE, 20) and local[name:][:2] == b"\1\0"
    plain = (packed, size) == (member.compress_size, member.file_size) and not extra
    if not same or version > 45 or not (large or plain):
        raise _other_bytes(f"{member.filename[:80]} has another header than the directory says")
    if member.extra and member.extra[:2] != b"\1\0":
        raise _other_bytes(f"{member.filename[:80]} has a field of its own")
    return at + 30 + int(name) + int(extra)


def _check_deflated(file: BinaryIO, member: zipfile.ZipInfo, at: int) -> None:
    """Check that a member's bytes are one deflated stream, to the last of them."""
    stream, left, count = zlib.decompressobj(-15), member.compress_size, 0
    file.seek(at)
    while left:
        block = file.read(min(left, _BLOCK))
        if not block or stream.eof:
            break
        left -= len(block)
        while block:
            count += len(stream.decompress(block, _BLOCK))
            block = stream.unconsumed_tail
    count += len(stream.flush())
    if left or not stream.eof or stream.unused_data or count != member.file_size:
        raise _other_bytes(f"{member.filename[:80]} has bytes after its end")


def _other_bytes(what: str) -> VerifierError:
    return VerifierError("bundle_structure", what)


MADE, README, REPORT, CERTIFICATE, VERIFIER = (
    "made.json", "README.txt", "report.pdf", "certificate.pdf", "verifier.py",
)  # fmt: skip
FIXED_TIME, FIXED_MODE = (1980, 1, 1, 0, 0, 0), 0o100644
"""Time and mode of every file in a bundle's zip file."""
HASHES = ("sha256", "sha512")
"""Algorithms of the manifests."""
