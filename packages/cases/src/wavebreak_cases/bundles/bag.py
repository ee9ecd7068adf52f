"""Tag files of a bundle's bag, and the seal of its payload.

The last entry of a bundle's ledger is of kind `pack`: how many steps the case has, the last one's
digest, and the digest of every file beside the ledger. Nothing can then be cut from the end of the
case, nor changed in report, forms, instructions or verifier, without the maker's key. It says what
was so at its time, and nothing of what the maker did later.
"""

from __future__ import annotations

import hashlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from wavebreak.ledger import make_entry
from wavebreak.ledger.entries import PackEntry
from wavebreak.ledger.storage import LEDGER
from wavebreak_cases.bundles.archive_reader import HASHES, bundle_error, file_hash
from wavebreak_cases.bundles.workspace import CaseWorkspace, salted_digest
from wavebreak_cases.cases.case import CaseFile
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
    tags = {"bagit.txt": _DECLARATION.encode(), "bag-info.txt": about.encode()}
    for algorithm in HASHES:
        lines = {p.relative_to(bag).as_posix(): file_hash(p, algorithm) for p in files}
        tags[f"manifest-{algorithm}.txt"] = _manifest(lines)
    payload_tags = dict(tags)
    for algorithm in HASHES:
        digests = {
            name: hashlib.new(algorithm, content).hexdigest()
            for name, content in payload_tags.items()
        }
        tags[f"tagmanifest-{algorithm}.txt"] = _manifest(digests)
    return tags


def check_tag_files(bag: Path, case: str, at: int, version: str) -> str:
    """Check that a bag's own files are those that its payload gives."""
    expected = tag_files(bag, case, at, version)
    there = {path.name for path in bag.iterdir() if path.name != "data"}
    if there != expected.keys():
        raise bundle_error("bag_surplus", f"{sorted(there ^ expected.keys())[0][:60]}")
    for name, content in expected.items():
        if (bag / name).read_bytes() != content:
            raise bundle_error("bag_tags", f"{name} is not what the payload gives")
    return f"{len(expected)} files of the bag itself, as the payload gives them"


def _manifest(digests: dict[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def payload_digest(data: Path) -> str:
    """Return the SHA-256 over the names and digests of all files of a payload but the ledger's."""
    files = (path for path in data.rglob("*") if path.is_file())
    lines = sorted(
        f"{file_hash(path, 'sha256')}  {name}\n"
        for path in files
        if not (name := path.relative_to(data).as_posix()).startswith(f"{LEDGER}/")
    )
    return sha256("".join(lines).encode()).hexdigest()


def seal_payload(workspace: CaseWorkspace, data: Path) -> None:
    """Seal a payload as the case's last entry, unless the last one is of the same payload."""
    written = workspace.written
    last = salted_digest(written.salt, written.steps[-1])
    body = PackEntry(written.id, len(written.steps), last, payload_digest(data))
    ledger = workspace.ledger
    if ledger.size and ledger.entry(ledger.size - 1).body == body:
        return
    entry, openings = make_entry("pack", body, {}, at=workspace.clock(), salts=workspace.salts)
    workspace.openings.keep(ledger.size, [openings])
    ledger.seal([entry])


def check_seal(data: Path, written: CaseFile, proofs: list[dict[str, Any]], size: int) -> str:
    """Check that all entries are shown, and that the last one seals this case and payload.

    Args:
        data: The payload.
        written: The case's file.
        proofs: The lines of `proofs.jsonl`.
        size: The size of the signed checkpoint.

    Returns:
        What the maker vouches for; "" for a bundle without such an entry.

    Raises:
        EvidenceError: Something was cut, added or changed.

    """
    if [proof["position"] for proof in proofs] != list(range(size)):
        raise bundle_error(
            "entries_cut", f"{len(proofs):,} entries are shown, and {size:,} were sealed"
        )
    entry = proofs[-1]["entry"]
    if entry["kind"] != "pack":
        return ""
    sealed = msgspec.convert(entry["body"], PackEntry)
    if (sealed.case, sealed.steps) != (written.id, len(written.steps)):
        raise bundle_error(
            "pack_case",
            f"{sealed.steps:,} steps of case {sealed.case[:40]} were packed, and "
            f"{len(written.steps):,} are here",
        )
    if sealed.last != salted_digest(written.salt, written.steps[-1]):
        raise bundle_error("pack_case", "the last step is not the one that was packed")
    if sealed.payload != payload_digest(data):
        raise bundle_error("pack_payload", "a file beside the ledger is not as it was packed")
    return (
        f"packed {format_instant(entry['at'])} with {sealed.steps:,} steps, every file sealed; "
        "of later steps it says nothing"
    )
