"""Every way in which a bundle was tampered with is found, each by its own doubt."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pyarrow as pa
import pytest

from support.case_workflow import Bench, small_run
from wavebreak.bundles import archive_writer
from wavebreak.bundles.archive_reader import Bounds
from wavebreak.bundles.verify import exit_code, verify_bundle
from wavebreak.ledger import DirectoryRecorder, DirectoryStorage, Ledger, new_signer, proof_bundle
from wavebreak.ledger.verifier import canonical


class Original:
    """An untouched bundle and its folder."""

    def __init__(self, root: Path) -> None:
        self.bench = Bench(root)
        sealing = DirectoryRecorder(
            root / "log", self.bench.signer, clock=lambda: 0, salts=self.bench.salts
        )
        run = small_run(root, sealer=sealing)
        sealing.close()
        self.bench.whole(run, ledger=(root / "log", self.bench.signer))
        self.file = self.bench.pack()
        with zipfile.ZipFile(self.file) as archive:
            archive.extractall(root / "unpacked")
        self.bag = root / "unpacked" / "C-7"
        self.keys = [self.bench.signer.key]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return Original(tmp_path_factory.mktemp("original"))


def edit(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A change of one file below the bag."""

    def tamper(bag: Path) -> None:
        before = (bag / path).read_bytes()
        after = change(before)
        assert after != before
        (bag / path).write_bytes(after)

    return tamper


def value(path: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    """A change of a JSON file, written again in its canonical form."""

    def again(raw: bytes) -> bytes:
        told = json.loads(raw)
        change(told)
        return canonical(told).encode() + b"\n"

    return edit(path, again)


def put(path: str, content: bytes = b"x") -> Callable[[Path], None]:
    def tamper(bag: Path) -> None:
        (bag / path).parent.mkdir(parents=True, exist_ok=True)
        (bag / path).write_bytes(content)

    return tamper


def line(path: str, change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    return edit(path, lambda raw: b"".join(change(raw.splitlines(keepends=True))))


def swapped(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    return lambda raw: raw.replace(before, after, 1)


def without_last_event(raw: bytes) -> bytes:
    table = pa.ipc.open_file(raw).read_all()
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.slice(0, table.num_rows - 1))
    return sink.getvalue()


def nobody(told: dict[str, Any]) -> None:
    """The signature is ascribed to another."""
    signed = next(s for s in told["steps"] if s["did"]["did"] == "signed")
    signed["by"] = "Adv. Cohen"


def forged(told: dict[str, Any]) -> None:
    made = next(s for s in told["steps"] if s["did"]["did"] == "determined")
    made["did"]["determination"]["result"] = "not_eligible"


def unsigned(told: dict[str, Any]) -> None:
    """The one who prepared it signs it too."""
    signed = next(s for s in told["steps"] if s["did"]["did"] == "signed")
    signed["by"] = "Noa Bar"


def dated(told: dict[str, Any]) -> None:
    found = next(s for s in told["steps"] if s["did"]["did"] == "found")
    found["did"]["evidence"]["began"]["latest"] -= 1


def resealed(bag: Path) -> None:
    """The whole ledger made anew by another key of the same name."""
    stranger = new_signer("example.org/cases", secret=bytes(31) + b"\1")
    place = bag.parent / "forged"
    ledger = Ledger(DirectoryStorage(place, write=True), stranger)
    lines = (bag / "data" / "ledger" / "proofs.jsonl").read_bytes().splitlines()
    ledger.seal([canonical(json.loads(each)["entry"]).encode() for each in lines])
    for name, content in proof_bundle(ledger, range(ledger.size)).items():
        (bag / "data" / "ledger" / name).write_bytes(content)
    rmtree(place)


E2 = "data/exhibits/E2"
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
    "another signer's name": (value("data/case.json", nobody), True, "steps_edited"),
    "two eyes": (value("data/case.json", unsigned), True, "case"),
    "another result": (value("data/case.json", forged), True, "determination"),
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
    "a rule edited": (edit(f"{E2}/policy/shipped/rules/impossible.toml",
                           swapped(b'mode = "enforce"', b'mode = "shadow"')), True,
                      "rerun_policy"),
    "another catalog of features": (
        value(f"{E2}/rerun.json", lambda v: v.update(features="catalog-000000000000")), True,
        "rerun_features"),
    "what was sealed before, edited": (edit(f"{E2}/sealed/proofs.jsonl",
                                            swapped(b'"restrict"', b'"suspend_"')), True,
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
    "another verifier": (edit("data/verifier.py", swapped(b"def main", b"def Main")), True,
                         "verifier_program"),
}  # fmt: skip


def packed(bag: Path, out: Path, *, rebag: bool) -> Path:
    """Zip a folder, where asked with manifests that fit it."""
    if rebag:
        for name in bag.glob("*.txt"):
            name.unlink()
        archive_writer._write_tags(bag, bag.name, 0)
    archive_writer._write_zip(bag, out)
    return out


def test_tampering_table_has_more_than_forty_cases() -> None:
    assert len(TAMPERED) >= 43
    assert len({doubt for _, _, doubt in TAMPERED.values()}) >= 25


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


def test_bundle_of_other_versions_is_reported_unchecked(original: Original, tmp_path: Path) -> None:
    bag = copytree(original.bag, tmp_path / "C-7")
    value("data/made.json", lambda v: v.update(typst="0.1"))(bag)
    found = verify_bundle(packed(bag, tmp_path / "t.zip", rebag=True), original.keys)
    assert [(f.what, f.said) for f in found if f.holds is None] == [
        ("report", "made with typst 0.1: to compare them needs that")
    ]
    assert exit_code(found) == 3


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
