"""Verifier of a ledger, or of a proof bundle, which needs nothing of the package that made it.

    python -I verifier.py DIRECTORY --key KEY... [--remembered CHECKPOINT] [--whole]
Needs Python 3.11 alone (`cryptography`, where it is installed, makes it faster); exits with 0 only
where every check passes, else prints which failed. Entries are lines of canonical JSON (RFC 8785)
in a Merkle tree (RFC 9162: SHA-256 of 0x00 and an entry, or of 0x01 and two nodes), whose size and
root are in checkpoints, C2SP signed notes.
Both have checkpoints.jsonl: signed notes as JSON strings, oldest first. A ledger has entries.jsonl.
A proof bundle has proofs.jsonl, one line an entry: {"entry","leaf","openings","path","position"},
hashes in base64, openings {field: [salt in hex, value]}; and may have consistency.json, the hashes
that lead from the checkpoint that you kept to the last.
"""

import sys

if __name__ == "__main__" and not sys.flags.isolated:
    # A module beside this file would come before Python's own of that name: somebody who changed
    # what is checked could have put it there. `python -I` leaves out the folder by itself.
    sys.path[:] = [p for p in sys.path[1:] if p.startswith((sys.prefix, sys.base_prefix))]

import argparse
import base64
import json
import re
from collections import namedtuple
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import reduce
from hashlib import sha256, sha512
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

MAX_ENTRY, MAX_NOTE, MAX_LINE, MAX_INT = 1 << 16, 1 << 13, 1 << 20, 2**53 - 1
LOG, WITNESS, LEAF, NODE, EMPTY = 1, 4, b"\0", b"\1", sha256().digest()
ENTRY = {"at": int, "body": dict, "commits": dict, "kind": str, "v": int}
PROOF = {"entry": dict, "leaf": str, "openings": dict, "path": list, "position": int}
Key = namedtuple("Key", "name id kind public")
Checkpoint = namedtuple("Checkpoint", "origin size root text by")
_quote = json.encoder.encode_basestring


class VerifierError(Exception):
    """A check failed: the arguments are the error's name and a sentence."""


def _require(holds: object, code: str, what: str) -> None:
    if not holds:
        raise VerifierError(code, what)


def canonical(value: Any) -> str:
    """Canonical JSON (RFC 8785) of a value with ASCII names, and numbers below 2**53."""
    kind = type(value)
    if kind is str:
        return _quote(value)
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if kind is int and -MAX_INT <= value <= MAX_INT:
        return str(value)
    if kind is float and abs(value) <= MAX_INT:
        digits = repr(value + 0.0)
        digits = f"{Decimal(digits):f}" if "e" in digits and abs(value) >= 1e-6 else digits
        return digits.removesuffix(".0").replace("e-0", "e-")
    if kind is dict and "".join(value).isascii():
        return "{" + ",".join([f"{_quote(n)}:{canonical(value[n])}" for n in sorted(value)]) + "}"
    _require(kind is list or kind is tuple, "value_not_json", "a value has no canonical form")
    return "[" + ",".join([canonical(each) for each in value]) + "]"


def read_json(line: bytes, code: str) -> Any:
    """Read a value in canonical JSON; error names begin with `code`."""
    try:
        value = json.loads(line.decode())
        same = canonical(value).encode() == line
    except (ValueError, RecursionError):
        raise VerifierError(f"{code}_not_json", "a line is not JSON, or not Unicode") from None
    _require(
        same, f"{code}_not_canonical", "a line of JSON is not in the one form that it may have"
    )
    return value


def _require_fields(value: Any, kinds: dict[str, type], code: str) -> None:
    known = type(value) is dict and {name: type(v) for name, v in value.items()} == kinds
    _require(known, f"{code}_fields", "a field is missing, or is one too many, or not of its type")


def check_entry(line: bytes) -> Any:
    """Read an entry's line (no newline): canonical, with the fields and types that an entry has."""
    _require(len(line) <= MAX_ENTRY, "entry_too_large", f"an entry has more than {MAX_ENTRY} bytes")
    entry = read_json(line, "entry")
    _require_fields(entry, ENTRY, "entry")
    _require(entry["v"] == 1, "entry_version", "an entry is not of version 1")
    for sealed in entry["commits"].values():
        _require(re.fullmatch("[0-9a-f]{64}", str(sealed)), "entry_commitment", "not 64 hex digits")
    return entry


def commitment(kind: str, field: str, salt: bytes, value: Any) -> str:
    """Return the commitment to a value that an entry hides: a hex SHA-256."""
    _require(len(salt) == 32, "salt_length", "a salt does not have 32 bytes")
    prefix = f"wavebreak commitment v1\0{kind}\0{field}\0".encode() + salt
    return sha256(prefix + canonical(value).encode()).hexdigest()


def hash_node(prefix: bytes, content: bytes) -> bytes:
    """Hash an entry (prefix LEAF), or the hashes of two subtrees (prefix NODE)."""
    return sha256(prefix + content).digest()


def add_leaf(peaks: list[bytes], size: int, leaf: bytes) -> list[bytes]:
    """Add leaf number `size` to the full subtrees `peaks`; return the new nodes, in post-order."""
    made = [leaf]
    while size & 1:
        made.append(hash_node(NODE, peaks.pop() + made[-1]))
        size >>= 1
    peaks.append(made[-1])
    return made


def root_hash(peaks: Sequence[bytes]) -> bytes:
    """Return the root of the tree of these full subtrees, largest first."""
    return (
        reduce(lambda right, left: hash_node(NODE, left + right), peaks[::-1]) if peaks else EMPTY
    )


def _hash_path(node: bytes, at: int, path: Sequence[bytes], inner: int, both: bool) -> bytes:
    for level, sibling in enumerate(path):
        if level >= inner or at >> level & 1:
            node = hash_node(NODE, sibling + node)
        elif both:
            node = hash_node(NODE, node + sibling)
    return node


def _require_length(path: Sequence[bytes], length: int, code: str) -> None:
    wrong = f"{code}_too_{'long' if len(path) > length else 'short'}"
    _require(len(path) == length, wrong, f"{len(path)} hashes, where {length} prove it")


def check_inclusion(leaf: bytes, at: int, path: Sequence[bytes], size: int, root: bytes) -> None:
    """Check that a leaf is at position `at` of the tree of `size` entries (RFC 9162, 2.1.3)."""
    _require(0 <= at < size, "proof_position", f"entry {at} cannot be among {size}")
    inner = (at ^ (size - 1)).bit_length()
    _require_length(path, inner + (at >> inner).bit_count(), "proof")
    _require(
        _hash_path(leaf, at, path, inner, True) == root, "proof_wrong", "it leads to another root"
    )


def check_consistency(old: Checkpoint, new: Checkpoint, path: Sequence[bytes]) -> None:
    """Check that the tree of `new` continues that of `old` (RFC 9162, 2.1.4)."""
    _require(old.size <= new.size, "rolled_back", "a checkpoint is smaller than one before it")
    _require(
        old.size < new.size or old.root == new.root, "history_forked", "two roots for one size"
    )
    if old.size in (0, new.size):
        return _require_length(path, 0, "consistency")
    low = (old.size & -old.size).bit_length() - 1
    at, whole = (old.size - 1) >> low, old.size == 1 << low
    inner = (at ^ (new.size - 1) >> low).bit_length()
    _require_length(path, inner + (at >> inner).bit_count() + (not whole), "consistency")
    seed, path = (old.root, path) if whole else (path[0], path[1:])
    _require(
        _hash_path(seed, at, path, inner, False) == old.root, "consistency_old_root", "another log"
    )
    return _require(
        _hash_path(seed, at, path, inner, True) == new.root, "consistency_new_root", "another"
    )


def _decode_base64(text: Any, code: str) -> bytes:
    try:
        made = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        made = b""
    _require(base64.b64encode(made).decode() == text, code, "base64 is not in its one form")
    return made


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Four bytes that say which key signed (C2SP signed-note)."""
    return sha256(f"{name}\n".encode() + bytes([kind]) + public).digest()[:4]


def read_key(text: str) -> Key:
    """Read a verifier key: name+key id in hex+base64 of its kind and public key."""
    found = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)", text)
    name, number, rest = found.groups() if found else ("", "", "")
    made = _decode_base64(rest, "key_base64")
    _require(name, "key_malformed", "a verifier key is not name+id+base64")
    _require(len(made) == 33 and made[0] in (LOG, WITNESS), "key_kind", "a key is of no known kind")
    _require(
        key_id(name, made[0], made[1:]).hex() == number, "key_id_wrong", "an id is not its key's"
    )
    return Key(name, bytes.fromhex(number), made[0], made[1:])


def read_checkpoint(note: bytes) -> Checkpoint:
    """Read a signed note that is a checkpoint; its signatures are not yet checked."""
    _require(len(note) <= MAX_NOTE, "note_too_large", f"a note has more than {MAX_NOTE} bytes")
    content = note.decode(errors="replace")
    _require(
        content.encode() == note and content.replace("\n", "").isprintable(),
        "note_characters",
        "odd",
    )
    _require(content.endswith("\n"), "note_cut_off", "a note does not end its last line")
    text, blank, signed = content.rpartition("\n\n")
    _require(blank, "note_no_blank_line", "there is no blank line before the signatures")
    lines = [re.fullmatch(r"— ([^\s+]+) (\S+)", line) for line in signed[:-1].split("\n")]
    _require(all(lines), "note_signature_line", "a line of signature is not well formed")
    by = tuple((m[1], _decode_base64(m[2], "note_signature_base64")) for m in lines if m)
    _require(len({(n, s[:4]) for n, s in by}) == len(by), "note_signed_twice", "a key signs twice")
    origin, size, root, *more = [*text.split("\n"), "", ""]
    _require(len(more) >= 2, "checkpoint_lines", "a checkpoint has fewer than three lines")
    _require(len(more) == 2, "checkpoint_extension", "a checkpoint has more than three lines")
    _require(re.fullmatch("0|[1-9][0-9]{0,15}", size), "checkpoint_size", "not a plain number")
    hashed = _decode_base64(root, "checkpoint_root_base64")
    _require(len(hashed) == 32, "checkpoint_root_length", "a checkpoint's root is not 32 bytes")
    return Checkpoint(origin, int(size), hashed, f"{text}\n", by)


_P, _ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D, _ROOT = -121665 * pow(121666, -1, _P) % _P, pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add_points(a: _Point, b: _Point) -> _Point:
    """Add two points in extended coordinates (RFC 8032, 5.1.4)."""
    low, high = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    c, d = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = high - low, d - c, d + c, high + low
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply_point(number: int, point: _Point) -> _Point:
    made = (0, 1, 1, 0)
    while number:
        made = _add_points(made, point) if number & 1 else made
        point, number = _add_points(point, point), number >> 1
    return made


def _read_point(raw: bytes) -> _Point | None:
    """Read a point (RFC 8032, 5.1.3); None where the bytes are none, or not its one form."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    x = x if x * x % _P == square else x * _ROOT % _P
    if y >= _P or x * x % _P != square or (not x and sign):
        return None
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


def _encode_point(point: _Point) -> bytes:
    over = pow(point[2], -1, _P)
    x, y = point[0] * over % _P, point[1] * over % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE = _read_point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def ed25519_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature (RFC 8032, 5.1.7) is that of a public key over a message."""
    key = _read_point(public) if len(public) == 32 else None
    number = int.from_bytes(signature[32:], "little")
    if key is None or _BASE is None or len(signature) != 64 or number >= _ORDER:
        return False
    hashed = sha512(signature[:32] + public + message).digest()
    minus = (_P - key[0], key[1], key[2], _P - key[3])
    scaled = _multiply_point(int.from_bytes(hashed, "little") % _ORDER, minus)
    return _encode_point(_add_points(_multiply_point(number, _BASE), scaled)) == signature[:32]


def _installed_library() -> Any:
    """Return the key class of `cryptography`, or None where it is not installed."""
    try:
        return import_module("cryptography.hazmat.primitives.asymmetric.ed25519").Ed25519PublicKey
    except ImportError:
        return None


LIBRARY = _installed_library()


def signature_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature holds, by the library where it is installed, else as above."""
    if LIBRARY is None:
        return ed25519_holds(public, message, signature)
    try:
        LIBRARY.from_public_bytes(public).verify(signature, message)
    except Exception:  # the library's own error, which cannot be named where it is absent
        return False
    return True


def check_signature(note: Checkpoint, key: Key) -> int:
    """Check that `key` signed a checkpoint; the time of a witness's signature (s), else 0."""
    _require(key.kind == WITNESS or note.origin == key.name, "origin_wrong", f"not {key.name}")
    found = [made[4:] for name, made in note.by if (name, made[:4]) == (key.name, key.id)]
    _require(found, "signature_missing", f"{key.name} did not sign with this key")
    message, signature, at = note.text.encode(), found[0], 0
    if key.kind == WITNESS:
        at, signature = int.from_bytes(signature[:8]), signature[8:]
        message = f"cosignature/v1\ntime {at}\n".encode() + message
    holds = signature_holds(key.public, message, signature)
    _require(holds, "signature_wrong", f"the signature of {key.name} does not hold")
    return at


def fingerprint(key: Key) -> str:
    """Return what people compare to know that they have the same key: 128 bits of its SHA-256.

    >>> fingerprint(Key("example.org/log", b"1234", 1, bytes(32)))
    '66687aad f862bd77 6c8fc18b 8e9f8e20'
    """
    digits = sha256(key.public).hexdigest()
    return " ".join(digits[at : at + 8] for at in range(0, 32, 8))


def check_signed(note: Checkpoint, keys: Sequence[Key]) -> Key:
    """Check that one of a log's keys, of today or of before, signed a checkpoint; return it."""
    by = {(name, made[:4]) for name, made in note.by}
    key = next((key for key in keys if (key.name, key.id) in by), keys[0])
    check_signature(note, key)
    return key


def check_log(lines: Iterable[bytes], notes: list[Checkpoint], kept: list[Checkpoint]) -> None:
    """Check all entries against all checkpoints, oldest first, and those kept elsewhere."""
    _require(sorted(notes, key=lambda n: n.size) == notes, "rolled_back", "a checkpoint shrinks")
    peaks: list[bytes] = []
    size, lines = 0, iter(lines)
    for note in sorted([*kept, *notes], key=lambda note: note.size):
        for line in islice(lines, note.size - size):
            check_entry(line)
            add_leaf(peaks, size, hash_node(LEAF, line))
            size += 1
        short, other = ("log_behind", "log_forked") if note in kept else ("log_cut", "root_wrong")
        _require(size == note.size, short, f"{size} entries are left, not {note.size}")
        _require(
            root_hash(peaks) == note.root, other, f"{size} entries are not all as they were sealed"
        )
    _require(next(lines, None) is None, "entries_unsealed", f"all after {size}")


def check_proof_bundle(lines: Iterable[bytes], note: Checkpoint) -> int:
    """Check entries with their proofs and openings against a checkpoint; return their number."""
    last, shown_entries = -1, 0
    for line in lines:
        proof = read_json(line, "proof")
        _require_fields(proof, PROOF, "proof")
        shown, at = canonical(proof["entry"]).encode(), proof["position"]
        entry, leaf = check_entry(shown), hash_node(LEAF, shown)
        _require(at > last, "proof_order", f"entry {at} occurs twice, or not in order")
        _require(
            _decode_base64(proof["leaf"], "proof_base64") == leaf, "entry_edited", f"entry {at}"
        )
        path = [_decode_base64(sibling, "proof_base64") for sibling in proof["path"]]
        check_inclusion(leaf, at, path, note.size, note.root)
        for field, (salt, value) in proof["openings"].items():
            _require(field in entry["commits"], "opening_field", "nothing was sealed by that name")
            sealed = commitment(entry["kind"], field, bytes.fromhex(salt), value)
            _require(
                sealed == entry["commits"][field], "opening_wrong", f"{field} is not as sealed"
            )
        last, shown_entries = at, shown_entries + 1
    return shown_entries


def read_lines(path: Path) -> Iterator[bytes]:
    """Read a file's lines without their newlines."""
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(MAX_LINE), b""):
            _require(
                line.endswith(b"\n"), "line_cut_off", f"the last line of {path.name} is cut off"
            )
            yield line[:-1]


def verify(
    place: Path, keys: list[Key], kept: list[Checkpoint], whole: bool = False
) -> list[Checkpoint]:
    """Check a ledger or proof bundle (`whole`: with every entry) by keys; return checkpoints."""
    lines = [read_json(line, "checkpoint") for line in read_lines(place / "checkpoints.jsonl")]
    notes = [read_checkpoint(str(note).encode()) for note in lines]
    _require(notes, "checkpoint_missing", "there is no checkpoint")
    own = [key for key in keys if key.kind == LOG]
    _require(own, "key_missing", "there is no key of the log itself")
    for note in notes:
        check_signed(note, own)
    for key in set(keys) - set(own):
        check_signature(notes[-1], key)
    if (place / "entries.jsonl").exists():
        check_log(read_lines(place / "entries.jsonl"), notes, kept)
        return notes
    for old in kept:
        hashes = read_json((place / "consistency.json").read_bytes(), "consistency")
        check_consistency(old, notes[-1], [_decode_base64(h, "consistency_base64") for h in hashes])
    shown = check_proof_bundle(read_lines(place / "proofs.jsonl"), notes[-1])
    _require(
        not whole or shown == notes[-1].size, "entries_cut", f"{shown} of {notes[-1].size} entries"
    )
    return notes


def main() -> int:
    """Check what the command line names, and print the result."""
    ask = argparse.ArgumentParser(epilog="See the beginning of this file.")
    ask.add_argument("directory", type=Path)
    ask.add_argument("--key", action="append", required=True, help="verifier key of log or witness")
    ask.add_argument("--remembered", type=Path, help="a checkpoint of this log that you kept")
    ask.add_argument("--whole", action="store_true", help="every sealed entry must be shown")
    given = ask.parse_args()
    try:
        kept = [read_checkpoint(given.remembered.read_bytes())] if given.remembered else []
        keys = [read_key(key) for key in given.key]
        last = verify(given.directory, keys, kept, given.whole)[-1]
        log = (given.directory / "entries.jsonl").exists()
        shown = last.size if log else sum(1 for _ in read_lines(given.directory / "proofs.jsonl"))
    except (VerifierError, OSError, ValueError, TypeError) as error:
        sys.stdout.write(f"does not hold: {': '.join(map(str, error.args))}\n")
        return 1
    of = "" if shown == last.size else f" of {last.size}"
    sys.stdout.write(f"holds: {shown}{of} entries of {last.origin}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
