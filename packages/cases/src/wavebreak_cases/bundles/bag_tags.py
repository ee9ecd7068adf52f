"""Tag files of a bundle's bag (BagIt 1.0, RFC 8493): all of them follow from the payload."""

from __future__ import annotations

import hashlib
from pathlib import Path

from wavebreak_cases.bundles.archive_reader import HASHES, bundle_error, file_hash
from wavebreak_cases.cases.date_ranges import format_instant

_DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def tag_files(bag: Path, case: str, at: int, version: str) -> dict[str, bytes]:
    """Return a bag's own files by name: declaration, about, manifests, as its payload gives them.

    Args:
        bag: The bag, with its payload.
        case: The case's id.
        at: When the case's last step was taken, in milliseconds.
        version: The version of Wavebreak that made the bag.

    """
    files = sorted(path for path in (bag / "data").rglob("*") if path.is_file())
    octets = sum(path.stat().st_size for path in files)
    about = (
        f"Bag-Software-Agent: wavebreak {version}\nBagging-Date: {format_instant(at)[:10]}\n"
        f"External-Identifier: {case}\nPayload-Oxum: {octets}.{len(files)}\n"
    )
    made = {"bagit.txt": _DECLARATION.encode(), "bag-info.txt": about.encode()}
    for algorithm in HASHES:
        lines = {p.relative_to(bag).as_posix(): file_hash(p, algorithm) for p in files}
        made[f"manifest-{algorithm}.txt"] = _manifest(lines)
    tags = dict(made)
    for algorithm in HASHES:
        digests = {
            name: hashlib.new(algorithm, content).hexdigest() for name, content in tags.items()
        }
        made[f"tagmanifest-{algorithm}.txt"] = _manifest(digests)
    return made


def check_tag_files(bag: Path, case: str, at: int, version: str) -> str:
    """Check that a bag's own files are those that its payload gives."""
    made = tag_files(bag, case, at, version)
    there = {path.name for path in bag.iterdir() if path.name != "data"}
    if there != made.keys():
        raise bundle_error("bag_surplus", f"{sorted(there ^ made.keys())[0][:60]}")
    for name, content in made.items():
        if (bag / name).read_bytes() != content:
            raise bundle_error("bag_tags", f"{name} is not what the payload gives")
    return f"{len(made)} files of the bag itself, as the payload gives them"


def _manifest(digests: dict[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()
