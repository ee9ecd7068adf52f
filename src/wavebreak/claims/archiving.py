"""Exchanges to WARC 1.1 (ISO 28500) and back.

One `warcinfo`, then of each exchange its response, its request (`WARC-Concurrent-To` the
response) and a `metadata` record with the connection. Blocks are the wire's bytes. Digests are
SHA-256 in hex; a payload is what stands behind the HTTP headers as it was sent, chunks included,
which is what `warcio check` counts.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from wavebreak.claims.exchange import Exchange
from wavebreak.claims.limits import UploadLimits
from wavebreak.errors import ClaimError

_FIELDS, _HTTP = "application/warc-fields", "application/http; msgtype="
_SPEC = "https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"


@dataclass(frozen=True)
class Page:
    """A response in a WARC: its URL, capture date, status, media type and unpacked content."""

    url: str
    date: str
    status: int
    media: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def to_warc(exchanges: Sequence[Exchange], about: dict[str, str], at: str) -> bytes:
    """Write a gzipped WARC, one member a record. `about` are the fields of its warcinfo.

    The same exchanges give the same bytes: record ids are derived from what they name.
    """
    lines = about | {"format": "WARC File Format 1.1", "conformsTo": _SPEC}
    block = "".join(f"{name}: {_line(value)}\r\n" for name, value in lines.items()).encode()
    named = _identity("warcinfo", at, block)
    records = [_record("warcinfo", named, at, block, _FIELDS)]
    for number, made in enumerate(exchanges):
        name = f"{number} {made.url}"
        response = _identity("response", name, made.response)
        uri = {"WARC-Target-URI": made.url, "WARC-Warcinfo-ID": named}
        there = uri | {"WARC-IP-Address": made.address}
        came = there | {"WARC-Payload-Digest": _digest(_payload(made.response))}
        if made.cut:
            came["WARC-Truncated"] = made.cut
        beside = there | {"WARC-Concurrent-To": response}
        records += [
            _record("response", response, made.at, made.response, _HTTP + "response", came),
            _record("request", _identity("request", name, made.request), made.at, made.request,
                    _HTTP + "request", beside),
        ]  # fmt: skip
        if made.tls:
            tls = f"tls: {made.tls}\r\n".encode()
            beside = uri | {"WARC-Concurrent-To": response}
            identity = _identity("metadata", name, tls)
            records.append(_record("metadata", identity, made.at, tls, _FIELDS, beside))
    return b"".join(gzip.compress(record, mtime=0) for record in records)


def pages(raw: bytes, bounds: UploadLimits) -> Iterator[Page]:
    """Read the responses and resources of a WARC, checking every digest that it holds.

    Raises ClaimError if it is damaged, a digest differs, or it holds more than `bounds` lets.
    """
    count = size = shown = 0
    try:
        archive: Any = ArchiveIterator(io.BytesIO(raw), check_digests="raise")
        for record in archive:
            count += 1
            body = _bounded(record, bounds.unpacked - size)
            size += len(body)
            if count > bounds.members:
                raise ClaimError(f"the WARC holds more than {bounds.members:,} records")
            if record.rec_type in ("response", "resource"):
                shown += 1
                yield _page(record, body)
    except (ArchiveLoadFailed, ValueError, EOFError, OSError) as error:
        raise ClaimError(f"the WARC is damaged: {error}") from None
    if not shown:
        raise ClaimError("the WARC holds no response", fix="give a WARC file, plain or gzipped")


def _page(record: ArcWarcRecord, body: bytes) -> Page:
    http = record.http_headers
    media = http.get_header("Content-Type", "") if http else record.content_type
    code = http.get_statuscode() if http else "200"
    return Page(
        record.rec_headers.get_header("WARC-Target-URI", ""),
        record.rec_headers.get_header("WARC-Date", ""),
        int(code) if code.isdigit() else 0,
        (media or "").partition(";")[0].strip().lower(),
        body,
        tuple(http.headers) if http else (),
    )


def _bounded(record: ArcWarcRecord, most: int) -> bytes:
    """A record's content, unpacked; what is left of it is read too, so its digest is checked."""
    content = bytearray()
    stream = record.content_stream()
    while piece := stream.read(1 << 16):
        content += piece
        if len(content) > most:
            raise ClaimError("the WARC unpacks to more than is read", fix="give a smaller one")
    while record.raw_stream.read(1 << 16):
        pass
    return bytes(content)


def _record(
    kind: str, identity: str, at: str, block: bytes, media: str, more: dict[str, str] | None = None
) -> bytes:
    fields = {
        "WARC-Type": kind, "WARC-Record-ID": identity, "WARC-Date": at, **(more or {}),
        "WARC-Block-Digest": _digest(block), "Content-Type": media,
        "Content-Length": str(len(block)),
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.1\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def _payload(block: bytes) -> bytes:
    return block.partition(b"\r\n\r\n")[2]


def _digest(block: bytes) -> str:
    return f"sha256:{sha256(block).hexdigest()}"


def _identity(kind: str, name: str, block: bytes) -> str:
    return f"<urn:uuid:{uuid5(NAMESPACE_URL, f'{kind} {name} {sha256(block).hexdigest()}')}>"


def _line(value: str) -> str:
    return " ".join(value.split())
