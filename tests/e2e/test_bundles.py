"""A bundle as its reader meets it: valid to others, legible, private, and decided again."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from typing import Any

import bagit
import numpy as np
import pyarrow as pa
import pypdf
import pypdfium2
import pytest
from warcio.archiveiterator import ArchiveIterator

from support.case_workflow import ABOVE, BELOW, OTHER, REPORTS, SENDER, SHOT, Bench, small_run
from support.witness import add_cosignature
from wavebreak import __version__
from wavebreak.io import read
from wavebreak.ledger import DirectoryRecorder, new_signer
from wavebreak.ledger.checkpoints import encode_verifier_key, fingerprint
from wavebreak.ledger.verifier import WITNESS, Key, canonical
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.archive_writer import _write_zip, write_bundle
from wavebreak_cases.bundles.bundle_checks import tag_files
from wavebreak_cases.bundles.report import render_report
from wavebreak_cases.bundles.report_settings import load_settings
from wavebreak_cases.bundles.reproduction import RerunManifest
from wavebreak_cases.bundles.verify import exit_code, verify_bundle
from wavebreak_cases.bundles.workspace import load_case
from wavebreak_cases.cases.case import CaseOpened


class Made:
    """A bundle, unpacked, with who made it."""

    def __init__(self, root: Path) -> None:
        self.bench = Bench(root)
        self.sealer = new_signer("example.org/log", secret=bytes(32))
        salts = self.bench.salts
        sealing = DirectoryRecorder(root / "log", self.sealer, clock=lambda: 0, salts=salts)
        self.run = small_run(root, sealer=sealing)
        sealing.close()
        self.bench.whole(self.run, ledger=(root / "log", self.sealer))
        self.file = self.bench.pack()
        self.keys = [self.bench.signer.key, self.sealer.key]
        with zipfile.ZipFile(self.file) as archive:
            archive.extractall(root / "unpacked")
        self.bag = root / "unpacked" / "C-7"
        self.exhibit = self.bag / "data" / "exhibits" / "E2"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("bundle"))


def test_bundle_verifies_with_its_makers_keys(made: Made) -> None:
    found = verify_bundle(made.file, made.keys)
    assert [(f.what, f.said) for f in found if not f.holds] == []
    assert (len(found), exit_code(found)) == (14, 0)
    again = next(f.said for f in found if f.what == "recomputation")
    assert "decisions and features the same again, 3 of them sealed before" in again


def test_bundle_origin_is_unchecked_without_the_right_key(made: Made) -> None:
    without = verify_bundle(made.file, [])
    assert exit_code(without) == 4
    assert [f.what for f in without if f.holds is None] == ["sealed entries", "recomputation"]
    of_case = verify_bundle(made.file, [made.bench.signer.key])
    assert [f.what for f in of_case if f.holds is None] == ["recomputation"]
    stranger = verify_bundle(made.file, [new_signer("example.org/other").key])
    assert exit_code(stranger) == 1


def test_verify_says_whose_clock_a_bundle_rests_on(made: Made, tmp_path: Path) -> None:
    def sealed(file: Path, keys: list[Key]) -> str:
        findings = verify_bundle(file, keys)
        assert exit_code(findings) == 0, findings
        return next(f.said for f in findings if f.what == "sealed entries")

    alone = sealed(made.file, made.keys)
    assert fingerprint(made.bench.signer.key) in alone
    assert alone.endswith("rests on its maker's clock and key alone")
    witness = new_signer("witness.example", WITNESS, bytes(32))
    bag = copytree(made.bag, tmp_path / "C-7")
    notes = bag / "data" / "ledger" / "checkpoints.jsonl"
    note = add_cosignature(json.loads(notes.read_bytes()).encode(), witness, 1_772_000_000)
    notes.write_text(canonical(note.decode()) + "\n")
    at = json.loads((bag / "data" / "case.json").read_bytes())["steps"][-1]["at"]
    for name, content in tag_files(bag, "C-7", at, __version__).items():
        (bag / name).write_bytes(content)
    _write_zip(bag, tmp_path / "witnessed.zip")
    said = sealed(tmp_path / "witnessed.zip", [*made.keys, witness.key])
    assert said.endswith("and seen by witness.example at 2026-02-25T06:13:20Z")


def test_equal_cases_give_equal_bytes(made: Made) -> None:
    assert made.bench.pack("again.zip").read_bytes() == made.file.read_bytes()


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def manifest(bag: Path, name: str) -> dict[str, str]:
    lines = (bag / name).read_text().splitlines()
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}


def test_bundle_is_valid_bag_for_two_readers(made: Made) -> None:
    assert bagit.Bag(str(made.bag)).is_valid()
    there = {p.relative_to(made.bag).as_posix() for p in made.bag.rglob("*") if p.is_file()}
    for algorithm in ("sha256", "sha512"):
        payload = manifest(made.bag, f"manifest-{algorithm}.txt")
        tags = manifest(made.bag, f"tagmanifest-{algorithm}.txt")
        assert set(payload) == {name for name in there if name.startswith("data/")}
        for name, digest in (payload | tags).items():
            content = (made.bag / name).read_bytes()
            assert hashlib.new(algorithm, content).hexdigest() == digest
    assert (made.bag / "bagit.txt").read_text().splitlines() == [
        "BagIt-Version: 1.0", "Tag-File-Character-Encoding: UTF-8",
    ]  # fmt: skip
    about = (made.bag / "bag-info.txt").read_text()
    sizes = [(made.bag / name).stat().st_size for name in payload]
    assert f"Payload-Oxum: {sum(sizes)}.{len(sizes)}" in about


def test_its_warc_is_read_by_warcio_and_by_hand(made: Made) -> None:
    raw = (made.bag / "data" / "exhibits" / "E1" / "page.warc.gz").read_bytes()
    kinds = [r.rec_type for r in ArchiveIterator(io.BytesIO(raw), check_digests="raise")]
    assert kinds == ["warcinfo", "response", "request"]
    members, rest = [], raw
    while rest:
        member = zlib.decompressobj(31)
        members.append(member.decompress(rest))
        rest = member.unused_data
    assert [hold(member) for member in members] == kinds


def hold(member: bytes) -> str:
    """The kind of a record, whose length and digest are as its header says."""
    head, _, block = member.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert head.startswith(b"WARC/1.1\r\n")
    length = int(fields["Content-Length"])
    digest = hashlib.sha256(block[:length]).hexdigest()
    assert fields["WARC-Block-Digest"].lower() == f"sha256:{digest}"
    assert block[length:] == b"\r\n\r\n"
    return fields["WARC-Type"]


def pages(path: Path) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(path).pages]


def test_report_contains_facts_of_the_case(made: Made) -> None:
    text = " ".join(" ".join(pages(made.bag / "data" / "report.pdf")).split())
    for words in (
        "Case number C-7", "Prepared by Noa Bar, investigator", "Date of issue 2 March 2026",
        "Contents", "Executive summary", "determined, as of step 19", "Rapid Messages Ltd",
        "Eligible", "Signed by Adv. Levi, counsel", "subject of determination D1",
        "no legal opinion", "Technical enforcement does not depend", "130",
        "first messages to people never in touch", "Notice to cease and desist", "courier",
        "evidence reviewed by a person", "page.warc.gz", "captured from the network", "Limits",
        "What published pages say", "80,000", "from $99", "Figure 1", "Figure 2",
        "Time (UTC), 1 March 2026", "Published, as the page says 3 February 2024",
        "wavebreak run data/exhibits/E2/log.arrow", "No message was read",
        "Chronology of facts", "acted for the first time in the log", "C-7-000001", "Signature",
    ):  # fmt: skip
        assert words in text, words
    assert "instant_ban" not in text  # reasons are in words
    assert "80,000 messages a day, 80,000" not in text  # what a page says twice is told once
    about = RerunManifest(**json.loads((made.exhibit / "rerun.json").read_text()))
    assert about.accounts[0] in text
    assert all(identity in text.replace(" ", "") for identity in about.relied)


def test_every_page_is_printed_and_forms_are_unsigned(made: Made) -> None:
    for name, least in (("report.pdf", 5), ("certificate.pdf", 1)):
        document = pypdfium2.PdfDocument(made.bag / "data" / name)
        assert len(document) >= least
        for page in document:
            # A page with little on it has small letters alone, which fade at less.
            low, high = page.render(scale=1.5, grayscale=True).to_pil().getextrema()
            assert (low < 60, high) == (True, 255)
    text = " ".join(pages(made.bag / "data" / "certificate.pdf"))
    assert "902(13)" in text
    assert "902(14)" in text
    assert text.count("Schedule: exhibits of the case") == len(load_settings("en").forms)
    # The form on copies names every file with its digest.
    digests = {digest for each in load_case(made.bag / "data/case.json")[1].exhibits.values()
               for digest in each.sha256.values()}  # fmt: skip
    assert digests
    assert {digest for digest in digests if digest in "".join(text.split())} == digests
    assert "wavebreak verify" in text
    assert "`" not in text
    # A schedule of files may go on, on pages that have nothing to fill in.
    forms = [
        page
        for page in pypdfium2.PdfDocument(made.bag / "data" / "certificate.pdf")
        if "I declare" in page.get_textpage().get_text_range()
    ]
    assert len(forms) == 6
    for page in forms:
        dark = np.asarray(page.render(scale=1, grayscale=True).to_pil()) < 160
        # Lines to write on: at least two signature rows and three places in the text.
        long = [row for row, line in enumerate(dark) if _longest(line) > 70]
        assert sum(after - here > 4 for here, after in pairwise([*long, 10_000])) >= 5


def _longest(line: Any) -> int:
    """The longest stretch of dark pixels of a line."""
    return max(map(len, "".join("x" if each else " " for each in line).split()), default=0)


def test_hebrew_is_set_in_glyphs_right_to_left(made: Made) -> None:
    document = pypdfium2.PdfDocument(made.bag / "data" / "report.pdf")
    looked_at = 0
    for page in document:
        shown = page.get_textpage()
        text, picture = shown.get_text_range(), page.render(scale=4, grayscale=True).to_pil()
        height = page.get_height()
        for n in range(shown.count_chars() - 1):
            here, after = shown.get_text_range(n, 1), shown.get_text_range(n + 1, 1)
            if not ("א" <= here <= "ת" and "א" <= after <= "ת"):
                continue
            left, bottom, right, top = shown.get_charbox(n)
            if shown.get_charbox(n + 1)[1] > top or shown.get_charbox(n + 1)[3] < bottom:
                continue  # the next one stands on another line
            box = tuple(round(4 * v) for v in (left, height - top, right, height - bottom))
            assert picture.crop((box[0], box[1], box[2] + 1, box[3] + 1)).getextrema()[0] < 170
            assert shown.get_charbox(n + 1)[0] < left
            looked_at += 1
        assert "\ufffd" not in text
    assert looked_at > 300


def test_screenshot_in_report_is_whole_and_upright(made: Made) -> None:
    path = made.bag / "data" / "report.pdf"
    with_one = [n for n, page in enumerate(pypdf.PdfReader(path).pages) if len(page.images)]
    (image,) = pypdf.PdfReader(path).pages[with_one[0]].images
    assert image.image is not None
    assert (len(with_one), image.image.size) == (1, SHOT)
    page = pypdfium2.PdfDocument(path)[with_one[0]]
    shown = np.asarray(page.render(scale=2).to_pil().convert("RGB")).astype(int)
    above, below = (np.argwhere(np.abs(shown - c).max(axis=2) < 8) for c in (ABOVE, BELOW))
    # As wide as half the page at least, not stretched, the upper half above the lower.
    high = np.ptp(np.vstack([above, below])[:, 0]) + 1
    wide = np.ptp(above[:, 1]) + 1
    assert wide > shown.shape[1] / 2
    assert wide / high == pytest.approx(SHOT[0] / SHOT[1], rel=0.02)
    assert above[:, 0].max() < below[:, 0].min()
    assert len(above) > 0.95 * wide * high / 2 < 1.05 * len(below)


def test_hebrew_notice_is_aligned_right(made: Made) -> None:
    document = pypdfium2.PdfDocument(made.bag / "data" / "report.pdf")
    edges = [edge for page in document for edge in _hebrew_lines(page)]
    starts, ends = [right for _, right in edges], [left for left, _ in edges]
    assert len(edges) >= 6
    # Its lines begin at one edge, the letter's right one, and end where they end.
    assert max(starts) - min(starts) < 4
    assert max(starts) == pytest.approx(document[0].get_width() - (20 / 25.4 * 72) - 10, abs=4)
    assert max(ends) - min(ends) > 20


def _hebrew_lines(page: Any) -> list[tuple[float, float]]:
    """Left and right edges of lines that are mostly Hebrew."""
    shown, lines = page.get_textpage(), dict[int, list[tuple[str, float, float]]]()
    for n in range(shown.count_chars()):
        left, bottom, right, _ = shown.get_charbox(n)
        letter = shown.get_text_range(n, 1)
        if letter.strip():
            lines.setdefault(round(bottom / 6), []).append((letter, left, right))
    found = []
    for line in lines.values():
        hebrew = sum("א" <= letter <= "ת" for letter, _, _ in line)
        if hebrew > 30 and hebrew > 0.7 * len(line):
            found.append((min(left for _, left, _ in line), max(right for _, _, right in line)))
    return found


def test_run_over_exhibit_log_writes_same_decisions(made: Made, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("wavebreak")), "run", "log.arrow", "--policy",
               "policy/shipped", "--model", "none", "--profile", "profile.json", "-o",
               str(tmp_path / "again"), "--key", str(tmp_path / "key")]  # fmt: skip
    subprocess.run(command, cwd=made.exhibit, check=True, capture_output=True)
    again = (tmp_path / "again" / "decisions.jsonl").read_bytes()
    assert again == (made.exhibit / "decisions.jsonl").read_bytes()


def test_exhibit_decisions_equal_run_under_pseudonyms(made: Made) -> None:
    own = lines_of(made.run / "decisions.jsonl")
    here = lines_of(made.exhibit / "decisions.jsonl")
    about = json.loads((made.exhibit / "rerun.json").read_text())
    assert about["as_run"] == len([d for d in own if d["account"] == SENDER]) >= 3
    for one, other in zip(own[: about["as_run"]], here, strict=False):
        names = {"id", "account", "trigger"}
        assert {k: v for k, v in one.items() if k not in names} == {
            k: v for k, v in other.items() if k not in names
        }
        assert one["account"] != other["account"]


def test_bundle_contains_no_original_names(made: Made) -> None:
    files = [p for p in made.bag.rglob("*") if p.is_file()]
    planted = [SENDER, OTHER, "4155550100", "203.0.113.7", f"d-{SENDER}", "e-93"]
    content = b"\0".join(path.read_bytes() for path in files)
    assert [word for word in planted if word.encode() in content] == []
    log = pa.Table.from_batches(
        [b.log for b in read(made.exhibit / "log.arrow", Pseudonymizer(bytes(32), None))]
    )
    original = {event["account"] for event in lines_of(made.run.parent / "events.jsonl")}
    for name in ("account", "peer", "id", "device", "number", "address"):
        values = {v for v in log.column(name).to_pylist() if v is not None}
        assert values
        assert not values & original
        assert all(re.fullmatch(r"[a-z]-[0-9a-f]{24}", v) for v in values)
    assert set(log.column("network").to_pylist()) - {None} == {"203.0.113.0/24"}


def test_bundled_verifier_checks_the_bundle(made: Made) -> None:
    data = made.bag / "data"
    key = (data / "ledger" / "key.pub").read_text().strip()
    keys = ["--key", key, "--key", encode_verifier_key(made.sealer.key)]
    command = [sys.executable, "-I", "-S", str(data / "verifier.py"), str(made.bag), *keys]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "holds (exit code 0)")


def test_bundle_of_own_events_reports_what_is_unchecked(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    run = small_run(tmp_path)
    bench.whole(run, whole=False)
    file = bench.pack()
    found = {finding.what: finding for finding in verify_bundle(file, [bench.signer.key])}
    assert [what for what, finding in found.items() if not finding.holds] == ["recomputation"]
    assert found["recomputation"].holds is None
    assert "others' events, on which they rest, are not here" in found["recomputation"].said
    place = tmp_path / "C-7" / "exhibits" / "E2"
    about = json.loads((place / "rerun.json").read_text())
    batches = [b.log for b in read(place / "log.arrow", Pseudonymizer(bytes(32), None))]
    log = pa.Table.from_batches(batches).select(["account", "peer"]).to_pylist()
    assert all(about["accounts"][0] in (row["account"], row["peer"]) for row in log)
    assert len(log) == about["events"] == 1 + 130 + REPORTS + 1
    assert not (place / "features.json").exists()
    assert [d["id"] for d in lines_of(place / "decisions.jsonl")] == about["relied"]


def test_enforced_run_is_reproduced(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    run = small_run(tmp_path, enforce=True)
    bench.whole(run)
    found = verify_bundle(bench.pack(), [bench.signer.key])
    assert [(f.what, f.said) for f in found if not f.holds] == []


def test_report_separates_refused_messages_from_carried(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.whole(small_run(tmp_path, enforce=True))
    bench.pack()
    data = zipfile.ZipFile(tmp_path / "C-7.zip")
    (refused,) = json.loads(data.read("C-7/data/exhibits/E2/refused.json")).values()
    sent = {"type": "message.sent", "account": SENDER}
    attempted = [
        event for event in lines_of(tmp_path / "events.jsonl") if sent.items() <= event.items()
    ]
    assert (len(attempted), len(refused)) == (130, 105)
    (tmp_path / "report.pdf").write_bytes(data.read("C-7/data/report.pdf"))
    text = " ".join(" ".join(pages(tmp_path / "report.pdf")).split())
    assert "attempted 130 messages" in text
    assert "Refused by enforcement: 105;" in text
    assert "before they were sent: 0; carried: 25." in text
    assert "messages 130 105 0 25" in text


def test_report_in_hebrew_is_recorded_and_typeset_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.whole(small_run(tmp_path))
    policy = tmp_path / "policy" / "cases"
    policy.mkdir(parents=True)
    (policy / "operator.toml").write_text('name = "Example Messenger"\naddress = ["1 High St"]\n')
    settings = load_settings("he", policy=policy.parent, prepared_by="Dana", issued="2026-03-05")
    with bench.desk() as at:
        write_bundle(at, tmp_path / "he.zip", settings)
    found = verify_bundle(tmp_path / "he.zip", [bench.signer.key])
    assert [(f.what, f.said) for f in found if not f.holds] == []
    with zipfile.ZipFile(tmp_path / "he.zip") as archive:
        archive.extractall(tmp_path / "he")
    text = "".join(pages(tmp_path / "he" / "C-7" / "data" / "report.pdf"))
    for words in ("Example Messenger", "1 High St", "Dana"):
        assert words in text
    document = pypdfium2.PdfDocument(tmp_path / "he" / "C-7" / "data" / "report.pdf")
    edges = [edge for page in document for edge in _hebrew_lines(page)]
    # Whole paragraphs begin at the right margin.
    margin = document[0].get_width() - 20 / 25.4 * 72
    assert sum(abs(right - margin) < 4 for _, right in edges) > 20
    forms = "".join(pages(tmp_path / "he" / "C-7" / "data" / "certificate.pdf"))
    assert forms.count("902(1") >= 2


def test_uploaded_page_appears_as_a_claim_does(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    page = tmp_path / "page.html"
    page.write_text(
        "<html><h1>Bulk Co</h1><p>We are a team of five.</p>"
        "<p>We send bulk WhatsApp messages: 80,000 a day from our own numbers, from $99.</p></html>"
    )
    with bench.desk("C-7") as at:
        at.take(CaseOpened("Bulk Co"), **bench.me)
        evidence_intake.add_file_exhibit(at, page, bench.actor, "investigator", title="Offer")
    text = " ".join(" ".join(pages(_report_of(bench))).split())
    assert "E1: Offer" in text
    assert "● We send bulk WhatsApp messages" in text
    assert "the file is as it was given" in text


def _report_of(bench: Bench) -> Path:
    _, case = load_case(bench.case / "case.json")
    (bench.root / "report.pdf").write_bytes(render_report(bench.case, case))
    return bench.root / "report.pdf"
