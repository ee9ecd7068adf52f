"""Every way in which a bundle was tampered with is found, each by its own doubt."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from support.bundle_tampering import (
    E2,
    PROOFS,
    Original,
    cut,
    dated,
    edit,
    edited_with_tags,
    forged,
    line,
    nobody,
    of_other_version,
    packed,
    put,
    reissued,
    rekeyed,
    resealed,
    resigned,
    swapped,
    unauthenticated,
    unsigned,
    value,
    without_last_event,
)
from wavebreak.ledger import DirectoryStorage, Ledger, new_signer, proof_bundle
from wavebreak.ledger.checkpoints import encode_verifier_key, fingerprint
from wavebreak.ledger.key_changes import RETIRED, REVOKED, KeyChange
from wavebreak.ledger.verifier import Key
from wavebreak_cases.bundles import archive_writer, report
from wavebreak_cases.bundles.archive_reader import FIXED_MODE, FIXED_TIME, Bounds
from wavebreak_cases.bundles.verify import Finding, exit_code, verify_bundle
from wavebreak_cases.cases.case import Task, TaskAdded


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return Original(tmp_path_factory.mktemp("original"))


ENTRY = swapped(b'"after":"noticed"', b'"after":"closed_"')
# What is changed, whether the manifests are made anew to fit it, and the doubt that it leads to.
TAMPERED: dict[str, tuple[Callable[[Path], object], bool, str]] = {
    "a byte of the report": (edit("data/report.pdf", lambda b: b[:-1]), False, "bag_digest"),
    "a file left out": (lambda bag: (bag / "data/README.txt").unlink(), False, "bag_missing"),
    "a file slipped in": (put("data/extra.txt"), False, "bag_surplus"),
    "a tag file slipped in": (put("fetch.txt"), False, "bag_surplus"),
    "no SHA-512": (lambda bag: (bag / "manifest-sha512.txt").unlink(), False, "bag_missing"),
    "a digest edited": (line("manifest-sha256.txt", lambda ls: [b"0" * 64 + ls[0][64:], *ls[1:]]),
                        False, "bag_digest"),
    "a line of a manifest twice": (line("manifest-sha256.txt", lambda ls: [ls[0], *ls]), False,
                                   "bag_manifest"),
    "another version of BagIt": (edit("bagit.txt", swapped(b"1.0", b"0.97")), False, "bag_digest"),
    "the payload's size": (edit("bag-info.txt", swapped(b"Oxum: ", b"Oxum: 1")), False,
                           "bag_digest"),
    "the case reformatted": (edit("data/case.json", swapped(b'{"id"', b'{ "id"')), True, "case"),
    "another signer's name": (value("data/case.json", nobody), True, "case"),
    "another signer's name and no signature": (
        value("data/case.json", unauthenticated(nobody)), True, "steps_edited"),
    "a signature over something else": (value("data/case.json", resigned), True, "case"),
    "a signer's key put in place of another": (value("data/case.json", rekeyed), True, "case"),
    "two eyes": (value("data/case.json", unsigned), True, "case"),
    "another result": (value("data/case.json", forged), True, "case"),
    "another result and no signature": (
        value("data/case.json", unauthenticated(forged)), True, "determination"),
    "evidence dated back": (value("data/case.json", dated), True, "case"),
    "the last step dropped": (value("data/case.json", lambda v: v["steps"].pop()), True,
                              "steps_count"),
    "a step in the middle dropped": (value("data/case.json", lambda v: v["steps"].pop(4)), True,
                                     "case"),
    "another salt": (value("data/case.json", lambda v: v.update(salt="1" * 64)), True,
                     "steps_edited"),
    "a sealed entry edited": (edit("data/ledger/proofs.jsonl", ENTRY), True, "entry_edited"),
    "a sealed entry dropped": (line("data/ledger/proofs.jsonl", lambda ls: ls[1:]), True,
                               "steps_count"),
    "a proof cut short": (line("data/ledger/proofs.jsonl",
                               lambda ls: [ls[0].replace(b'"path":["', b'"path":["A')]), True,
                          "proof_base64"),
    "a checkpoint of another size": (edit("data/ledger/checkpoints.jsonl",
                                          swapped(b"cases\\n2", b"cases\\n3")), True,
                                     "signature_wrong"),
    "sealed anew by another": (resealed, True, "signature_missing"),
    "a page of a claim edited": (edit("data/exhibits/E1/rendered.html", swapped(b"80", b"90")),
                                 True, "exhibit_files"),
    "a claim's custody edited": (edit("data/exhibits/E1/custody.jsonl",
                                      swapped(b"desk-1", b"desk-2")), True, "custody"),
    "a claim's custody cut": (line("data/exhibits/E1/custody.jsonl", lambda ls: ls[1:]), True,
                              "custody"),
    "a WARC's bytes": (edit("data/exhibits/E1/page.warc.gz",
                            lambda b: b[:-9] + bytes([b[-9] ^ 1]) + b[-8:]), True, "warc"),
    "a file in an exhibit": (put("data/exhibits/E1/more.txt"), True, "exhibit_files"),
    "an exhibit that is none": (put("data/exhibits/E9/a.txt"), True, "exhibit_surplus"),
    "a file beside the payload": (put("data/more/a.txt"), True, "payload_surplus"),
    "an event dropped": (edit(f"{E2}/log.arrow", without_last_event), True, "rerun_events"),
    "the log cut off": (edit(f"{E2}/log.arrow", lambda b: b[: len(b) // 2]), True, "recomputation"),
    "a decision edited": (edit(f"{E2}/decisions.jsonl", swapped(b'"ban"', b'"limit"')), True,
                          "rerun_decisions"),
    "decisions that are none": (put(f"{E2}/decisions.jsonl", b"[1]\n"), True, "not_well_formed"),
    "an event log that is none": (put(f"{E2}/log.arrow", b"ARROW1"), True, "recomputation"),
    "a custody line that is none": (put("data/exhibits/E3/custody.jsonl", b"{}\n"), True,
                                    "not_well_formed"),
    "a decision no longer relied on": (
        value(f"{E2}/rerun.json", lambda v: v["relied"].pop()), True, "rerun_relied"),
    "a feature edited": (value(f"{E2}/features.json",
                               lambda v: v[next(iter(v))].update(age_s=1.0)), True,
                         "rerun_features"),
    "a count edited": (value(f"{E2}/conduct.json",
                             lambda v: v[next(iter(v))]["counts"].update(reports=30)), True,
                       "rerun_counts"),
    "a rule edited": (edit(f"{E2}/policy/shipped/rules/acts.toml",
                           swapped(b'mode = "enforce"', b'mode = "shadow"')), True,
                      "rerun_policy"),
    "another catalog of features": (
        value(f"{E2}/rerun.json", lambda v: v.update(features="catalog-000000000000")), True,
        "rerun_features"),
    "what was sealed before, edited": (edit(f"{E2}/sealed/proofs.jsonl",
                                            swapped(b'"ban"', b'"bun"')), True,
                                       "entry_edited"),
    "what was sealed before, one less": (line(f"{E2}/sealed/proofs.jsonl", lambda ls: ls[1:]),
                                         True, "sealed_other"),
    "another policy of determination": (lambda bag: next((bag / "data/grounds").iterdir())
                                        .write_bytes(b"{}"), True, "file"),
    "another boundary": (lambda bag: [p.write_bytes(p.read_bytes().replace(
        b"2019-12-08T", b"2029-12-08T")) for p in (bag / "data/grounds").iterdir()] and None,
        True, "determination_policy"),
    "another report": (edit("data/report.pdf", swapped(b"%PDF-1.7", b"%PDF-1.6")), True, "report"),
    "another form": (edit("data/certificate.pdf", swapped(b"%PDF-1.7", b"%PDF-1.6")), True,
                     "certificate"),
    "a refusal added": (value(f"{E2}/refused.json", lambda v: v[next(iter(v))].append("e-1")), True,
                        "rerun_refused"),
    "refusals of another account": (value(f"{E2}/refused.json", lambda v: v.update(a=[])), True,
                                    "rerun_refused"),
    "refusals that are none": (put(f"{E2}/refused.json", b"[]\n"), True, "not_well_formed"),
    "another operator": (value("data/report.json",
                               lambda v: v["operator"].update(name="Other")), True, "report"),
    "another operator, and the report typeset again": (reissued, True, "pack_payload"),
    "another form's words": (value("data/report.json",
                                   lambda v: v["forms"][0].update(lead="Signed.")), True,
                             "certificate"),
    "a form's language that is none": (value("data/report.json",
                                             lambda v: v.update(language="xx")), True, "file"),
    "no settings of the report": (lambda bag: (bag / "data/report.json").unlink(), True, "file"),
    "the last step cut, and the report typeset again": (cut, True, "entries_cut"),
    "the last nine steps cut likewise": (lambda bag: cut(bag, 9), True, "entries_cut"),
    "the entry of packing dropped": (line(PROOFS, lambda ls: ls[:-1]), True, "entries_cut"),
    "an entry in the middle dropped": (line(PROOFS, lambda ls: [*ls[:3], *ls[4:]]), True,
                                       "entries_cut"),
    "two entries in another order": (line(PROOFS, lambda ls: [ls[1], ls[0], *ls[2:]]), True,
                                     "proof_order"),
    "an entry twice": (line(PROOFS, lambda ls: [*ls, ls[-1]]), True, "proof_order"),
    "the entry of packing edited": (edit(PROOFS, swapped(b'"kind":"pack"', b'"kind":"pick"')),
                                    True, "entry_edited"),
    "two checkpoints": (line("data/ledger/checkpoints.jsonl", lambda ls: ls * 2), True,
                        "not_well_formed"),
    "a file beside the entries": (put("data/ledger/consistency.json", b"[]"), True,
                                  "ledger_files"),
    "an empty README": (edit("data/README.txt", lambda b: b""), True, "pack_payload"),
    "another key in the README": (edit("data/README.txt", swapped(b"KEY is", b"KEY1 is")), True,
                                  "pack_payload"),
    "other versions, another report": (of_other_version("data/report.pdf"), False,
                                       "pack_payload"),
    "other versions, another form": (of_other_version("data/certificate.pdf"), False,
                                     "pack_payload"),
    "other versions, another verifier": (of_other_version("data/verifier.py"), False,
                                         "pack_payload"),
    "a space in made.json": (edit("data/made.json", swapped(b"{", b"{ ")), True, "pack_payload"),
    "another date of the bag": (edited_with_tags("bag-info.txt", swapped(b"Date: 2", b"Date: 3")),
                                False, "bag_tags"),
    "another agent of the bag": (edited_with_tags("bag-info.txt", swapped(b"wavebreak", b"wave")),
                                 False, "bag_tags"),
    "a line more in bag-info": (edited_with_tags("bag-info.txt", lambda b: b + b"Note: void\n"),
                                False, "bag_tags"),
    "a manifest in another order": (edited_with_tags("manifest-sha512.txt", lambda b: b"".join(
        b.splitlines(keepends=True)[::-1])), False, "bag_tags"),
    "another verifier": (edit("data/verifier.py", swapped(b"def main", b"def Main")), True,
                         "verifier_program"),
}  # fmt: skip


def test_tampering_table_has_more_than_forty_cases() -> None:
    assert len(TAMPERED) >= 66
    assert len({doubt for _, _, doubt in TAMPERED.values()}) >= 29


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered(name: str, original: Original, tmp_path: Path) -> None:
    tamper, rebag, doubt = TAMPERED[name]
    bag = copytree(original.bag, tmp_path / "C-7")
    tamper(bag)
    found = verify_bundle(packed(bag, tmp_path / "t.zip", rebag=rebag), original.keys)
    assert exit_code(found) == 1
    assert doubt in [finding.name for finding in found if finding.holds is False], found


def test_untouched_bundle_packed_again_verifies(original: Original, tmp_path: Path) -> None:
    bag = copytree(original.bag, tmp_path / "C-7")
    found = verify_bundle(packed(bag, tmp_path / "t.zip", rebag=True), original.keys)
    assert [(f.what, f.said) for f in found if not f.holds] == []


def test_bundle_of_other_versions_is_reported_unchecked(
    original: Original, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = report.versions()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(report, "versions", lambda: here | {"typst": "0.1"})
        file = original.bench.pack("elsewhere.zip")
    found = verify_bundle(file, original.keys)
    assert [(f.what, f.said) for f in found if not f.holds] == [
        ("report", "made with typst 0.1: to compare them needs that")
    ]
    assert exit_code(found) == 3


def test_bundle_of_an_earlier_version_is_not_taken_for_whole(
    original: Original, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(archive_writer, "_seal_payload", lambda _workspace, _data: None)
        with original.bench.desk() as at:
            at.take(TaskAdded(Task("T9", "send it", None)), **original.bench.me)
        file = original.bench.pack("earlier.zip")
    found = verify_bundle(file, original.keys)
    assert [(f.what, f.holds) for f in found if not f.holds] == [("end of the case", None)]
    assert exit_code(found) == 3


def test_bundle_cut_back_to_an_older_checkpoint_is_not_taken_for_whole(
    original: Original, tmp_path: Path
) -> None:
    """Who kept an older note of the maker cuts back to it: it seals no end of the case."""
    bag = copytree(original.bag, tmp_path / "C-7")
    cut(bag)
    with original.bench.desk() as at:
        whole, size = at.ledger, len((bag / PROOFS).read_bytes().splitlines())
        ledger = Ledger(DirectoryStorage(tmp_path / "older", write=True), original.bench.signer)
        ledger.seal([whole.storage.line(n) for n in range(size)])
    for name, content in proof_bundle(ledger, range(size)).items():
        (bag / "data/ledger" / name).write_bytes(content)
    found = verify_bundle(packed(bag, tmp_path / "t.zip", rebag=True), original.keys)
    assert [f.what for f in found if not f.holds] == ["end of the case"]
    assert exit_code(found) == 3


def in_zip(**about: Any) -> Callable[[bytes, Path], bytes]:
    """A zip file written again, one member of which differs in its header."""

    def tamper(_raw: bytes, bag: Path) -> bytes:
        sink, method = io.BytesIO(), about.get("compress_type", zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(sink, "w") as archive:
            paths = sorted(path for path in bag.rglob("*") if path.is_file())
            for number, path in enumerate(paths[::-1] if "backwards" in about else paths):
                member = zipfile.ZipInfo(path.relative_to(bag.parent).as_posix(), FIXED_TIME)
                member.external_attr, member.create_system = FIXED_MODE << 16, 3
                member.compress_type = method
                for field, told in about.items() if number == 2 else ():
                    setattr(member, field, told) if field != "backwards" else None
                archive.writestr(member, path.read_bytes())
        return sink.getvalue()

    return tamper


def moved(raw: bytes, at: int, added: bytes) -> bytes:
    """Bytes put into a zip file, whose directory points beyond them."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        start, members = archive.start_dir, archive.infolist()
    directory = bytearray(raw[start:])
    place = 0
    for member in members:
        if member.header_offset >= at:
            directory[place + 42 : place + 46] = (member.header_offset + len(added)).to_bytes(
                4, "little"
            )
        place += 46 + len(member.filename)
    directory[place + 16 : place + 20] = (start + len(added)).to_bytes(4, "little")
    return raw[:at] + added + raw[start:start] + raw[at:start] + bytes(directory)


def second_member(raw: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return archive.infolist()[1].header_offset


def after_deflated(raw: bytes, _bag: Path) -> bytes:
    """Bytes after the end of the first member's stream, counted as its own."""
    at = second_member(raw)
    longer = bytearray(moved(raw, at, b"hidden"))
    size = int.from_bytes(longer[18:22], "little") + 6
    longer[18:22] = size.to_bytes(4, "little")
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        start = archive.start_dir + 6
    longer[start + 20 : start + 24] = size.to_bytes(4, "little")
    return bytes(longer)


def commented(raw: bytes, _bag: Path) -> bytes:
    return raw[:-2] + (4).to_bytes(2, "little") + b"void"


ARCHIVES: dict[str, Callable[[bytes, Path], bytes]] = {
    "bytes before": lambda raw, _bag: moved(raw, 0, b"#!/bin/sh\n"),
    "bytes before, not counted": lambda raw, _bag: b"%PDF-1.7\n" + raw,
    "bytes after": lambda raw, _bag: raw + b"more",
    "bytes between two members": lambda raw, _bag: moved(raw, second_member(raw), b"gap"),
    "bytes before the directory": lambda raw, _bag: moved(
        raw, zipfile.ZipFile(io.BytesIO(raw)).start_dir, b"gap"),
    "bytes after a member's end": after_deflated,
    "a comment": commented,
    "a comment of a member": in_zip(comment=b"void"),
    "a field of a member": in_zip(extra=b"\x55\x54\x02\x00ab"),
    "another time": in_zip(date_time=(2026, 1, 1, 0, 0, 0)),
    "another mode": in_zip(external_attr=0o100755 << 16),
    "another system": in_zip(create_system=0),
    "a member that is not compressed": in_zip(compress_type=zipfile.ZIP_STORED),
    "another order": in_zip(backwards=True),
    "another name in a header": lambda raw, _bag: raw.replace(b"C-7/bag-info", b"C-7/bag-inf0", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_zip_file_with_other_bytes_is_refused(
    name: str, original: Original, tmp_path: Path
) -> None:
    raw = original.file.read_bytes()
    changed = ARCHIVES[name](raw, original.bag)
    assert changed != raw
    (tmp_path / "t.zip").write_bytes(changed)
    found = verify_bundle(tmp_path / "t.zip", original.keys)
    assert exit_code(found) == 1
    assert {f.name for f in found if f.holds is False} <= {"bundle_structure", "bundle_damaged"}


def entry(name: str, **about: int) -> Callable[[zipfile.ZipFile], None]:
    def write(archive: zipfile.ZipFile) -> None:
        member = zipfile.ZipInfo(name)
        for field, told in about.items():
            setattr(member, field, told)
        archive.writestr(member, b"x")

    return write


def twice(archive: zipfile.ZipFile) -> None:
    entry("C-7/a.txt")(archive)
    entry("C-7/A.TXT")(archive)


def bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("C-7/a.txt", bytes(30_000_000), zipfile.ZIP_DEFLATED)


def many(archive: zipfile.ZipFile) -> None:
    for n in range(60):
        entry(f"C-7/{n}.txt")(archive)


def two_folders(archive: zipfile.ZipFile) -> None:
    entry("C-7/a.txt")(archive)
    entry("C-8/a.txt")(archive)


BOUNDS = Bounds(files=50, ratio=20, spare=1 << 20)
ZIPS: dict[str, tuple[Callable[[zipfile.ZipFile], None], str]] = {
    "a name that leads out": (entry("C-7/../../evil.txt"), "bundle_name"),
    "a name from the root": (entry("/etc/passwd"), "bundle_name"),
    "a name of another system": (entry("C-7\\..\\evil.txt"), "bundle_depth"),
    "a name of a drive": (entry("C:/evil.txt"), "bundle_name"),
    "a name with a control character": (entry("C-7/a\nb.txt"), "bundle_name"),
    "a file in no folder": (entry("evil.txt"), "bundle_depth"),
    "a file very deep": (entry("C-7/" + "d/" * 20 + "a.txt"), "bundle_depth"),
    "a link": (entry("C-7/a", external_attr=(stat.S_IFLNK | 0o777) << 16), "bundle_link"),
    "a device": (entry("C-7/a", external_attr=(stat.S_IFCHR | 0o777) << 16), "bundle_link"),
    "two names that a disk may take for one": (twice, "bundle_twice"),
    "another compression": (entry("C-7/a.txt", compress_type=zipfile.ZIP_LZMA),
                            "bundle_compression"),
    "a bomb": (bomb, "bundle_bomb"),
    "far too many files": (many, "bundle_files"),
    "no file at all": (lambda archive: None, "bundle_files"),
    "two folders": (two_folders, "bundle_folders"),
}  # fmt: skip


@pytest.mark.parametrize("name", ZIPS)
def test_hostile_zip_file_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, doubt = ZIPS[name]
    source = tmp_path / "in" / "t.zip"
    source.parent.mkdir()
    with zipfile.ZipFile(source, "w") as archive:
        make(archive)
    found = verify_bundle(source, [], BOUNDS)
    assert [finding.name for finding in found] == [doubt]
    assert exit_code(found) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "t.zip"]


def test_file_that_is_no_zip_is_refused(original: Original, tmp_path: Path) -> None:
    raw = original.file.read_bytes()
    for content, doubt in (
        (b"hello", "bundle_damaged"),
        (raw[: len(raw) // 2], "bundle_damaged"),
        (raw[:400] + bytes(64) + raw[464:], "bundle_damaged"),
    ):
        (tmp_path / "t.zip").write_bytes(content)
        found = verify_bundle(tmp_path / "t.zip", [])
        assert doubt in [finding.name for finding in found]
    assert [f.name for f in verify_bundle(tmp_path / "absent.zip", [])] == ["bundle_absent"]


def found(original: Original, keys: list[Key], history: list[KeyChange]) -> dict[str, Finding]:
    findings = verify_bundle(original.file, keys, history=history)
    return {finding.what: finding for finding in findings}


def test_bundle_of_an_earlier_key_is_verified_by_the_next(original: Original) -> None:
    old = original.bench.signer
    new = new_signer(old.name)
    assert exit_code(verify_bundle(original.file, [new.key])) == 1
    seen = found(original, [new.key], [KeyChange(old.key, new.key, RETIRED, 86_400_000)])
    assert exit_code(list(seen.values())) == 0
    assert "a key that was in use until 1970-01-02" in seen["sealed entries"].said
    assert fingerprint(old.key) in seen["sealed entries"].said


def test_bundle_of_a_revoked_key_says_so(original: Original) -> None:
    old = original.bench.signer
    new = new_signer(old.name)
    for keys in ([new.key], [old.key, new.key]):
        seen = found(original, keys, [KeyChange(old.key, new.key, REVOKED, 86_400_000)])
        assert exit_code(list(seen.values())) == 3
        for what in ("sealed entries", "recomputation"):
            assert seen[what].holds is None
            assert "is revoked from 1970-01-02 00:00:00 UTC on" in seen[what].said


def test_key_in_the_bundle_is_the_one_that_signed(original: Original, tmp_path: Path) -> None:
    """Two keys that are both trusted do not stand for each other."""
    old = original.bench.signer
    new = new_signer(old.name)
    bag = tmp_path / "C-7"
    copytree(original.bag, bag)
    (bag / "data/ledger/key.pub").write_text(f"{encode_verifier_key(new.key)}\n")
    findings = verify_bundle(packed(bag, tmp_path / "b.zip", rebag=True), [old.key, new.key])
    names = {finding.what: finding.name for finding in findings if finding.holds is False}
    assert names["sealed entries"] == "key_other"
