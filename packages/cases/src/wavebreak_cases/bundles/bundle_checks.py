"""Verifier of a bundle that needs Python 3.11 and nothing else: no package, no network.

    python -I verifier.py BUNDLE.zip --key KEY...      or the folder that was unpacked from it
        [--key-history FILE]

KEY is the verifier key of who made the bundle, or of a witness, taken from them by another way than
this bundle. Checked is: every file against the manifests and the sealed end of the case, the ledger
whole under its signed checkpoint, the key and its history, witnesses, every step as it was sealed,
the exhibits, their custody and archived pages, and the signatures of determinations.

Exit codes: 0 all of this holds; 1 something does not; 3 something cannot be checked here; 4 it
holds, and rests on a key that nobody vouched for; 5 it holds, with redactions. What it does not
check at all is printed too: that needs Wavebreak (`wavebreak verify`) or the originals.
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from wavebreak.ledger.key_changes import (
    KeyChange,
    KnownKey,
    known_keys,
    read_changes,
    revoked_doubt,
)
from wavebreak.ledger.verifier import (
    LOG,
    WITNESS,
    Checkpoint,
    Key,
    VerifierError,
    canonical,
    check_signature,
    check_signed,
    fingerprint,
    read_checkpoint,
    read_json,
    read_key,
    read_lines,
    signature_holds,
    verify,
)
from wavebreak_cases.bundles.archive_reader import (
    CERTIFICATE,
    HASHES,
    MADE,
    README,
    REPORT,
    VERIFIER,
    Bounds,
    check_structure,
    file_hash,
    unpack,
)

HOLDS, FAILS, UNCHECKED, KEY_UNKNOWN, REDACTED = 0, 1, 3, 4, 5
"""Exit codes of every verification of a bundle; 2 is a wrong command line."""
EXIT_CODES = (HOLDS, FAILS, UNCHECKED, KEY_UNKNOWN, REDACTED)
CASE, EXHIBITS, GROUNDS, LEDGER, SETTINGS = (
    "case.json", "exhibits", "grounds", "ledger", "report.json",
)  # fmt: skip
LEDGER_FILES = {"checkpoints.jsonl", "key.pub", "proofs.jsonl"}
_PAYLOAD = {CASE, GROUNDS, EXHIBITS, LEDGER, MADE, README, REPORT, CERTIFICATE, VERIFIER, SETTINGS}
_MAX_CASE, _MAX_FILE = 64 << 20, 256 << 20
_DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_MANIFEST_LINE = re.compile(r"([0-9a-f]+)  (\S.*)")
_EXHIBIT_PATH = re.compile(rf"{EXHIBITS}/E\d+(R\d+)?")
_FIRST = "0" * 64
_FORWARD = (
    "that each step was allowed after those before it, and that determinations follow from the "
    "evidence",
    "that the engine decides the same again from the events of a run, and counts the same",
    "that report.pdf and certificate.pdf say what the case says (they are as they were packed)",
    "whose key it is, beyond that you were given it; when anything was made, beyond what a "
    "witness signed; a time stamp (.tsr) beside the bundle",
    "whether anything in the bundle is true",
)


class Finding(NamedTuple):
    """One check: what of, whether it holds (None: not checked), what was found, a doubt's name."""

    what: str
    holds: bool | None
    said: str
    name: str = ""


_UNCHECKED = {"key_unknown": KEY_UNKNOWN, "redacted": REDACTED}


class NotChecked(Exception):  # noqa: N818
    """Why something could not be checked here, and of which kind that is."""

    def __init__(self, said: str, name: str = "unchecked") -> None:
        super().__init__(said)
        self.name = name


def exit_code(findings: Sequence[Finding]) -> int:
    """Return the exit code of a verification: the first that applies of 1, 3, 4, 5, else 0.

    >>> exit_code([Finding("a", True, ""), Finding("b", None, "", "redacted")])
    5
    >>> exit_code([Finding("a", None, "", "key_unknown"), Finding("b", None, "", "redacted")])
    4
    """
    codes = {
        FAILS if f.holds is False else HOLDS if f.holds else _UNCHECKED.get(f.name, UNCHECKED)
        for f in findings
    }
    return next((code for code in (FAILS, UNCHECKED, KEY_UNKNOWN, REDACTED) if code in codes), 0)


def counted(number: int, noun: str) -> str:
    """Return a count with its noun, in the singular where it is one.

    >>> counted(1, "step"), counted(1_200, "step")
    ('1 step', '1,200 steps')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def run_check(what: str, check: Callable[[], str]) -> Finding:
    """Run one check: whatever whoever made the bundle put into it, the result is a finding."""
    try:
        return Finding(what, True, check())
    except NotChecked as reason:
        return Finding(what, None, str(reason), reason.name)
    except VerifierError as doubt:
        name, said = doubt.args
        return Finding(what, False, f"{name}: {said}", name)
    except Exception as error:
        # Whoever made the bundle chooses what its parsers meet: whatever they raise is a doubt.
        said = f"it is not well formed ({type(error).__name__})"
        return Finding(what, False, said, "not_well_formed")


def open_bundle(source: Path, place: Path, bounds: Bounds | None = None) -> tuple[Path, str]:
    """Return the folder of a bundle, unpacked into `place` where it is a zip file, and what it is.

    Raises VerifierError, or NotChecked where nothing can be read here.
    """
    if source.is_dir():
        folders = [source]
        if not (source / "bagit.txt").exists():
            folders = [path for path in source.iterdir() if (path / "bagit.txt").exists()]
        if len(folders) != 1:
            raise NotChecked(f"{source} holds no bundle", "bundle_absent")
        (root,) = folders
        links = [path.name for path in root.rglob("*") if path.is_symlink()]
        if links:
            raise VerifierError("bundle_link", f"{links[0][:80]} is a link, or no plain file")
        return root, "a folder was given; the zip file was not looked at"
    try:
        with source.open("rb"):
            pass
    except OSError as error:
        raise NotChecked(f"{source} cannot be read: {error.strerror}", "bundle_absent") from None
    root = unpack(source, place, bounds)
    check_structure(source)
    count = sum(path.is_file() for path in root.rglob("*"))
    return root, f"{counted(count, 'file')} and nothing else"


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
        f"Bag-Software-Agent: wavebreak {version}\nBagging-Date: {_instant(at)[:10]}\n"
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


def check_tags(root: Path, case: dict[str, Any]) -> str:
    """The bag's own files are those that its payload gives."""
    version = str(_read_object(root / "data" / MADE).get("wavebreak", ""))
    expected = tag_files(root, case["id"], case["steps"][-1]["at"], version)
    there = {path.name for path in root.iterdir() if path.name != "data"}
    if there != expected.keys():
        raise VerifierError("bag_surplus", f"{sorted(there ^ expected.keys())[0][:60]}")
    for name, content in expected.items():
        if (root / name).read_bytes() != content:
            raise VerifierError("bag_tags", f"{name} is not what the payload gives")
    return f"{len(expected)} files of the bag itself, as the payload gives them"


def _manifest(digests: dict[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _instant(ms: int) -> str:
    """Return an instant as RFC 3339 in UTC."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def check_bag(root: Path) -> str:
    """Every file is in manifests of both hashes and as they say, and nothing else is there."""
    there = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    for algorithm in HASHES:
        payload = _read_manifest(root, f"manifest-{algorithm}.txt")
        tags = _read_manifest(root, f"tagmanifest-{algorithm}.txt")
        if missing := sorted({*payload, *tags} - there):
            raise VerifierError("bag_missing", f"{missing[0]} is in a manifest and not there")
        data = {name for name in there if name.startswith("data/")}
        beside = there - data - {f"tagmanifest-{each}.txt" for each in HASHES}
        if more := sorted((data - {*payload}) | (beside - {*tags})):
            raise VerifierError("bag_surplus", f"{more[0]} is there and in no manifest")
        for name, said in (payload | tags).items():
            if file_hash(root / name, algorithm) != said:
                raise VerifierError("bag_digest", f"{name} is not as it was packed ({algorithm})")
    return f"{counted(len(there), 'file')}, SHA-256 and SHA-512"


def _read_manifest(root: Path, name: str) -> dict[str, str]:
    try:
        lines = (root / name).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise VerifierError("bag_manifest", f"there is no readable {name}") from None
    matches = [match for line in lines if (match := _MANIFEST_LINE.fullmatch(line))]
    if len(matches) < len(lines) or len({m[2] for m in matches}) < len(lines):
        raise VerifierError("bag_manifest", f"{name} has a line that is not well formed, or twice")
    return {match[2]: match[1] for match in matches}


def read_case(data: Path) -> dict[str, Any]:
    """Read a case's file, which must be in canonical form; raises VerifierError."""
    path = data / CASE
    if not path.is_file() or path.stat().st_size > _MAX_CASE:
        raise VerifierError("case", f"there is no readable {CASE}")
    raw = path.read_bytes()
    case = read_json(raw[:-1], "case")
    steps = case.get("steps") if type(case) is dict and raw[-1:] == b"\n" else None
    if not steps or [step["n"] for step in steps] != list(range(1, len(steps) + 1)):
        raise VerifierError("case", f"{CASE} is not well formed")
    return dict(case)


def note_of(place: Path) -> bytes:
    """Read the one checkpoint of a proof bundle as it was signed."""
    (line,) = read_lines(place / "checkpoints.jsonl")
    return str(read_json(line, "checkpoint")).encode()


def checkpoint_of(place: Path) -> Checkpoint:
    """Read the one checkpoint of a proof bundle; its signatures are not checked."""
    return read_checkpoint(note_of(place))


def read_proofs(place: Path) -> list[dict[str, Any]]:
    """Read the lines of a proof bundle."""
    return [read_json(line, "proof") for line in read_lines(place / "proofs.jsonl")]


def matching_keys(own: Key, keys: Sequence[Key]) -> list[Key]:
    """Those of the reader's keys that a log of this origin has to be signed by; witnesses too."""
    mine = [key for key in keys if key.kind == LOG and key.name == own.name]
    return mine + [key for key in keys if key.kind != LOG] if mine else []


def own_key(place: Path) -> Key:
    """Return the key that came with a proof bundle."""
    return read_key((place / "key.pub").read_text("utf-8").strip())


def check_ledger(data: Path, known: Sequence[KnownKey]) -> str:
    """The entries are in the tree of a signed checkpoint; by given keys, or the bundle's own."""
    keys = [each.key for each in known]
    place = data / LEDGER
    own = own_key(place)
    mine = matching_keys(own, keys)
    if keys and not mine:
        raise VerifierError("origin_wrong", f"none of the keys is of {own.name[:80]}")
    note = verify(place, mine or [own], [])[-1]
    if not keys:
        raise NotChecked(
            f"{note.size:,} entries agree with the bundle's own key, {fingerprint(own)}; whose it "
            "is, is not known: compare that with its maker by another way, and give --key",
            "key_unknown",
        )
    if check_signed(note, [key for key in mine if key.kind == LOG]) != own:
        raise VerifierError("key_other", "key.pub is not the key that signed")
    signed = f"{note.size:,} entries under a checkpoint signed by {own.name} ({fingerprint(own)})"
    if doubt := revoked_doubt(note, [each for each in known if each.key in mine]):
        raise NotChecked(f"{signed}. Not checked: {doubt[0]}")
    ended = next((each.retired for each in known if each.key == own), None)
    if ended is not None:
        signed += f", a key that was in use until {_instant(ended)}"
    seen = [
        f"{key.name} at {_instant(1000 * check_signature(note, key))}"
        for key in mine
        if key.kind == WITNESS
    ]
    if seen:
        return f"{signed}, and seen by {', '.join(seen)}"
    others = [name for name, _ in note.by if name != own.name]
    if others:
        signed += f"; {', '.join(others)[:200]} signed it too, says the bundle: give that key"
    return f"{signed}; when they were made rests on its maker's clock and key alone"


def salted_digest(salt: str, value: Any) -> str:
    """Salted SHA-256 of a value in canonical JSON, in hex."""
    return sha256(salt.encode() + canonical(value).encode()).hexdigest()


def _newest_redactions(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    done = (step["did"] for step in case["steps"])
    return {did["redaction"]["exhibit"]: did["redaction"] for did in done if _is(did, "redacted")}


def _is(did: dict[str, Any], kind: str) -> bool:
    return bool(did["did"] == kind)


def check_steps(data: Path, case: dict[str, Any]) -> str:
    """Every step of the case, and no other, was sealed in this order."""
    entries = [proof["entry"] for proof in read_proofs(data / LEDGER)]
    sealed = [entry["body"] for entry in entries if entry["kind"] == "step"]
    own, steps = [body for body in sealed if body.get("case") == case["id"]], case["steps"]
    if len(own) != len(steps):
        what = f"{len(own)} steps are sealed, the case has {len(steps)}"
        raise VerifierError("steps_count", what)
    restated = {
        int(number): digest
        for redaction in _newest_redactions(case).values()
        for number, digest in redaction["restated"].items()
    }
    for body, step in zip(own, steps, strict=True):
        digest = restated.get(step["n"], body.get("sha256"))
        if digest != salted_digest(case["salt"], step):
            raise VerifierError("steps_edited", f"step {step['n']} is not as it was sealed")
    if restated:
        return (
            f"{counted(len(own), 'step')}, {len(restated)} of them as a sealed redaction shows them"
        )
    return f"{counted(len(own), 'step')} as they were sealed"


def payload_digest(data: Path) -> str:
    """Return the SHA-256 over the names and digests of all files of a payload but the ledger's."""
    files = (path for path in data.rglob("*") if path.is_file())
    lines = sorted(
        f"{file_hash(path, 'sha256')}  {name}\n"
        for path in files
        if not (name := path.relative_to(data).as_posix()).startswith(f"{LEDGER}/")
    )
    return sha256("".join(lines).encode()).hexdigest()


def check_end(data: Path, case: dict[str, Any]) -> str:
    """Every sealed entry is here, and the last one seals the end of the case and every file.

    Raises NotChecked for a bundle of a version that sealed no such entry.
    """
    place = data / LEDGER
    there = {path.name for path in place.iterdir()}
    if there != LEDGER_FILES:
        raise VerifierError("ledger_files", f"{sorted(there ^ LEDGER_FILES)[0][:60]}")
    size, proofs, steps = checkpoint_of(place).size, read_proofs(place), case["steps"]
    if [proof["position"] for proof in proofs] != list(range(size)):
        raise VerifierError(
            "entries_cut", f"{len(proofs):,} entries are shown, and {size:,} were sealed"
        )
    entry = proofs[-1]["entry"]
    if entry["kind"] != "pack":
        raise NotChecked(
            "made by an earlier version, which did not seal the end of the case: steps may have "
            "been cut, and files beside the exhibits changed; ask its maker for another copy"
        )
    sealed = entry["body"]
    if (sealed["case"], sealed["steps"]) != (case["id"], len(steps)):
        raise VerifierError(
            "pack_case",
            f"{sealed['steps']:,} steps of case {sealed['case'][:40]} were packed, and "
            f"{len(steps):,} are here",
        )
    if sealed["last"] != salted_digest(case["salt"], steps[-1]):
        raise VerifierError("pack_case", "the last step is not the one that was packed")
    if sealed["payload"] != payload_digest(data):
        raise VerifierError("pack_payload", "a file beside the ledger is not as it was packed")
    return (
        f"packed {_instant(entry['at'])} with {counted(sealed['steps'], 'step')}, every file "
        "sealed; of later steps it says nothing"
    )


def _exhibits(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the exhibits of a case by id, each with the path and the digests of its files now."""
    found: dict[str, dict[str, Any]] = {}
    for step in case["steps"]:
        if _is(step["did"], "exhibited"):
            exhibit = step["did"]["exhibit"]
            found[exhibit["id"]] = {"path": exhibit["path"], "sha256": exhibit["sha256"]}
    for name, redaction in _newest_redactions(case).items():
        found[name] = {"path": redaction["path"], "sha256": redaction["sha256"]}
    return found


def check_exhibits(data: Path, case: dict[str, Any]) -> str:
    """Every exhibit's files are as they were taken in, and nothing else lies beside them."""
    exhibits = _exhibits(case)
    for name, exhibit in exhibits.items():
        if not _EXHIBIT_PATH.fullmatch(exhibit["path"]):
            raise VerifierError("exhibit_path", f"{name} lies elsewhere")
        place = data / exhibit["path"]
        there = {
            path.relative_to(place).as_posix(): file_hash(path, "sha256")
            for path in place.rglob("*")
            if path.is_file()
        }
        said = exhibit["sha256"]
        for file in sorted({*there, *said}):
            if there.get(file) != said.get(file):
                raise VerifierError("exhibit_files", f"{name}: {file} is not as it was taken in")
    known = {exhibit["path"] for exhibit in exhibits.values()}
    lying = (data / EXHIBITS).glob("*") if (data / EXHIBITS).exists() else []
    if more := sorted(p.name for p in lying if p.relative_to(data).as_posix() not in known):
        raise VerifierError("exhibit_surplus", f"{more[0][:40]} is no exhibit of the case")
    return f"{counted(len(known), 'exhibit')} as taken in"


def check_custody(data: Path, case: dict[str, Any]) -> str:
    """Each exhibit from a page is what its id names, and its custody is an unbroken chain."""
    count = 0
    for name, exhibit in _exhibits(case).items():
        place = data / exhibit["path"]
        path = place / "custody.jsonl"
        lines = _read_bounded(path).splitlines() if path.is_file() else []
        if not lines:
            raise VerifierError("custody", f"{name} has no line of custody")
        if (place / "exhibit.json").is_file():
            _check_page_custody(name, place, lines)
        count += len(lines)
    return f"{counted(count, 'line')} of custody"


def _check_page_custody(name: str, place: Path, lines: list[bytes]) -> None:
    about = _read_object(place / "exhibit.json")
    named = about.pop("id", None)
    # As its maker encoded it; an exhibit's own fields are text and whole numbers.
    if named != sha256(canonical(about).encode()).hexdigest():
        raise VerifierError("custody", f"{name}: exhibit.json is not what its id names")
    for file in about["files"]:
        path = place / file["path"]
        if "/" in file["path"] or not path.is_file() or file_hash(path, "sha256") != file["sha256"]:
            raise VerifierError("custody", f"{name}: {file['path'][:80]} is not what was taken")
    last = _FIRST
    for number, line in enumerate(lines, 1):
        read = json.loads(line)
        if (read["previous"], read["exhibit"]) != (last, named):
            raise VerifierError("custody", f"{name}: line {number} does not follow the one before")
        last = sha256(line).hexdigest()


def check_warcs(data: Path, case: dict[str, Any]) -> str:
    """Every digest in every archived page holds."""
    files = records = 0
    for exhibit in _exhibits(case).values():
        for name in exhibit["sha256"]:
            path = data / exhibit["path"] / name
            if name.endswith((".warc", ".warc.gz")):
                records += _check_warc(_read_bounded(path))
                files += 1
            elif name.endswith(".wacz"):
                with zipfile.ZipFile(io.BytesIO(_read_bounded(path))) as archive:
                    for member in archive.namelist():
                        if member.startswith("archive/"):
                            with archive.open(member) as packed:
                                records += _check_warc(packed.read(_MAX_FILE))
                files += 1
    held = f"{counted(files, 'file')} of archived pages, {counted(records, 'record')}"
    return f"{held}, every SHA-1 and SHA-256 digest"


def _check_warc(raw: bytes) -> int:
    """Check the block digests of a WARC's records; return how many records it has."""
    if raw[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(raw)) as packed:
            raw = packed.read(_MAX_FILE + 1)
    if len(raw) > _MAX_FILE:
        raise NotChecked("an archived page is larger than is read here")
    count = 0
    for fields, block in _warc_records(raw):
        count += 1
        if not _digest_holds(fields.get("warc-block-digest", ""), block):
            raise VerifierError("warc", f"record {count} is not as its digest says")
        head, blank, payload = block.partition(b"\r\n\r\n")
        whole = blank and b"chunked" not in head.lower() and "warc-truncated" not in fields
        if whole and not _digest_holds(fields.get("warc-payload-digest", ""), payload):
            raise VerifierError("warc", f"the payload of record {count} is another")
    if not count:
        raise VerifierError("warc", "it holds no record")
    return count


def _warc_records(raw: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    at = 0
    while at < len(raw):
        end = raw.find(b"\r\n\r\n", at)
        if not raw.startswith(b"WARC/1.", at) or end < 0:
            raise VerifierError("warc", "a record is malformed")
        lines = raw[at:end].decode("utf-8", "replace").split("\r\n")[1:]
        fields = {
            name.strip().lower(): said.strip()
            for name, _, said in (line.partition(":") for line in lines)
        }
        size = int(fields.get("content-length", "-1"))
        start = end + 4
        if not 0 <= size <= len(raw) - start:
            raise VerifierError("warc", "a record is cut off")
        yield fields, raw[start : start + size]
        at = start + size
        while raw.startswith(b"\r\n", at):
            at += 2


def _digest_holds(said: str, content: bytes) -> bool:
    """Whether a digest, in hex or base32, is that of a content; other algorithms are passed over.

    >>> _digest_holds("sha1:2JMJ7L5RSW3YVB4VLWAYKK6YBWK7GAWU", b""), _digest_holds("", b"x")
    (False, True)
    """
    algorithm, _, digits = said.partition(":")
    if algorithm.lower().replace("-", "") not in ("sha1", "sha256"):
        return True
    made = hashlib.new(algorithm.lower().replace("-", ""), content, usedforsecurity=False).digest()
    return digits.lower() == made.hex() or digits.upper() == base64.b32encode(made).decode()


def check_sealed_decisions(data: Path, case: dict[str, Any], known: Sequence[KnownKey]) -> str:
    """What a platform sealed of a run's decisions is under its signed checkpoint."""
    keys, said, unknown = [each.key for each in known], list[str](), list[str]()
    for name, exhibit in _exhibits(case).items():
        place = data / exhibit["path"] / "sealed"
        if not place.is_dir():
            continue
        own = own_key(place)
        mine = [key for key in matching_keys(own, keys) if key.kind == LOG]
        note = verify(place, mine or [own], [])[-1]
        said.append(f"{name}: {len(read_proofs(place)):,} of {note.size:,} entries of {own.name}")
        if not mine:
            unknown.append(own.name)
        elif doubt := revoked_doubt(note, [each for each in known if each.key.name == own.name]):
            raise NotChecked(f"{'; '.join(said)}. Not checked: {doubt[0]}")
    if unknown:
        held = f"{'; '.join(said)}. Not checked: the key of {', '.join(unknown)}: give --key"
        raise NotChecked(held, "key_unknown")
    return "; ".join(said) or "no exhibit has sealed decisions"


def check_signatures(data: Path, case: dict[str, Any]) -> str:
    """Each determination that is signed by a key is signed by the one that the case names."""
    keys: dict[tuple[str, str, str], bool] = {}
    made: dict[str, Any] = {}
    count = sessions = 0
    for step in case["steps"]:
        did = step["did"]
        if _is(did, "authorized"):
            signer = did["signer"]
            keys[signer["name"], signer["role"], signer["key"]] = True
        elif _is(did, "determined"):
            made[did["id"]] = did["determination"]
        elif _is(did, "signed") and "signature" not in did:
            sessions += 1
        elif _is(did, "signed"):
            given, name = did["signature"], did["determination"]
            content = sha256(canonical(made[name]).encode()).hexdigest()
            message = f"wavebreak determination/v1\n{case['id']}\n{name}\n{content}\n".encode()
            signature = base64.b64decode(given["signature"], validate=True)
            if (step["by"], step["role"], given["key"]) not in keys:
                raise VerifierError("signer", f"{name} is signed by a key that the case names not")
            if not signature_holds(read_key(given["key"]).public, message, signature):
                raise VerifierError("signature_wrong", f"the signature of {name} does not hold")
            count += 1
    console = f"; {sessions:,} rest on the maker's word that somebody was signed in"
    return f"{count:,} signed by a key that the case names{console if sessions else ''}"


def check_redactions(case: dict[str, Any]) -> str:
    """Say what is redacted: the originals are not here."""
    redactions = _newest_redactions(case)
    if not redactions:
        return "nothing is redacted"
    raise NotChecked(
        f"redacted: {', '.join(sorted(redactions))}. Not checked: the originals, whose digests are "
        "sealed and not shown, and whether what is left still names what was removed",
        "redacted",
    )


def check_surplus(data: Path) -> None:
    """Nothing lies beside what belongs in a bundle, of whichever version."""
    if more := sorted(path.name for path in data.iterdir() if path.name not in _PAYLOAD):
        raise VerifierError("payload_surplus", f"{more[0][:60]} does not belong in a bundle")


def check_payload_names(data: Path) -> str:
    """What belongs in a bundle of this version is there, and nothing lies beside it."""
    check_surplus(data)
    if missing := sorted(name for name in _PAYLOAD - {GROUNDS, EXHIBITS}
                         if not (data / name).exists()):  # fmt: skip
        raise VerifierError("file", f"{missing[0]} is not there")
    return "what belongs in a bundle, and nothing beside it"


def _read_bounded(path: Path) -> bytes:
    if path.stat().st_size > _MAX_FILE:
        raise NotChecked(f"{path.name} is larger than is read here")
    return path.read_bytes()


def _read_object(path: Path) -> dict[str, Any]:
    value = json.loads(_read_bounded(path))
    if type(value) is not dict:
        raise VerifierError("file", f"{path.name} cannot be read")
    return value


def check_bundle(
    source: Path, keys: Sequence[Key], changes: Sequence[KeyChange] = ()
) -> list[Finding]:
    """Check a bundle by the verifier keys of its maker and of witnesses; without, not whose it is.

    Args:
        source: The zip file, or the folder that was unpacked from it.
        keys: Verifier keys.
        changes: The maker's key history: keys to which it leads from `keys` are taken too.

    """
    known = known_keys(keys, changes)
    with tempfile.TemporaryDirectory(prefix="wavebreak-verify-") as place:
        opened: list[Path] = []

        def opening() -> str:
            root, said = open_bundle(source, Path(place))
            opened.append(root)
            return said

        first = run_check("zip file", opening)
        return [first, *_check_folder(opened[0], known)] if opened else [first]


def _check_folder(root: Path, known: Sequence[KnownKey]) -> list[Finding]:
    data = root / "data"
    findings, read = [run_check("bag", partial(check_bag, root))], list[dict[str, Any]]()

    def reading() -> str:
        read.append(read_case(data))
        return f"case {read[0]['id']}, {counted(len(read[0]['steps']), 'step')}"

    findings.append(run_check("case", reading))
    if not read:
        return findings
    case = read[0]
    checks: dict[str, Callable[[], str]] = {
        "payload": partial(check_payload_names, data),
        "sealed entries": partial(check_ledger, data, known),
        "steps": partial(check_steps, data, case),
        "end of the case": partial(check_end, data, case),
        "bag's own files": partial(check_tags, root, case),
        "exhibits": partial(check_exhibits, data, case),
        "custody": partial(check_custody, data, case),
        "archived pages": partial(check_warcs, data, case),
        "sealed decisions": partial(check_sealed_decisions, data, case, known),
        "signatures": partial(check_signatures, data, case),
        "redaction": partial(check_redactions, case),
    }
    return findings + [run_check(what, check) for what, check in checks.items()]


_MARKS = {True: "holds", False: "FAILS", None: "not checked"}
_RESULTS = {
    HOLDS: "holds",
    FAILS: "does not hold",
    UNCHECKED: "cannot all be checked here",
    KEY_UNKNOWN: "holds, but rests on a key that nobody vouched for: give --key",
    REDACTED: "holds, with redactions",
}


def read_keys(given: Sequence[str], history: Path | None) -> tuple[list[Key], list[KeyChange]]:
    """Read verifier keys, each as text or in a file, and the key history; raises VerifierError."""
    keys = [read_key(Path(key).read_text("utf-8").strip() if Path(key).is_file() else key)
            for key in given]  # fmt: skip
    return keys, read_changes(history.read_bytes()) if history else []


def _printable(line: str) -> str:
    """Return a line in plain ASCII: nothing from a bundle may begin a line or move the cursor."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in line)


def main() -> int:
    """Check what the command line names, print each finding, and return the exit code."""
    ask = argparse.ArgumentParser(epilog="See the beginning of this file.")
    ask.add_argument("bundle", type=Path, help="the zip file, or the folder unpacked from it")
    ask.add_argument("--key", action="append", default=[], help="verifier key, or a file with it")
    ask.add_argument("--key-history", type=Path, help="the maker's key history")
    given = ask.parse_args()
    try:
        keys, changes = read_keys(given.key, given.key_history)
    except (VerifierError, OSError, ValueError) as error:
        sys.stdout.write(f"not checked  keys: {': '.join(map(str, error.args))[:200]}\n")
        return UNCHECKED
    findings = check_bundle(given.bundle, keys, changes)
    lines = [f"{_MARKS[each.holds]:<12} {each.what}: {each.said}" for each in findings]
    lines += [f"not here     {each}" for each in _FORWARD]
    code = exit_code(findings)
    for line in (*lines, f"{_RESULTS[code]} (exit code {code})"):
        sys.stdout.write(f"{_printable(line)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
