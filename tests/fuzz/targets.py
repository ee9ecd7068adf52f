"""Fuzz targets: functions that read untrusted bytes, and may raise only Wavebreak's own errors.

A target returns after any input. What else it raises, a crash, a hang or unbounded memory is a
finding; its input goes into `corpus/`, where the tests try it again.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import numpy as np
import pyarrow as pa
from django.db import connection, transaction
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject

from support.service_harness import SECRET, abuser
from support.shared_policy import make_engine
from wavebreak import rules
from wavebreak.engine import snapshot
from wavebreak.errors import SnapshotError, WavebreakError
from wavebreak.io import log_rows
from wavebreak.ledger.verifier import VerifierError
from wavebreak.privacy.pseudonymizer import Pseudonymizer
from wavebreak_cases.bundles.archive_reader import Bounds, unpack
from wavebreak_cases.bundles.case_draft import read_batch
from wavebreak_cases.claims.capture import page_requisites, stylesheet_requisites
from wavebreak_cases.claims.config import UploadLimits
from wavebreak_cases.claims.page_text import parse_html, parse_pdf
from wavebreak_cases.claims.pdf_pages import render_pages
from wavebreak_cases.claims.pictures import open_picture
from wavebreak_cases.claims.reader import read
from wavebreak_cases.claims.warc import Exchange, encode_warc, read_warc
from wavebreak_server.pipeline import decide
from wavebreak_server.pipeline.request_decoder import Body, DecodeResult, RequestDecoder
from wavebreak_server.settings import Limits
from wavebreak_server.slices.backup import service as backup
from wavebreak_server.slices.keys.service import create_key
from wavebreak_server.storage import database, event_log, row_macs

CORPUS = Path(__file__).parent / "corpus"
"""Inputs by target that reached code which no seed reaches, and those that once failed."""
NOON_MS = 1_772_366_400_000
FORMS = ("json", "lines", "arrow")
ENCODINGS = ("", "gzip", "zstd")
LIMITS = Limits(body=1 << 20, unpacked=1 << 20, events=1_000)


class Target(NamedTuple):
    """What is fuzzed: a function that says whether it took its input, and inputs to begin with."""

    run: Callable[[bytes], bool]
    seeds: Callable[[], Iterator[bytes]]


@cache
def _decoder() -> RequestDecoder:
    return RequestDecoder(Pseudonymizer(SECRET), LIMITS)


def _body(form: str) -> Callable[[bytes], bool]:
    def run(data: bytes) -> bool:
        """Decode a body of this form; its first byte chooses an encoding."""
        encoding = ENCODINGS[data[0] % len(ENCODINGS)] if data else ""
        decoded = _decoder().decode([Body(data[1:], form, encoding)])
        (read,) = decoded.reads
        taken = read.taken if isinstance(read, DecodeResult) else 0
        assert decoded.log.num_rows == taken, "taken and logged events differ"
        return taken > 0

    return run


def _body_seeds(form: str) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        events = abuser(3)
        lines = [msgspec.json.encode(event) for event in events]
        texts = {
            "json": [b"[" + b",".join(lines) + b"]", lines[0], b"[]", b"[{}]"],
            "lines": [b"\n".join(lines), lines[1] + b"\r\n\n"],
            "arrow": [_arrow(events)],
        }
        for text in texts[form]:
            yield b"\0" + text

    return seeds


def _arrow(events: list[dict[str, Any]]) -> bytes:
    table = pa.Table.from_pylist(events)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@cache
def _policy() -> rules.Policy:
    return rules.load_policy()


@cache
def _dump() -> dict[str, Any]:
    """The state of an engine that has seen a few accounts."""
    engine = make_engine(_policy(), accounts=64)
    engine.take(_decoder().decode([Body(b"\n".join(_lines()), "lines")]).log)
    return engine.dump()


def _lines() -> list[bytes]:
    return [msgspec.json.encode(event) for n in range(3) for event in abuser(5, f"a{n}")]


def _run_snapshot(data: bytes) -> bool:
    """Change bytes of a snapshot's arrays under right sums; a state that loads must go on."""
    arrays = {name: array.copy() for name, array in _dump().items()}
    names = sorted(arrays)
    changes = [data[at : at + 7] for at in range(0, min(len(data), 70), 7)]
    for change in changes:
        if len(change) == 7 and (array := arrays[names[change[0] % len(names)]]).nbytes:
            content = array.reshape(-1).view("u1")
            at = int.from_bytes(change[1:4], "little") % content.size
            content[at : at + 3] = bytearray(change[4:7])[: content.size - at]
    engine = make_engine(_policy(), accounts=64)
    try:
        engine.load(arrays)
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError):
        return False
    engine.take(_decoder().decode([Body(b"\n".join(_lines()), "lines")]).log)
    return True


def _snapshot_seeds() -> Iterator[bytes]:
    yield bytes(7)
    for number in range(0, min(256, len(_dump())), 5):
        yield bytes([number, 0, 0, 0, 255, 255, 127])


def _run_snapshot_file(data: bytes) -> bool:
    """Read a file as a snapshot, with and without an engine."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "state-1-1.snapshot"
        path.write_bytes(data)
        try:
            snapshot.check(path)
        except SnapshotError:
            snapshot.restore(make_engine(_policy(), accounts=64), path)
    return True


def _snapshot_file_seeds() -> Iterator[bytes]:
    held = io.BytesIO()
    np.save(held, np.arange(3))
    part = held.getvalue()
    manifest = snapshot.manifest_of(make_engine(_policy(), accounts=64))
    for sums in ({}, {"fired": hashlib.sha256(part).hexdigest()}, {"fired": "00"}):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("fired", part)
            archive.writestr("manifest.json", json.dumps(manifest | {"sums": sums}))
        yield file.getvalue()


def _run_bundle(data: bytes) -> bool:
    """Unpack an archive as a bundle, within bounds."""
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "bundle.zip", Path(place) / "out"
        source.write_bytes(data)
        target.mkdir()
        try:
            unpack(source, target, Bounds(files=50, octets=1 << 20))
        except VerifierError:
            return False
    return True


def _bundle_seeds() -> Iterator[bytes]:
    for name in ("bag/bagit.txt", "bag/data/case.json", "../x", "bag/a/b/c/d"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, b"BagIt-Version: 1.0\n" * 20)
        yield file.getvalue()


@cache
def _backup_parts() -> tuple[bytes, dict[str, bytes]]:
    """The database file of an empty service, and the parts of a small backup."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        row_macs.bind(SECRET)
        database.connect("", home)
        database.migrate()
        connection.close()
        fresh = (home / database.FILE).read_bytes()
        log = _decoder().decode([Body(b"\n".join(_lines()), "lines")]).log
        create_key("fuzzed", ["ingest"], NOON_MS, "tests", "fuzzing")
        with transaction.atomic(), connection.cursor() as cursor:
            event_log.append(cursor, 0, log.num_rows, NOON_MS, log_rows.encode_row(log))
        reports = home / "reports"
        reports.mkdir()
        (reports / "report.txt").write_bytes(b"a report")
        backup.save(home, home / "saved", SECRET)
        connection.close()
        with zipfile.ZipFile(home / "saved") as archive:
            return fresh, {name: archive.read(name) for name in archive.namelist()}


def _edited_backup(data: bytes) -> bytes:
    """Return a backup with bytes of its parts changed, under right sums and the right MAC.

    Each edit is seven bytes: the part, three of the place, three of what is written there.
    """
    parts = {name: bytearray(content) for name, content in _backup_parts()[1].items()}
    manifest = json.loads(parts.pop("manifest.json"))
    del parts["manifest.mac"]
    names = sorted(parts)
    for at in range(0, min(len(data), 70) - 6, 7):
        content = parts[names[data[at] % len(names)]]
        place = int.from_bytes(data[at + 1 : at + 4], "little") % max(1, len(content))
        content[place : place + 3] = data[at + 4 : at + 7]
    for name, part in parts.items():
        digest = hashlib.sha256(part).hexdigest()
        manifest["parts"][name] = {"bytes": len(part), "sha256": digest}
    encoded = json.dumps(manifest).encode()
    mac = hmac.digest(backup.mac_key(SECRET), encoded, hashlib.sha256).hex().encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, bytes(part))
        archive.writestr("manifest.json", encoded)
        archive.writestr("manifest.mac", mac)
    return file.getvalue()


def _run_backup(data: bytes) -> bool:
    """Restore an archive as a backup that nothing proves, or edits of a proven one."""
    fresh, _ = _backup_parts()
    raw = data.startswith(b"PK")
    with tempfile.TemporaryDirectory() as place, patch.object(database, "migrate"):
        home, file = Path(place) / "home", Path(place) / "saved"
        home.mkdir()
        (home / database.FILE).write_bytes(fresh)
        file.write_bytes(data if raw else _edited_backup(data))
        database.connect("", home)
        try:
            backup.restore(file, home, SECRET, NOON_MS, accept_unproven=raw)
        finally:
            connection.close()
        outside = {path.name for path in Path(place).iterdir()} - {"home", "saved"}
        assert not outside, f"the restore wrote {outside}"
    return True


def _backup_seeds() -> Iterator[bytes]:
    yield b""
    for number in range(len(_backup_parts()[1]) - 2):
        yield bytes([number, 9, 0, 0, 1, 2, 3])
    file = io.BytesIO()
    manifest = {"version": 1, "sums": {}, "rows": {}, "wavebreak": "0.2"}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
    yield file.getvalue()


def _run_policy(data: bytes) -> bool:
    """Load a rule file of a local policy."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "rules"
        directory.mkdir()
        (directory / "fuzzed.toml").write_bytes(data)
        rules.load_policy(Path(place), compiled=False)
    return True


def _policy_seeds() -> Iterator[bytes]:
    rule = (
        b'[[rule]]\nid = "a_rule"\nabuse = "norms"\nabout = "Many wait."\n'
        b'source = "Made for fuzzing."\n'
        b'stage = "messaging"\non = ["sent"]\nwhen = ["unanswered_strangers_1d >= 20"]\n'
        b'outcome = "limit"\nnew_chats_1d = 20\nfor = "24h"\n'
        b'false_actions = "Nobody that is known."\n'
        b'review_by = "2027-05-31"\nmode = "enforce"\n'
        b"fires_on = [{ unanswered_strangers_1d = 20 }]\n"
        b"stays_quiet_on = [{ unanswered_strangers_1d = 1 }]\n"
    )
    yield rule
    for condition in (b"log(1) > 2 ** 3", b"f[0] if x else y", b"not ((age_s)) or 1e400 < -age_s"):
        yield rule.replace(b"unanswered_strangers_1d >= 20", condition)


def _run_identifiers(data: bytes) -> bool:
    """Pseudonymize an event whose phone, address and device are anything."""
    parts = [part.decode("utf-8", "replace") for part in (data.split(b"\0") + [b""] * 3)[:3]]
    fields = dict(zip(("phone", "ip", "device"), parts, strict=True))
    (event,), _ = decide.parse_events(msgspec.json.encode(abuser(0)[0] | fields), 0)
    (row,) = decide.pseudonymize_event(event, _decoder().pseudonymizer).to_pylist()
    held = [value for value in row.values() if isinstance(value, str)]
    raw = [part for part in parts if len(part) > 6 and part in held]
    assert not raw, f"the log holds {raw}"
    return True


def _identifier_seeds() -> Iterator[bytes]:
    yield b"+972541234567\x00203.0.113.77\x00device-of-ann"
    yield b"+97235551234\x002001:db8::1\x00x"


UPLOAD = UploadLimits(bytes=1 << 20, unpacked=1 << 20, members=50, pages=3)
_PAGE = (
    b"<html><head><title>Bulk SMS</title><meta property='article:published_time' "
    b"content='2026-01-02'><script type='application/ld+json'>{\"name\": \"A shop\"}</script>"
    b"</head><body><p>We send 80,000 messages a day for $5.</p>"
    b"<a href='mailto:a@example.org'>Write</a>"
    b"<img src='x.png' srcset='y.png 2x'><link rel='stylesheet' href='z.css'></body></html>"
)


def _run_pdf(data: bytes) -> bool:
    """Read the text of a PDF, and draw its pages."""
    parse_pdf(data)
    return len(list(render_pages(data, UPLOAD.pages))) > 0


def _pdf_seeds() -> Iterator[bytes]:
    for encoded in (b"BT /F1 12 Tf 20 50 Td (We send 80,000 a day) Tj ET", b"q 10 0 0 10 0 0 cm Q"):
        file = io.BytesIO()
        writer = PdfWriter()
        page = writer.add_blank_page(100, 100)
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        named = {NameObject(name): NameObject(value) for name, value in font.items()}
        fonts = DictionaryObject({NameObject("/F1"): DictionaryObject(named)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = StreamObject()
        stream.set_data(encoded)
        page[NameObject("/Contents")] = stream
        writer.add_metadata({"/Title": "An offer", "/CreationDate": "D:20260102030405Z"})
        writer.write(file)
        yield file.getvalue()


def _run_picture(data: bytes) -> bool:
    """Open a picture as pixels."""
    with warnings.catch_warnings():
        # Of Pillow's, on metadata that are damaged.
        warnings.simplefilter("ignore")
        return open_picture(data).width > 0


def _picture_seeds() -> Iterator[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("PNG", "JPEG", "GIF", "WEBP"):
        file = io.BytesIO()
        more = {} if form == "GIF" else {"exif": exif}
        Image.new("RGB", (9, 5), "red").save(file, form, **more)
        yield file.getvalue()


def _run_warc(data: bytes) -> bool:
    """Read the pages of an archive."""
    return bool([page.url for page in read_warc(data, UPLOAD)])


def _warc_seeds() -> Iterator[bytes]:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    exchange = Exchange(
        "https://shop.example/", "2026-01-02T03:04:05Z", "203.0.113.7", b"GET / HTTP/1.1\r\n\r\n",
        head + _PAGE, 200, Message(), _PAGE,
    )  # fmt: skip
    packed = encode_warc([exchange], {"software": "a test"}, "2026-01-02T03:04:05Z")
    yield packed
    yield gzip.decompress(packed)


def _run_claims(data: bytes) -> bool:
    """Read what a page claims, and what it refers to."""
    reading = read(parse_html(data), "2026-01-02T03:04:05Z", ["A shop"])
    page_requisites(data, "https://shop.example/a/b")
    stylesheet_requisites(data, "https://shop.example/a/b")
    return bool(reading.capacities)


def _claims_seeds() -> Iterator[bytes]:
    yield _PAGE
    yield "<p>שולחים 50 אלף הודעות ביום, 03-1234567</p>".encode()
    yield b"@import 'a.css'; a { background: url(\"b.png\") }"


def _run_batch(data: bytes) -> bool:
    """Read a batch of cases, with their parties and ties; its first byte chooses a form."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / ("batch.csv" if data[:1] == b"c" else "batch.toml")
        path.write_bytes(data[1:])
        return bool([line.draft for line in read_batch(path)])


def _batch_seeds() -> Iterator[bytes]:
    yield b"ccase,party,url\nC-1,A shop,https://shop.example/\nC-2,,\n"
    yield b"t[[case]]\ncase = 'C-1'\nparty = 'A shop'\nurl = ['https://shop.example/']\n"


TARGETS: dict[str, Target] = {
    **{f"body-{form}": Target(_body(form), _body_seeds(form)) for form in FORMS},
    "snapshot": Target(_run_snapshot, _snapshot_seeds),
    "snapshot-file": Target(_run_snapshot_file, _snapshot_file_seeds),
    "backup": Target(_run_backup, _backup_seeds),
    "bundle": Target(_run_bundle, _bundle_seeds),
    "policy": Target(_run_policy, _policy_seeds),
    "identifiers": Target(_run_identifiers, _identifier_seeds),
    "pdf": Target(_run_pdf, _pdf_seeds),
    "picture": Target(_run_picture, _picture_seeds),
    "warc": Target(_run_warc, _warc_seeds),
    "claims": Target(_run_claims, _claims_seeds),
    "batch": Target(_run_batch, _batch_seeds),
}


def inputs(name: str) -> list[bytes]:
    """Return a target's seeds, and the inputs of its corpus."""
    kept = sorted((CORPUS / name).glob("*"))
    return [*TARGETS[name].seeds(), *[path.read_bytes() for path in kept]]


def run(name: str, data: bytes) -> bool:
    """Return whether a target took its input; it may answer with Wavebreak's own errors."""
    try:
        return TARGETS[name].run(data)
    except WavebreakError:
        return False
