"""A bundle to tamper with: changes of its files, and its packing again with manifests that fit."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import msgspec
import pyarrow as pa

from support.case_workflow import Bench, small_run
from wavebreak import __version__
from wavebreak.ledger import DirectoryRecorder, DirectoryStorage, Ledger, new_signer, proof_bundle
from wavebreak.ledger.checkpoints import encode_verifier_key
from wavebreak.ledger.verifier import canonical
from wavebreak_cases.bundles import archive_writer, report
from wavebreak_cases.bundles.bundle_checks import tag_files
from wavebreak_cases.bundles.report_settings import ReportSettings
from wavebreak_cases.bundles.workspace import load_case


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


def signed_step(told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in told["steps"] if s["did"]["did"] == "signed")
    return found


def unauthenticated(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A change, with the signature taken out, as earlier versions had none."""

    def changed(told: dict[str, Any]) -> None:
        change(told)
        del signed_step(told)["did"]["signature"]

    return changed


def resigned(told: dict[str, Any]) -> None:
    made = signed_step(told)["did"]["signature"]
    made["signature"] = made["signature"][:-8] + "AAAAAA=="


def rekeyed(told: dict[str, Any]) -> None:
    """The case names another key for counsel than the one that signed."""
    named = next(s for s in told["steps"] if s["did"]["did"] == "authorized")
    stranger = new_signer("levi.example", secret=bytes(31) + b"\2")
    named["did"]["signer"]["key"] = encode_verifier_key(stranger.key)


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


def cut(bag: Path, steps: int = 1) -> None:
    """Drop the case's last steps and their entries, and typeset the report again."""
    value("data/case.json", lambda v: v.update(steps=v["steps"][:-steps]))(bag)
    proofs = (bag / "data/ledger/proofs.jsonl").read_bytes().splitlines(keepends=True)
    left = steps
    while left:
        left -= json.loads(proofs.pop())["entry"]["kind"] == "step"
    (bag / "data/ledger/proofs.jsonl").write_bytes(b"".join(proofs))
    (bag / "data/report.pdf").write_bytes(
        report.render_report(bag / "data", load_case(bag / "data/case.json")[1])
    )


def reissued(bag: Path) -> None:
    """The report and forms of another operator, typeset again."""
    data = bag / "data"
    value("data/report.json", lambda v: v["operator"].update(name="Other"))(bag)
    settings = msgspec.json.decode((data / "report.json").read_bytes(), type=ReportSettings)
    case = load_case(data / "case.json")[1]
    (data / "report.pdf").write_bytes(report.render_report(data, case, settings))
    (data / "certificate.pdf").write_bytes(report.render_certificate_forms(case, settings))


def edited_with_tags(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A change of one of the bag's own files, and digests of such files that fit it."""

    def tamper(bag: Path) -> None:
        edit(name, change)(bag)
        for algorithm in ("sha256", "sha512"):
            lines = [
                f"{hashlib.new(algorithm, path.read_bytes()).hexdigest()}  {path.name}\n"
                for path in sorted(bag.glob("*.txt"))
                if not path.name.startswith("tagmanifest")
            ]
            (bag / f"tagmanifest-{algorithm}.txt").write_text("".join(lines))

    return tamper


def of_other_version(path: str) -> Callable[[Path], None]:
    """A changed file in a bundle that says it was made by other versions, which are not here."""

    def tamper(bag: Path) -> None:
        value("data/made.json", lambda v: v.update(typst="0.1", wavebreak="0.0.1"))(bag)
        edit(path, lambda raw: raw + b"\n")(bag)
        edit("bag-info.txt", swapped(__version__.encode(), b"0.0.1"))(bag)

    return tamper


def rebagged(bag: Path) -> None:
    """Write the bag's own files anew, as our writer would."""
    try:
        at = json.loads((bag / "data/case.json").read_bytes())["steps"][-1]["at"]
    except (ValueError, LookupError):
        at = 0
    for name, content in tag_files(bag, bag.name, at, __version__).items():
        (bag / name).write_bytes(content)


def remake_tags(bag: Path) -> None:
    """Write the bag's own files anew, so that they fit what lies in it."""
    for name in bag.glob("*.txt"):
        name.unlink()
    rebagged(bag)


def packed(bag: Path, out: Path, *, rebag: bool) -> Path:
    """Zip a folder, where asked with manifests that fit it."""
    if rebag:
        remake_tags(bag)
    archive_writer._write_zip(bag, out)
    return out


PROOFS = "data/ledger/proofs.jsonl"
E2 = "data/exhibits/E2"
