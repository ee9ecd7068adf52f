"""Unpacking of a bundle from an untrusted zip file, and the names of its members.

Refused are names that lead outside the folder or are not plain, links, two files of one name, other
compressions, encryption, and what unpacks to far more than it may. Bytes are counted as they are
decompressed, never by what a header promises.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from pathlib import Path

import msgspec

from wavebreak.errors import EvidenceError

_NAME = re.compile(r"[A-Za-z0-9_.+=@-][A-Za-z0-9_.+=@ -]*")
_BLOCK = 1 << 20


class Bounds(msgspec.Struct, frozen=True):
    """The most that a bundle may hold: files, bytes unpacked, times its packed size, depth."""

    files: int = 50_000
    octets: int = 16 << 30
    ratio: int = 200
    spare: int = 64 << 20
    depth: int = 12


def bundle_error(
    name: str, what: str, fix: str = "ask its maker for another copy"
) -> EvidenceError:
    """The error of this name."""
    return EvidenceError(f"{name}: {what}", fix=fix, name=name)


def unpack(source: Path, target: Path, bounds: Bounds | None = None) -> Path:
    """Unpack a bundle into the empty directory `target`; gives the one folder that it holds.

    Raises `EvidenceError` whose name says what is wrong; `target` may then hold a part.
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
        raise bundle_error("bundle_absent", f"there is no {source}", "give a bundle") from None
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        EOFError,
        ValueError,
    ) as error:
        raise bundle_error("bundle_damaged", f"the zip file cannot be read: {error}") from None
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise bundle_error(
            "bundle_damaged", f"it cannot be unpacked: {type(error).__name__}"
        ) from None
    return target / members[0].filename.split("/")[0]


def _check_members(members: list[zipfile.ZipInfo], bounds: Bounds) -> None:
    if not 0 < len(members) <= bounds.files:
        raise bundle_error(
            "bundle_files", f"{len(members):,} files, where 1 to {bounds.files:,} may be"
        )
    seen: set[str] = set()
    for member in members:
        name = member.orig_filename
        parts = name.split("/")
        if len(parts) > bounds.depth or not len(parts) > 1:
            raise bundle_error("bundle_depth", "a file lies too deep, or in no folder")
        if not all(_NAME.fullmatch(part) and part.strip(".") for part in parts):
            raise bundle_error("bundle_name", "a file's name leads elsewhere, or is not plain")
        if name.casefold() in seen:
            raise bundle_error("bundle_twice", f"{name[:80]} is there twice")
        seen.add(name.casefold())
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise bundle_error("bundle_link", f"{name[:80]} is a link, or no plain file")
        if member.flag_bits & 1:
            raise bundle_error("bundle_encrypted", f"{name[:80]} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise bundle_error("bundle_compression", f"{name[:80]} is compressed in another way")
    if len({name.split("/")[0] for name in seen}) > 1:
        raise bundle_error("bundle_folders", "it holds more than one folder")


def _extract_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, most: int
) -> int:
    path, count = target / member.filename, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, path.open("xb") as file:
        while block := packed.read(_BLOCK):
            count += len(block)
            if count > most:
                raise bundle_error("bundle_bomb", "it unpacks to far more than it may")
            file.write(block)
    return count


LEDGER, MADE, README, REPORT, CERTIFICATE, VERIFIER = (
    "ledger", "made.json", "README.txt", "report.pdf", "certificate.pdf", "verifier.py",
)  # fmt: skip
HASHES = ("sha256", "sha512")
"""Algorithms of the manifests."""
