"""What a stranger checks without anything of ours: one file of Python, beside `wavebreak verify`.

Each tampering has the exit codes of both. Where the reader gives the maker's key none ends with 0.
"""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from support.bundle_tampering import (
    E2,
    PROOFS,
    Original,
    edit,
    line,
    packed,
    put,
    remake_tags,
    resealed,
    swapped,
    value,
)
from support.case_workflow import PARTY, Bench
from support.witness import add_cosignature
from wavebreak.cli import app, commands
from wavebreak.ledger import DirectoryStorage, Ledger, Signer, new_signer, proof_bundle
from wavebreak.ledger.checkpoints import encode_key_change, encode_verifier_key
from wavebreak.ledger.key_changes import RETIRED, REVOKED, KeyChange
from wavebreak.ledger.storage import add_key_change
from wavebreak.ledger.verifier import WITNESS, canonical
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.bundle_checks import (
    EXIT_CODES,
    FAILS,
    HOLDS,
    KEY_UNKNOWN,
    REDACTED,
    UNCHECKED,
    check_bundle,
    exit_code,
    payload_digest,
)
from wavebreak_cases.bundles.exhibit_redaction import redact_exhibit
from wavebreak_cases.bundles.verifier_program import verifier_program
from wavebreak_cases.bundles.verify import verify_bundle
from wavebreak_cases.bundles.workspace import salted_digest
from wavebreak_cases.cases.case import CaseOpened, PartyNamed
from wavebreak_cases.claims.exhibits import Actor
from wavebreak_cases.claims.redaction import Marks, TextMark

WITNESSING = new_signer("witness.example", WITNESS, bytes(32))
STRANGER = new_signer("example.org/cases", secret=bytes(31) + b"\1")
CHECKPOINTS, CASE_FILE = "data/ledger/checkpoints.jsonl", "data/case.json"


class Answer(NamedTuple):
    """How a program ended, and what it printed."""

    code: int
    text: str


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return Original(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """A bundle whose first exhibit is redacted, with a folder of its own."""
    made = Original.__new__(Original)
    root = tmp_path_factory.mktemp("redacted")
    made.bench = bench = Bench(root)
    (root / "chat.txt").write_text("We send 80,000 messages a day. Dana Levi, 050-765-4321.")
    with bench.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **bench.me)
        at.take(PartyNamed(PARTY), **bench.me)
        evidence_intake.add_file_exhibit(at, root / "chat.txt", bench.actor, "investigator")
        marks = Marks((TextMark("name", "Dana Levi"), TextMark("phone", "050-765-4321")))
        redact_exhibit(at, "E1", marks, Actor("Noa Bar", "here", "a customer", "order 4"),
                       "investigator")  # fmt: skip
    made.file = bench.pack()
    with zipfile.ZipFile(made.file) as archive:
        archive.extractall(root / "unpacked")
    made.bag = root / "unpacked" / "C-7"
    made.keys = [bench.signer.key]
    return made


def alone(source: Path, *words: str) -> Answer:
    """Run the program as a stranger does: isolated, without any package."""
    program = source.parent / "verifier-of-the-maker.py"
    program.write_bytes(verifier_program())
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(source), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return Answer(done.returncode, done.stdout)


def ours(source: Path, *words: str) -> Answer:
    """Run the command."""
    done = CliRunner().invoke(app, ["verify", str(source), *words])
    assert isinstance(done.exception, (SystemExit, type(None))), done.exception
    return Answer(done.exit_code, done.output)


def keyed(made: Original) -> tuple[str, str]:
    return "--key", encode_verifier_key(made.bench.signer.key)


def rechained(bag: Path) -> None:
    """A page's words, its exhibit.json, its custody and its digests in the case, all made anew."""
    place = bag / "data/exhibits/E1"
    html = place / "rendered.html"
    html.write_bytes(html.read_bytes().replace(b"80,000", b"90,000"))

    about = json.loads((place / "exhibit.json").read_bytes())
    old = about.pop("id")
    for file in about["files"]:
        file["sha256"] = sha256((place / file["path"]).read_bytes()).hexdigest()
    new = sha256(canonical(about).encode()).hexdigest()
    (place / "exhibit.json").write_bytes(canonical(about | {"id": new}).encode() + b"\n")
    last, lines = "0" * 64, []
    for each in (place / "custody.jsonl").read_bytes().splitlines():
        told = json.loads(each) | {"exhibit": new, "previous": last}
        lines.append(canonical(told).encode())
        last = sha256(lines[-1]).hexdigest()
    (place / "custody.jsonl").write_bytes(b"".join(each + b"\n" for each in lines))
    assert old != new

    def digests(told: dict[str, Any]) -> None:
        exhibit = next(s["did"]["exhibit"] for s in told["steps"] if s["did"]["did"] == "exhibited")
        for name in exhibit["sha256"]:
            exhibit["sha256"][name] = sha256((place / name).read_bytes()).hexdigest()

    value(CASE_FILE, digests)(bag)


def sealed_by(signer: Signer, *, key_file: bool) -> Callable[[Path], None]:
    """A forged case, sealed anew from its first step to its packing, by a key of the same name."""

    def tamper(bag: Path) -> None:
        rechained(bag)
        written = load_case_json(bag)
        proofs = [json.loads(each) for each in (bag / PROOFS).read_bytes().splitlines()]
        steps = iter(written["steps"])
        entries = [proof["entry"] for proof in proofs]
        for entry in entries:
            if entry["kind"] == "step":
                entry["body"]["sha256"] = salted_digest(written["salt"], next(steps))
        entries[-1]["body"]["last"] = salted_digest(written["salt"], written["steps"][-1])
        entries[-1]["body"]["payload"] = payload_digest(bag / "data")
        place = bag.parent / "forged"
        ledger = Ledger(DirectoryStorage(place, write=True), signer)
        ledger.seal([canonical(entry).encode() for entry in entries])
        for name, content in proof_bundle(ledger, range(ledger.size)).items():
            if name != "key.pub" or key_file:
                (bag / "data/ledger" / name).write_bytes(content)
        rmtree(place)

    return tamper


def load_case_json(bag: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((bag / CASE_FILE).read_bytes())
    return told


def page_and_report(bag: Path) -> None:
    """The tampering of the issue: a page and the report, and manifests that fit."""
    edit("data/exhibits/E1/rendered.html", swapped(b"80,000", b"90,000"))(bag)
    edit("data/report.pdf", lambda raw: raw + b"% more\n")(bag)


def other_signer(told: dict[str, Any]) -> None:
    """The case names another key, and the signature is said to be of it."""
    key = encode_verifier_key(new_signer("levi.example", secret=bytes(31) + b"\2").key)
    for step in told["steps"]:
        if step["did"]["did"] == "signed":
            step["did"]["signature"]["key"] = key


def redigested(told: dict[str, Any]) -> None:
    done = next(s["did"] for s in told["steps"] if s["did"]["did"] == "redacted")
    done["redaction"]["restated"] = dict.fromkeys(done["redaction"]["restated"], "0" * 64)


def cosigned(signer: Signer) -> Callable[[Path], None]:
    def tamper(bag: Path) -> None:
        note = json.loads((bag / CHECKPOINTS).read_bytes())
        seen = add_cosignature(note.encode(), signer, 1_772_000_000).decode()
        (bag / CHECKPOINTS).write_text(canonical(seen) + "\n", "utf-8")

    return tamper


class Case(NamedTuple):
    """What is changed, what else the reader gives, and how verify and the program alone end."""

    change: Callable[[Path], object]
    verify: int
    alone: int
    witness: bool = False
    key: bool = True


FORGED = sealed_by(STRANGER, key_file=True)
CASES: dict[str, Case] = {
    "nothing": Case(lambda _bag: None, HOLDS, HOLDS),
    "nothing, without a key": Case(lambda _bag: None, KEY_UNKNOWN, KEY_UNKNOWN, key=False),
    "a page and the report, manifests remade": Case(page_and_report, FAILS, FAILS),
    "the same, without a key": Case(page_and_report, FAILS, FAILS, key=False),
    "a page, its id, custody and digests": Case(rechained, FAILS, FAILS),
    "its id, custody and digests, without a key": Case(rechained, FAILS, FAILS, key=False),
    "all sealed anew by another key": Case(FORGED, FAILS, FAILS),
    "all sealed anew, no key given": Case(FORGED, FAILS, KEY_UNKNOWN, key=False),
    "the same, the maker's key file left": Case(sealed_by(STRANGER, key_file=False), FAILS, FAILS),
    "the same, the key file left, no key given": Case(
        sealed_by(STRANGER, key_file=False), FAILS, FAILS, key=False),
    "the ledger sealed anew": Case(resealed, FAILS, FAILS),
    "a witness who did not sign": Case(lambda _bag: None, FAILS, FAILS, witness=True),
    "a witness who signed": Case(cosigned(WITNESSING), HOLDS, HOLDS, witness=True),
    "another witness of that name": Case(
        cosigned(new_signer("witness.example", WITNESS, bytes(31) + b"\1")), FAILS, FAILS,
        witness=True),
    "a signature said to be of another key": Case(value(CASE_FILE, other_signer), FAILS, FAILS),
    "an opening slipped in": Case(line(PROOFS, lambda ls: [ls[0].replace(
        b'"openings":{}', b'"openings":{"by":["00","x"]}'), *ls[1:]]), FAILS, FAILS),
    "a line more in the checkpoint": Case(edit(CHECKPOINTS, swapped(
        b"\\n\\n", b"\\nmore\\n\\n")), FAILS, FAILS),
    "a byte order mark before the case": Case(edit(CASE_FILE, lambda b: b"\xef\xbb\xbf" + b),
                                              FAILS, FAILS),
    "line ends of another system": Case(edit(PROOFS, lambda b: b.replace(b"\n", b"\r\n")),
                                        FAILS, FAILS),
    "the last line cut off": Case(edit(PROOFS, lambda b: b[:-1]), FAILS, FAILS),
    "a name twice in the case": Case(edit(CASE_FILE, swapped(b'{"id"', b'{"id":"C-7","id"')),
                                     FAILS, FAILS),
    "steps in another order": Case(value(CASE_FILE, lambda v: v["steps"].reverse()), FAILS, FAILS),
    "no step": Case(value(CASE_FILE, lambda v: v["steps"].clear()), FAILS, FAILS),
    "another case's name": Case(value(CASE_FILE, lambda v: v.update(id="C-8")), FAILS, FAILS),
    "the verifier says that all holds": Case(put("data/verifier.py", b"print('holds')\n"),
                                             FAILS, FAILS),
    "the report is gone": Case(lambda bag: (bag / "data/report.pdf").unlink(), FAILS, FAILS),
    "the pages of a run's seal": Case(edit(f"{E2}/sealed/checkpoints.jsonl", swapped(b"1", b"2")),
                                      FAILS, FAILS),
    "the key file is empty": Case(edit("data/ledger/key.pub", lambda _b: b""), FAILS, FAILS),
    "the ledger is gone": Case(lambda bag: rmtree(bag / "data/ledger"), FAILS, FAILS),
    "the payload is gone": Case(lambda bag: rmtree(bag / "data"), FAILS, FAILS),
}  # fmt: skip


def step_of(told: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in told["steps"] if step["did"]["did"] == kind)
    return found


def first_dropped(told: dict[str, Any]) -> None:
    del told["steps"][0]
    for number, step in enumerate(told["steps"], 1):
        step["n"] = number


def second_repeated(told: dict[str, Any]) -> None:
    told["steps"].append(told["steps"][1] | {"n": len(told["steps"]) + 1})


def in_the_proofs(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A change of the first proof, written in its canonical form."""

    def changed(lines: list[bytes]) -> list[bytes]:
        told = json.loads(lines[0])
        change(told)
        return [canonical(told).encode() + b"\n", *lines[1:]]

    return line(PROOFS, changed)


def note_changed(before: str, after: str) -> Callable[[Path], None]:
    return edit(CHECKPOINTS, lambda raw: canonical(
        json.loads(raw).replace(before, after, 1)).encode() + b"\n")  # fmt: skip


def linked(bag: Path) -> None:
    readme = bag / "data/README.txt"
    readme.unlink()
    readme.symlink_to(bag / "data/made.json")


E1 = "data/exhibits/E1"
FURTHER: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "the case's title": (value(CASE_FILE, lambda v: v["steps"][0]["did"].update(title="Other")),
                         FAILS, "steps_edited"),
    "who took a step": (value(CASE_FILE, lambda v: v["steps"][2].update(by="Dana Levi")),
                        FAILS, "steps_edited"),
    "why a step was taken": (value(CASE_FILE, lambda v: v["steps"][2].update(why="an order")),
                             FAILS, "steps_edited"),
    "a step a millisecond later": (value(CASE_FILE, lambda v: v["steps"][2].update(
        at=v["steps"][2]["at"] + 1)), FAILS, "steps_edited"),
    "the first step dropped, others numbered anew": (value(CASE_FILE, first_dropped), FAILS,
                                                     "steps_count"),
    "a step twice, numbered on": (value(CASE_FILE, second_repeated), FAILS, "steps_count"),
    "another salt of the case": (value(CASE_FILE, lambda v: v.update(salt="0" * 32)), FAILS,
                                 "steps_edited"),
    "another outcome of the determination": (value(CASE_FILE, lambda v: step_of(v, "determined")[
        "did"]["determination"].update(as_of=1)), FAILS, "signature_wrong"),
    "the signer's role": (value(CASE_FILE, lambda v: step_of(v, "signed").update(role="admin")),
                          FAILS, "signer"),
    "the case with spaces": (edit(CASE_FILE, swapped(b'{"id"', b'{ "id"')), FAILS,
                             "case_not_canonical"),
    "a folder without a file": (lambda bag: (bag / "data/more").mkdir(), FAILS,
                                "payload_surplus"),
    "an exhibit's folder without a file": (lambda bag: (bag / "data/exhibits/E9").mkdir(), FAILS,
                                           "exhibit_surplus"),
    "a folder beside the payload": (lambda bag: (bag / "more").mkdir(), FAILS, "bag_surplus"),
    "a hidden file in an exhibit": (put(f"{E1}/.note"), FAILS, "exhibit_files"),
    "a file of an exhibit renamed": (lambda bag: (bag / E1 / "rendered.html").rename(
        bag / E1 / "page.html"), FAILS, "exhibit_files"),
    "an exhibit under another number": (lambda bag: (bag / E1).rename(
        bag / "data/exhibits/E01"), FAILS, "exhibit_files"),
    "custody without its last line": (line(f"{E1}/custody.jsonl", lambda ls: ls[:-1]), FAILS,
                                      "exhibit_files"),
    "custody of another exhibit": (edit(f"{E1}/custody.jsonl", lambda b: b.replace(
        b'"previous":"0', b'"previous":"1')), FAILS, "custody"),
    "a link in the place of a file": (linked, FAILS, "bundle_link"),
    "a checkpoint of more entries": (note_changed("\n", "\n1"), FAILS, "signature_wrong"),
    "a checkpoint of another log": (note_changed("example.org", "example.com"), FAILS,
                                    "origin_wrong"),
    "a line more under the checkpoint": (edit(CHECKPOINTS, lambda b: b + b"\n"), FAILS,
                                         "not_well_formed"),
    "another place in the tree": (in_the_proofs(lambda v: v.update(position=1)), FAILS,
                                  "proof_wrong"),
    "a proof cut short": (in_the_proofs(lambda v: v["path"].pop()), FAILS, "proof_too_short"),
    "a proof with one hash more": (in_the_proofs(lambda v: v["path"].append(v["leaf"])), FAILS,
                                   "proof_too_long"),
    "the key's name": (edit("data/ledger/key.pub", swapped(b"example", b"exampl3")), FAILS,
                       "key_id_wrong"),
    "seen by a witness that nobody named": (cosigned(WITNESSING), HOLDS, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FURTHER)
def test_further_tampering_ends_with_its_code(
    name: str, original: Original, tmp_path: Path
) -> None:
    """In this process and of a folder alone, so that many are cheap."""
    change, code, doubt = FURTHER[name]
    bag = copytree(original.bag, tmp_path / "C-7")
    change(bag)
    if "link" not in name:
        remake_tags(bag)
    findings = check_bundle(bag, original.keys)
    failed = [finding.name for finding in findings if finding.holds is False]
    assert exit_code(findings) == code
    assert doubt in failed if doubt else not failed


def test_table_has_more_than_twenty_new_tamperings() -> None:
    ended = [case for case in CASES.values() if HOLDS not in (case.verify, case.alone)]
    assert len(ended) >= 24


@pytest.mark.parametrize("name", CASES)
def test_tampering_ends_with_its_codes(name: str, original: Original, tmp_path: Path) -> None:
    case = CASES[name]
    bag = copytree(original.bag, tmp_path / "C-7")
    case.change(bag)
    file = packed(bag, tmp_path / "t.zip", rebag=(bag / "data").exists())
    words = keyed(original) if case.key else ()
    if case.witness:
        words = (*words, "--key", encode_verifier_key(WITNESSING.key))
    assert ours(file, *words).code == case.verify
    assert alone(file, *words).code == case.alone
    assert alone(bag, *words).code == case.alone


REDACTIONS: dict[str, Case] = {
    "nothing": Case(lambda _bag: None, REDACTED, REDACTED),
    "nothing, without a key": Case(lambda _bag: None, KEY_UNKNOWN, KEY_UNKNOWN, key=False),
    "the copy": Case(edit("data/exhibits/E1R1/redacted.txt", swapped(b"80", b"90")), FAILS, FAILS),
    "the original slipped back in": Case(put("data/exhibits/E1/original.txt"), FAILS, FAILS),
    "how steps are shown": Case(value(CASE_FILE, redigested), FAILS, FAILS),
}


@pytest.mark.parametrize("name", REDACTIONS)
def test_redacted_bundle_ends_with_its_codes(name: str, redacted: Original, tmp_path: Path) -> None:
    case = REDACTIONS[name]
    bag = copytree(redacted.bag, tmp_path / "C-7")
    case.change(bag)
    file = packed(bag, tmp_path / "t.zip", rebag=True)
    words = keyed(redacted) if case.key else ()
    assert (ours(file, *words).code, alone(file, *words).code) == (case.verify, case.alone)


def test_key_history_is_followed(original: Original, tmp_path: Path) -> None:
    old, new = original.bench.signer, new_signer(original.bench.signer.name)
    key = ("--key", encode_verifier_key(new.key))
    for why, signers, code in ((RETIRED, [new, old], HOLDS), (REVOKED, [new], UNCHECKED)):
        history = tmp_path / f"{why}.jsonl"
        change = KeyChange(old.key, new.key, why, 86_400_000)
        add_key_change(history, encode_key_change(change, signers))
        words = (*key, "--key-history", str(history))
        assert (ours(original.file, *words).code, alone(original.file, *words).code) == (code, code)
        history.write_bytes(history.read_bytes().replace(b"86400000", b"96400000"))
        assert alone(original.file, *words).code == UNCHECKED
    assert ours(original.file, *key).code == alone(original.file, *key).code == FAILS


@pytest.mark.parametrize("kind", ["absent", "a folder", "no key", "empty", "text"])
def test_what_is_no_bundle_is_not_taken_for_one(
    kind: str, original: Original, tmp_path: Path
) -> None:
    source, words = tmp_path / "t.zip", keyed(original)
    if kind == "a folder":
        source.mkdir()
    elif kind == "no key":
        source, words = original.file, ("--key", "no key")
    elif kind != "absent":
        source.write_bytes(b"" if kind == "empty" else b"hello")
    code = FAILS if kind in ("empty", "text") else UNCHECKED
    assert alone(source, *words).code == code
    if kind != "no key":  # a wrong command line is an error of the command
        assert ours(source, *words).code == code


def test_bundles_are_verified_with_the_exit_codes_of_commands() -> None:
    assert {*EXIT_CODES, 2} == set(commands.EXIT_CODES)
    codes = (commands.FAILED, commands.UNCHECKED, commands.KEY_UNKNOWN)
    assert codes == (FAILS, UNCHECKED, KEY_UNKNOWN)
    assert "redacted" in commands.EXIT_CODES[REDACTED]


def test_program_says_what_it_does_not_check(original: Original) -> None:
    said = alone(original.file, *keyed(original))
    assert said.code == HOLDS
    missing = [line for line in said.text.splitlines() if line.startswith("not here")]
    for words in ("engine decides the same", "determinations follow", "report.pdf", "is true"):
        assert any(words in line for line in missing), words
    assert "rests on its maker's clock and key alone" in said.text


def test_a_bundle_writes_no_line_of_its_own(original: Original, tmp_path: Path) -> None:
    bag = copytree(original.bag, tmp_path / "C-7")
    spoken = b'"body":{"case":"C-7\\nholds (exit code 0)\\u001b[2J",'
    line(PROOFS, lambda ls: [*ls[:-1], ls[-1].replace(b'"body":{"case":"C-7",', spoken)])(bag)
    assert spoken in (bag / PROOFS).read_bytes()
    said = alone(packed(bag, tmp_path / "t.zip", rebag=True), *keyed(original))
    assert said.code == FAILS
    assert "holds (exit code 0)" not in said.text.splitlines()
    assert "\\n" in said.text
    assert said.text.isascii()
    assert "\x1b" not in said.text


def test_program_is_the_bundle_s_and_of_the_standard_library(original: Original) -> None:
    program = (original.bag / "data/verifier.py").read_bytes()
    assert program == verifier_program()
    tree = ast.parse(program)
    names = [each.name for each in tree.body if isinstance(each, (ast.FunctionDef, ast.ClassDef))]
    assert len(set(names)) == len(names)
    used = {
        (getattr(node, "module", "") or node.names[0].name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert used <= set(sys.stdlib_module_names)
    assert not used & {"socket", "subprocess", "urllib", "http", "os", "ctypes"}


@pytest.mark.parametrize("module", ["argparse", "json", "hashlib", "re", "zipfile", "datetime"])
def test_module_beside_the_program_is_not_imported(
    original: Original, tmp_path: Path, module: str
) -> None:
    bag = copytree(original.bag, tmp_path / "C-7")
    (bag / CASE_FILE).write_bytes((bag / CASE_FILE).read_bytes() + b" ")
    program = tmp_path / "verifier.py"
    program.write_bytes(verifier_program())
    false = "import sys\nprint('holds (exit code 0)')\nsys.exit(0)\n"
    (tmp_path / f"{module}.py").write_text(false)
    command = [sys.executable, str(program), str(bag), *keyed(original)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (FAILS, "")
    assert "holds (exit code 0)" not in done.stdout


def test_mutated_archives_give_findings_and_no_traceback(
    original: Original, tmp_path: Path
) -> None:
    """Every archive with changed bytes ends with a code that is declared, and never with 0."""
    drawn, raw = random.Random(37), original.file.read_bytes()
    file = tmp_path / "t.zip"
    for _ in range(120):
        changed = bytearray(raw)
        for _ in range(drawn.choice((1, 1, 4, 40))):
            at = drawn.randrange(len(changed))
            match drawn.randrange(3):
                case 0:
                    changed[at] ^= 1 << drawn.randrange(8)
                case 1:
                    del changed[at : at + drawn.choice((1, 16, 4096))]
                case _:
                    changed[at:at] = drawn.randbytes(drawn.choice((1, 16)))
        file.write_bytes(changed)
        code = exit_code(check_bundle(file, original.keys))
        assert code in EXIT_CODES
        assert bytes(changed) == raw or code == FAILS
        assert exit_code(verify_bundle(file, original.keys)) == FAILS


def test_mutated_payloads_give_findings_and_no_traceback(
    original: Original, tmp_path: Path
) -> None:
    """Whatever stands in a file of the bundle, manifests remade: a finding, and never 0."""
    drawn, bag = random.Random(38), copytree(original.bag, tmp_path / "C-7")
    files = sorted(path for path in (bag / "data").rglob("*") if path.is_file())
    values = (b"", b"\0", b"[]", b"{}", b"null", b'"x"', b"1e999", b"9" * 5_000, b"\xff\xfe",
              b"[" * 50_000, b'{"files":[{}],"id":1}', b"\x1f\x8b\x08", b"PK\x03\x04")  # fmt: skip
    for number in range(150):
        path = files[number % len(files)]
        before = path.read_bytes()
        changed = bytearray(before)
        if number % 2:
            changed = bytearray(drawn.choice(values))
        elif changed:
            changed[drawn.randrange(len(changed))] ^= 1 << drawn.randrange(8)
        path.write_bytes(changed)
        found = check_bundle(bag, original.keys)
        assert exit_code(found) == FAILS, path
        assert all(each.said for each in found)
        path.write_bytes(before)
