"""Every way to tamper with a ledger or a parcel that is known here is caught, by its own name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.ledger_fixtures import SIGNER
from support.rfc3161_authority import Authority
from support.tampering import (
    CLOCK,
    OTHER,
    STRANGER,
    WATCHER,
    Change,
    Scene,
    at,
    b64,
    borrowed,
    build,
    entries,
    flipped,
    held,
    keyed,
    note,
    noted,
    notes,
    proof,
    proofs,
    raw,
    resealed,
    rewritten,
    rooted,
    second,
    signature,
    signed,
    under,
)
from support.witness import add_cosignature
from wavebreak.errors import EvidenceError
from wavebreak.ledger.audit import EXPLAINABLE, audit_directory
from wavebreak.ledger.checkpoints import encode_verifier_key, sign_checkpoint
from wavebreak.ledger.verifier import VerifierError, canonical, read_checkpoint, verify

ENTRY = b'{"at":1,"body":{},"commits":{},"kind":"step","v":1}'
ROOT = "=\n\n"
SIGNATURE = "— example.org/log "
KEY = encode_verifier_key(SIGNER.key).split("+", 2)[2]


def entry(position: int, change: Callable[[bytes], bytes]) -> Change:
    """Change one entry's line."""
    return entries(lambda e: e.__setitem__(position, change(e[position])))


def commits(change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Change an entry's commitment to an account, which stays canonical."""

    def how(line: bytes) -> bytes:
        told = json.loads(line)
        told["commits"]["account"] = change(told["commits"]["account"])
        return canonical(told).encode()

    return how


def collided(told: str) -> str:
    """Another key's signature, under the id of the log's own."""
    read = read_checkpoint(told.encode())
    forged = sign_checkpoint(STRANGER, read.size, read.root).decode()
    own = b64(SIGNER.key.id + read_checkpoint(forged.encode()).by[0][1][4:])
    return f"{read.text}\n— {SIGNER.name} {own}\n"


LEDGER: list[tuple[str, str, Change]] = [
    ("an entry is dropped", "entry_dropped", entries(lambda e: e[:5] + e[6:])),
    ("the first entry is dropped", "entry_dropped", entries(lambda e: e[1:])),
    ("the last entry is dropped", "log_cut", entries(lambda e: e[:-1])),
    ("all entries are dropped", "log_behind", entries(lambda e: [])),
    ("an entry stands twice", "entry_repeated", entries(lambda e: e[:6] + e[5:])),
    ("an entry is put between", "entry_inserted", entries(lambda e: [*e[:5], ENTRY, *e[5:]])),
    ("an entry is put at the end", "entry_inserted", entries(lambda e: [*e, ENTRY])),
    ("two neighbours change places", "entries_reordered",
     entries(lambda e: [*e[:5], e[6], e[5], *e[7:]])),
    ("two entries far apart change places", "entries_reordered",
     entries(lambda e: [e[0], e[8], *e[2:8], e[1], *e[9:]])),
    ("an outcome is edited", "entry_edited", entries(at(5, b'"ban"', b'"allow"'))),
    ("a time is edited", "entry_edited", entries(at(5, b'"at":2', b'"at":1'))),
    ("a commitment is edited", "entry_edited", entry(5, commits(lambda c: c[::-1]))),
    ("a letter is one of another script", "entry_edited",
     entries(at(5, b"instant_ban", "instant_b\u0430n".encode()))),
    ("a letter is composed otherwise", "entry_edited",
     entries(at(5, b"messaging", "messaginǵ".encode()))),
    ("an entry has a space more", "entry_not_canonical", entries(at(5, b'"at":', b'"at": '))),
    ("fields stand in another order", "entry_not_canonical",
     entry(9, lambda e: json.dumps(dict(reversed(json.loads(e).items()))).encode())),
    ("a field stands twice", "entry_not_canonical", entries(at(9, b'{"at":3', b'{"at":1,"at":3'))),
    ("a number is written otherwise", "entry_not_canonical",
     entries(at(9, b'"at":3', b'"at":3.0'))),
    ("a letter is escaped", "entry_not_canonical", entries(at(9, b"applied", b"\\u0061pplied"))),
    ("a line ends as on another system", "entry_not_canonical",
     entry(9, lambda e: e + b"\r")),
    ("a number is no number", "value_not_json", entries(at(5, b'"score":0.5', b'"score":NaN'))),
    ("an entry is cut in the middle", "entry_not_json",
     entry(5, lambda e: e[:40])),
    ("an entry is not UTF-8", "entry_not_json", entries(at(5, b'"ban"', b'"b\xff"'))),
    ("half a character is escaped", "entry_not_json", entries(at(5, b'"ban"', b'"\\ud800"'))),
    ("a byte order mark stands first", "entry_not_json",
     entry(0, lambda e: b"\xef\xbb\xbf" + e)),
    ("an empty line is put between", "entry_not_json", entries(lambda e: [*e[:5], b"", *e[5:]])),
    ("an entry nests without end", "entry_not_json",
     entry(5, lambda e: b"[" * 60_000)),
    ("an entry is longer than one may be", "entry_too_large",
     entries(at(5, b'"ban"', b'"' + b"x" * 70_000 + b'"'))),
    ("an entry has a field too many", "entry_fields", entries(at(9, b',"v":1', b',"v":1,"w":1'))),
    ("an entry has a field too few", "entry_fields", entries(at(9, b',"v":1', b""))),
    ("a time is text", "entry_fields", entries(at(9, b'"at":3', b'"at":"3"'))),
    ("a version is true", "entry_fields", entries(at(9, b'"v":1', b'"v":true'))),
    ("an entry is of another version", "entry_version", entries(at(9, b'"v":1', b'"v":2'))),
    ("a commitment is in capitals", "entry_commitment",
     entry(5, commits(str.upper))),
    ("the last line of entries is cut off", "line_cut_off", raw("entries.jsonl", lambda b: b[:-1])),
    ("bytes follow the last entry", "line_cut_off", raw("entries.jsonl", lambda b: b + b"x")),
    ("a stored node is turned by a bit", "nodes_wrong", raw("nodes", flipped)),
    ("stored nodes are cut off", "nodes_wrong", raw("nodes", lambda b: b[:-1])),
    ("bytes follow the stored nodes", "index_too_long", raw("nodes", lambda b: b + b[:32])),
    ("the index is turned by a bit", "ends_wrong", raw("ends", lambda b: flipped(b, 7))),
    ("the last checkpoint is gone", "signature_missing", notes(lambda n: n[:-1])),
    ("every checkpoint is gone", "checkpoint_missing", notes(lambda n: [])),
    ("checkpoints stand in another order", "rolled_back",
     notes(lambda n: [n[1], n[0], *n[2:]])),
    ("the last checkpoint is cut off", "line_cut_off", raw("checkpoints.jsonl", lambda b: b[:-9])),
    ("a checkpoint is written otherwise", "checkpoint_not_canonical",
     notes(at(-1, b"example", b"\\u0065xample"))),
    ("a checkpoint is no text", "checkpoint_not_json", notes(lambda n: [*n[:-1], b'"a'])),
    ("the origin is another", "origin_wrong", note("example.org/log\n", "example.org/lag\n")),
    ("the size has a zero before it", "checkpoint_size", note("\n12\n", "\n012\n")),
    ("the size has a sign", "checkpoint_size", note("\n12\n", "\n+12\n")),
    ("the size is of another script", "checkpoint_size", note("\n12\n", "\n١٢\n")),
    ("the size is another", "signature_wrong", note("\n12\n", "\n11\n")),
    ("the root ends otherwise, though alike", "checkpoint_root_base64",
     rooted(lambda r: r[:-2] + chr(ord(r[-2]) + 1) + "=")),
    ("the root is cut off", "checkpoint_root_length", rooted(lambda r: r[:40])),
    ("the root is turned by a bit", "signature_wrong", rooted(lambda r: "A" + r[1:])),
    ("the checkpoint has a line more", "checkpoint_extension", note(ROOT, "=\nmore\n\n")),
    ("the checkpoint has a line less", "checkpoint_lines", note("\n12\n", "\n")),
    ("the empty line is gone", "note_no_blank_line", note("\n\n", "\n")),
    ("lines end as on another system", "note_characters", note("\n12\n", "\r\n12\r\n")),
    ("a space that is none stands in it", "note_characters", note("example.org/log", "log\u00a0")),
    ("a note ends without its end", "note_cut_off", noted(lambda n: n[:-1])),
    ("bytes follow the note", "note_cut_off", noted(lambda n: n + "more")),
    ("a note is longer than one may be", "note_too_large", note("log\n", "log" * 5000 + "\n")),
    ("a line of signature is no such line", "note_signature_line", note("— e", "- e")),
    ("a signature is not base64", "note_signature_base64", note(SIGNATURE, SIGNATURE + "!")),
    ("a key signs twice", "note_signed_twice", noted(lambda n: n + n.splitlines()[-1] + "\n")),
    ("the log's signature is gone", "signature_missing", signature(0, lambda s: None)),
    ("the witness's signature is gone", "signature_missing", signature(1, lambda s: None)),
    ("a signature is turned by a bit", "signature_wrong", signature(0, lambda s: flipped(s, 30))),
    ("a signature is cut off", "signature_wrong", signature(0, lambda s: s[:-1])),
    ("the witness's time is another", "signature_wrong", signature(1, lambda s: flipped(s, 11))),
    ("another key signed, under the key's id", "signature_wrong", noted(collided)),
    ("all is signed anew with another key", "signature_missing", rewritten(STRANGER, 0, 12)),
    ("all is signed anew under another name", "origin_wrong", rewritten(OTHER, 0, 12)),
    ("the log signed another root", "root_wrong", signed(12, bytes(32))),
    ("the log signed more than there is", "log_cut", signed(13)),
    ("the log signed less than before", "rolled_back", signed(11)),
    ("the log wrote its history anew", "log_forked", rewritten(SIGNER, 2, 12)),
    ("the log went back behind what was seen", "log_behind", rewritten(SIGNER, 3, 3)),
    ("the log sealed a kind that is not known", "entry_kind",
     resealed(ENTRY.replace(b"step", b"gossip"))),
    ("the log sealed a body that is none", "entry_body", resealed(ENTRY)),
    ("the log hid what is not to be hidden", "entry_hidden", resealed(
        b'{"at":1,"body":{"label":"benign","source":"appeal"},"commits":{"url":"' + b"0" * 64
        + b'"},"kind":"label","v":1}')),
    ("a key's id is another", "key_id_wrong", keyed("example.org/log+00000000+" + KEY)),
    ("a key has no id", "key_malformed", keyed("example.org/log+" + KEY)),
    ("a key is no base64", "key_base64", keyed("example.org/log+00000000+" + KEY + "!")),
    ("a key is of no known kind", "key_kind", keyed("example.org/log+00000000+Ag==")),
    ("only a witness's key is held", "key_missing", keyed(WATCHER.key)),
    ("a key of another log is held", "origin_wrong", keyed(OTHER.key)),
]  # fmt: skip

PARCEL: list[tuple[str, str, Change]] = [
    ("an entry shown is edited", "entry_edited", proofs(at(0, b'"ban"', b'"allow"'))),
    ("a leaf shown is another", "entry_edited", proof(0, lambda p: p.update(leaf=b64(bytes(32))))),
    ("a leaf is no base64", "proof_base64", proof(0, lambda p: p.update(leaf="?"))),
    ("a hash of a path is turned by a bit", "proof_wrong",
     proof(0, lambda p: p["path"].__setitem__(1, b64(bytes(32))))),
    ("a path's hashes change places", "proof_wrong", proof(0, lambda p: p["path"].reverse())),
    ("two entries' paths are swapped", "proof_wrong", borrowed("path")),
    ("a path is cut off", "proof_too_short", proof(0, lambda p: p["path"].pop())),
    ("a path goes on", "proof_too_long", proof(0, lambda p: p["path"].append(b64(bytes(32))))),
    ("a hash of a path is no text", "proof_base64", proof(0, lambda p: p["path"].append(7))),
    ("a position is another", "proof_wrong", proof(0, lambda p: p.update(position=0))),
    ("a position is past the end", "proof_position", proof(3, lambda p: p.update(position=12))),
    ("a position is below nought", "proof_order", proof(0, lambda p: p.update(position=-2))),
    ("a position is true", "proof_fields", proof(0, lambda p: p.update(position=True))),
    ("proofs stand in another order", "proof_order", proofs(lambda lines: lines[::-1])),
    ("a proof stands twice", "proof_order", proofs(lambda lines: [lines[0], *lines])),
    ("a proof has a field too many", "proof_fields", proof(0, lambda p: p.update(more=1))),
    ("a proof is written otherwise", "proof_not_canonical", proofs(at(0, b'"path":', b'"path": '))),
    ("a proof is no JSON", "proof_not_json", proofs(lambda lines: [b"{", *lines])),
    ("a salt is another", "opening_wrong", proof(
        0, lambda p: p["openings"]["account"].__setitem__(0, "00" * 32))),
    ("a value shown is another", "opening_wrong",
     proof(0, lambda p: p["openings"]["account"].__setitem__(1, "account-2"))),
    ("one field's opening is shown for another", "opening_wrong",
     proof(0, lambda p: p["openings"].update(trigger=p["openings"]["account"]))),
    ("one entry's opening is shown for another", "opening_wrong", borrowed("openings")),
    ("a field is opened that nothing was sealed for", "opening_field",
     proof(0, lambda p: p["openings"].update(phone=p["openings"]["account"]))),
    ("a salt is shorter", "salt_length",
     proof(0, lambda p: p["openings"]["account"].__setitem__(0, "00" * 31))),
    ("a salt is no hex", "not_well_formed",
     proof(0, lambda p: p["openings"]["account"].__setitem__(0, "zz" * 32))),
    ("an opening is no pair", "not_well_formed", proof(0, lambda p: p["openings"].update(id=[1]))),
    ("the checkpoint is older than the proofs", "proof_wrong", under(second)),
    ("the checkpoint is of another log", "signature_missing", under(
        lambda s: add_cosignature(sign_checkpoint(STRANGER, 12, bytes(32)), WATCHER, 1))),
    ("the proof that the log went on is gone", "file_missing",
     lambda s: (s.parcel / "consistency.json").unlink()),
    ("the proof that the log went on is cut off", "consistency_too_short",
     raw("consistency.json", lambda b: b'["' + b.split(b'"')[1] + b'"]', "parcel")),
    ("the proof that the log went on goes on", "consistency_too_long",
     raw("consistency.json", lambda b: b[:-1] + b',"' + b.split(b'"')[1] + b'"]', "parcel")),
    ("the proof that the log went on is no base64", "consistency_base64",
     raw("consistency.json", lambda b: b.replace(b'="', b'"', 1), "parcel")),
    ("the proof that the log went on is another's", "consistency_new_root",
     raw("consistency.json", lambda b: b.replace(b.split(b'"')[3], b64(bytes(32)).encode()),
         "parcel")),
    ("what was remembered is another history", "consistency_old_root", held(root=bytes(32))),
    ("what was remembered has more entries", "rolled_back", held(size=13)),
    ("what was remembered is another root of this size", "history_forked", held(size=12)),
]  # fmt: skip
STAMPS: list[tuple[str, str, Change]] = [
    ("a time stamp is of another digest", "stamp_other_digest",
     raw("stamps/12.txt", lambda b: b[: b.rfind("—".encode())])),
    ("a time stamp is of another checkpoint", "stamp_other_checkpoint",
     raw("stamps/12.txt", lambda b: sign_checkpoint(STRANGER, 12, bytes(32)))),
    ("a time stamp is cut off", "stamp_malformed", raw("stamps/12.tsr", lambda b: b[:-1])),
    ("bytes follow a time stamp", "stamp_malformed", raw("stamps/12.tsr", lambda b: b + b"0")),
    ("a time stamp's signature is turned by a bit", "stamp_untrusted",
     raw("stamps/12.tsr", lambda b: flipped(b, len(b) - 1))),
    ("a time stamp is of an authority that nobody trusts", "stamp_untrusted",
     lambda scene: setattr(scene, "roots", [Authority(CLOCK.now).certificate])),
    ("an authority refused to stamp", "stamp_refused",
     raw("stamps/12.tsr", lambda b: b.replace(b"\2\1\0", b"\2\1\2", 1))),
]  # fmt: skip
CASES = [(*case, "log") for case in LEDGER] + [(*case, "parcel") for case in PARCEL]
CASES += [(*case, "log") for case in STAMPS]
OURS = (
    *{code for _, code, _ in STAMPS},
    "nodes_wrong",
    "index_too_long",
    "ends_wrong",
    "entry_kind",
    "entry_body",
    "entry_hidden",
)
"""What the verifier that stands alone leaves: our index, meaning of entries, time stamps."""


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def scene(sealed: Scene, tmp_path: Path) -> Scene:
    log = shutil.copytree(sealed.log, tmp_path / "log")
    shown = shutil.copytree(sealed.parcel, tmp_path / "parcel")
    return Scene(log, shown, [*sealed.keys], [*sealed.kept], [*sealed.roots])


def test_untampered_ledger_verifies(scene: Scene) -> None:
    found = audit_directory(scene.log, scene.keys, scene.kept, scene.roots)
    assert found.last.size == 12
    assert any("2026-05-01 12:30:00 UTC" in line for line in found.checked)
    assert audit_directory(scene.parcel, scene.keys, scene.kept).last.size == 12
    assert verify(scene.log, scene.keys, scene.kept)[-1].size == 12


def test_tampering_table_has_forty_distinct_errors() -> None:
    told = [name for name, _, _, _ in CASES]
    assert len(set(told)) == len(told) >= 100
    assert len({code for _, code, _, _ in CASES}) >= 50


@pytest.mark.parametrize(
    ("code", "change", "of"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_tampering_is_caught_by_its_own_error(
    scene: Scene, code: str, change: Change, of: str
) -> None:
    def act() -> None:
        change(scene)
        audit_directory(getattr(scene, of), scene.keys, scene.kept, scene.roots)

    with pytest.raises(EvidenceError) as caught:
        act()
    assert caught.value.name == code
    assert caught.value.fix


@pytest.mark.parametrize(
    ("code", "change", "of"),
    [pytest.param(*c[1:], id=c[0]) for c in CASES if c[1] not in OURS],
)
def test_tampering_is_caught_by_verifier_alone(
    scene: Scene, code: str, change: Change, of: str
) -> None:
    def act() -> None:
        change(scene)
        verify(getattr(scene, of), scene.keys, scene.kept)

    with pytest.raises((VerifierError, EvidenceError, OSError, ValueError)) as caught:
        act()
    if isinstance(caught.value, VerifierError):
        assert caught.value.args[0] in (code, *EXPLAINABLE)
