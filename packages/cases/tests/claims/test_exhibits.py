"""Files taken in: judged by their content, kept as they are, refused when unsound."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from pathlib import Path

import msgspec
import pytest
from pypdf import PdfWriter

from wavebreak.errors import ClaimError
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.exhibits import (
    Actor,
    add_file,
    append_custody,
    check_exhibit,
    detect_type,
    load_exhibit,
    read_custody,
    validate_file,
)

ACTOR, AT = Actor("A", "bench", "why", "mandate"), "2026-03-04T05:06:07Z"
SMALL = msgspec.structs.replace(
    load_limits().upload, bytes=50_000, unpacked=60_000, members=5, pages=2
)


def warc(body: bytes = b"<p>80 mil mensagens por dia", digest: str = "", count: int = 1) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    head = (
        "WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        "WARC-Date: 2026-01-02T03:04:05Z\r\nWARC-Target-URI: http://s.example/\r\n"
        f"WARC-Block-Digest: sha256:{digest or hashlib.sha256(block).hexdigest()}\r\n"
        "Content-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return (head.encode() + block + b"\r\n\r\n") * count


def wacz(members: dict[str, bytes], hashes: bool = True, changed: bool = False) -> bytes:
    out = io.BytesIO()
    resources = [
        {"path": name, "hash": f"sha256:{hashlib.sha256(content).hexdigest()}"}
        for name, content in members.items()
    ]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content + b"x" if changed else content)
        if hashes:
            archive.writestr("datapackage.json", json.dumps({"resources": resources}))
    return out.getvalue()


def pdf(pages: int = 1, password: str = "") -> bytes:
    writer, out = PdfWriter(), io.BytesIO()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if password:
        writer.encrypt(password)
    writer.write(out)
    return out.getvalue()


TAKEN = {
    "warc": warc(), "warc, gzipped": gzip.compress(warc()),
    "wacz": wacz({"archive/a.warc.gz": gzip.compress(warc()), "pages/pages.jsonl": b"{}"}),
    "html": b"\xef\xbb\xbf \n<!DOCTYPE html><p>x", "pdf": pdf(), "text": "שלום".encode(),
    "png": b"\x89PNG\r\n\x1a\nrest", "jpeg": b"\xff\xd8\xff\xe0rest", "gif": b"GIF89a..",
    "webp": b"RIFF\x01\x02\x03\x04WEBPVP8 ",
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_added_file_is_stored_unchanged_under_any_name(name: str, tmp_path: Path) -> None:
    made = add_file(TAKEN[name], tmp_path / "e", ACTOR, AT, source="handed over")
    kept = made.file("original")
    assert kept is not None
    assert (tmp_path / "e" / kept.path).read_bytes() == TAKEN[name]
    assert kept.sha256 == hashlib.sha256(TAKEN[name]).hexdigest()
    assert load_exhibit(tmp_path / "e") == made
    assert check_exhibit(tmp_path / "e") == []


REFUSED = {
    "empty": (b"", "no known form"), "binary": (b"\x7fELF\0\0", "no known form"),
    "latin-1 text": ("ação".encode("latin-1"), "no known form"),
    "gzip of something else": (gzip.compress(b"tar"), "no WARC"),
    "broken gzip": (b"\x1f\x8b broken", "no WARC"),
    "zip of something else": (wacz({"a.txt": b"x"}), "no WACZ"),
    "zip without a package": (wacz({"archive/a.warc": warc()}, hashes=False), "no WACZ"),
    "cut zip": (wacz({"archive/a.warc": warc()})[:-30], "damaged"),
    "leading outside": (wacz({"archive/../../x.warc": warc()}), "leads outside"),
    "leading to the root": (wacz({"/archive/x.warc": warc()}), "leads outside"),
    "changed member": (wacz({"archive/a.warc": warc()}, changed=True), "not what its package"),
    "zip bomb": (wacz({"archive/a.warc": b"0" * 70_000}), "unpacks to more"),
    "many members": (wacz({f"{n}": b"" for n in range(9)}), "too many members"),
    "warc bomb": (gzip.compress(warc(b"0" * 70_000)), "unpacks to more"),
    "many records": (warc(count=9), "more than 5 records"),
    "changed warc": (warc(digest="0" * 64), "digest failed"),
    "nonsense warc": (b"WARC/1.1\r\nnonsense\r\n\r\n", "the WARC"),
    "pdf of many pages": (pdf(3), "more than 2 pages"),
    "locked pdf": (pdf(password="x"), "locked"),
    "broken pdf": (b"%PDF-1.7 nothing", "damaged"), "too big": (b"x" * 50_001, "over 50,000"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_file_is_refused_before_storing(name: str) -> None:
    raw, said = REFUSED[name]
    with pytest.raises(ClaimError, match=said):
        validate_file(raw, SMALL)


AT_THE_BOUND = {
    "bytes": (b"x" * 50_000, b"x" * 50_001),
    "records of a warc": (warc(count=5), warc(count=6)),
    "members of a wacz": tuple(
        wacz({"archive/a.warc": warc()} | {f"pages/{n}": b"{}" for n in range(count)})
        for count in (3, 4)
    ),
    "unpacked warc": tuple(gzip.compress(warc(b"0" * count)) for count in (60_000, 60_001)),
    "pages of a pdf": (pdf(2), pdf(3)),
}


@pytest.mark.parametrize("name", AT_THE_BOUND)
def test_file_at_its_bound_is_taken_and_past_it_refused(name: str) -> None:
    at, past = AT_THE_BOUND[name]
    assert validate_file(at, SMALL).form
    with pytest.raises(ClaimError):
        validate_file(past, SMALL)


def test_picture_in_markup_is_text_and_never_drawn(tmp_path: Path) -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"><text>x</text><script>y</script></svg>'
    assert add_file(drawing, tmp_path / "e", ACTOR, AT).details["form"] == "text"


def test_refused_file_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ClaimError):
        add_file(b"\0", tmp_path / "e", ACTOR, AT)
    assert list(tmp_path.iterdir()) == []


def test_test_purchase_is_stored_with_details(tmp_path: Path) -> None:
    done = {"when": AT, "by": "B", "ordered": "1,000 sends", "price": "20 EUR", "account": "p-1"}
    made = add_file(TAKEN["png"], tmp_path / "e", ACTOR, AT, kind="test_purchase", details=done)
    assert load_exhibit(tmp_path / "e").kind == "test_purchase"
    assert done.items() <= made.details.items()
    append_custody(tmp_path / "e", Actor("C", "desk"), AT, "shown to counsel")
    first, second = read_custody(tmp_path / "e")
    assert second.previous == hashlib.sha256(msgspec.json.encode(first, order="sorted")).hexdigest()
    assert second.exhibit == made.id
    assert second.authority == "not stated"


def test_file_replaced_by_link_is_reported(tmp_path: Path) -> None:
    add_file(b"text", tmp_path / "e", ACTOR, AT)
    kept = tmp_path / "e" / "original.txt"
    kept.rename(tmp_path / "elsewhere.txt")
    kept.symlink_to(tmp_path / "elsewhere.txt")
    assert check_exhibit(tmp_path / "e") == ["original.txt does not lie in the directory"]


def test_file_type_is_detected_by_content() -> None:
    assert detect_type(TAKEN["warc, gzipped"]).ending == ".warc.gz"
    assert detect_type(TAKEN["html"]).media == "text/html"
