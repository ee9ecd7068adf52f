"""HTTP exchanges byte for byte, and WARC 1.1 files (ISO 28500) of them.

The connection goes to the address that the SSRF guard checked; the certificate is checked against
the host name. Bytes are kept as they came (chunked, compressed), and decoded beside that.

A WARC has one `warcinfo`, then for each exchange its response, its request (`WARC-Concurrent-To`
the response) and a `metadata` record with the TLS connection. Digests are SHA-256 in hex; a payload
is what follows the HTTP headers as sent, chunks included, as `warcio check` counts it.
"""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import NAMESPACE_URL, uuid5

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from wavebreak.errors import ClaimError
from wavebreak.ssrf_guard import Target
from wavebreak_cases.claims.config import UploadLimits

Truncation = Literal["length", "time", "disconnect"]
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Exchange:
    """A request and its response.

    `request` and `response` are the bytes of the wire; `body` is the response's content without
    chunks and compression; `cut` says why the response is not whole; `tls` what the connection was
    (protocol, cipher, SHA-256 of the certificate), empty for http; `at` when it began (RFC 3339).
    """

    url: str
    at: str
    address: str
    request: bytes
    response: bytes
    status: int
    headers: Message
    body: bytes
    cut: Truncation | None = None
    tls: str = ""

    @property
    def media(self) -> str:
        """The media type that the server names, in lower case."""
        return self.headers.get_content_type() if "content-type" in self.headers else ""

    @property
    def location(self) -> str | None:
        """Where a redirect points, as it was sent."""
        return self.headers.get("location") if self.status in (301, 302, 303, 307, 308) else None


class _Wire(io.RawIOBase):
    """A socket's bytes, copied while they are read, until a deadline or a size is reached."""

    def __init__(self, connection: socket.socket, until: float, most: int) -> None:
        self.copy = bytearray()
        self.cut: Truncation | None = None
        self._connection, self._until, self._most = connection, until, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left, room = self._until - time.monotonic(), self._most - len(self.copy)
        if left <= 0 or room <= 0:
            self.cut = "time" if left <= 0 else "length"
            return 0
        self._connection.settimeout(left)
        try:
            got = self._connection.recv_into(buffer, min(len(buffer), room))
        except TimeoutError:
            self.cut = "time"
            return 0
        except OSError:
            self.cut = "disconnect"
            return 0
        self.copy += bytes(buffer[:got])
        return got

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _PIECE)


def fetch_exchange(
    url: str,
    target: Target,
    *,
    at: str,
    until: float,
    most: int,
    agent: str,
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> Exchange:
    """GET a URL from the address of `target`; `until` is in time.monotonic's seconds.

    At most `most` bytes come over the wire, and as many again are unpacked. Raises ClaimError
    where no response is there at all.
    """
    request = _request(url, agent)
    try:
        with _connect(target, until, context) as connection:
            tls = _describe_tls(connection)
            connection.settimeout(max(0.001, until - time.monotonic()))
            connection.sendall(request)
            wire = _Wire(connection, until, most)
            answer = http.client.HTTPResponse(wire)  # type: ignore[arg-type]
            answer.begin()
            raw, short = _read_body(answer)
    except (OSError, http.client.HTTPException) as error:
        raise ClaimError(f"no response from {target.host} ({type(error).__name__})") from None
    body, packed = _decompress(raw, answer.headers.get("content-encoding", ""), most)
    cut = wire.cut or ("disconnect" if short else None) or packed
    return Exchange(
        url,
        at,
        target.address,
        request,
        bytes(wire.copy),
        answer.status,
        answer.headers,
        body,
        cut,
        tls,
    )


def normalize_url(url: str) -> str:
    """Write a URL in ASCII and without its fragment, as it goes over the wire.

    >>> normalize_url("HTTP://SHOP.example/é b?q=ש#top")
    'http://shop.example/%C3%A9%20b?q=%D7%A9'
    """
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return url
    host = f"[{host}]" if ":" in host else host
    path, query = quote(parts.path or "/", safe=_KEPT), quote(parts.query, safe=_KEPT)
    return urlunsplit((parts.scheme, host + port, path, query, ""))


_KEPT = "/%?=&;:@!$'()*+,~#[]"


def _request(url: str, agent: str) -> bytes:
    parts = urlsplit(normalize_url(url))
    lines = (
        f"GET {urlunsplit(('', '', parts.path, parts.query, ''))} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"User-Agent: {agent}",
        "Accept: */*",
        "Accept-Encoding: gzip",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii", "ignore") + b"\r\n"


def _connect(target: Target, until: float, context: Callable[[], ssl.SSLContext]) -> socket.socket:
    left = max(0.001, until - time.monotonic())
    plain = socket.create_connection((target.address, target.port), timeout=left)
    if target.scheme == "http":
        return plain
    try:
        return context().wrap_socket(plain, server_hostname=target.host)
    except BaseException:
        plain.close()
        raise


def _describe_tls(connection: socket.socket) -> str:
    if not isinstance(connection, ssl.SSLSocket):
        return ""
    certificate = sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
    cipher = (connection.cipher() or ("", "", 0))[0]
    return f"{connection.version()} {cipher} certificate-sha256={certificate}"


def _read_body(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """Read a body as far as it comes; also says whether it is shorter than it was said to be."""
    pieces = bytearray()
    try:
        while piece := answer.read(_PIECE):
            pieces += piece
    except http.client.IncompleteRead as short:
        return bytes(pieces + short.partial), True
    except (http.client.HTTPException, OSError, ValueError):
        return bytes(pieces), True
    return bytes(pieces), bool(answer.length)


def _decompress(raw: bytes, encoding: str, most: int) -> tuple[bytes, Truncation | None]:
    """Undo the content encoding; what unpacks to more than `most` bytes is cut there."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return raw, None
    # 47: a gzip or zlib header, whichever is there.
    unpacking = zlib.decompressobj(47)
    try:
        body = unpacking.decompress(raw, most)
    except zlib.error:
        return b"", "disconnect"
    return body, "length" if unpacking.unconsumed_tail else None


_FIELDS, _HTTP = "application/warc-fields", "application/http; msgtype="
_SPEC = "https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"


@dataclass(frozen=True)
class ArchivedPage:
    """A response in a WARC: its URL, capture date, status, media type and unpacked content."""

    url: str
    date: str
    status: int
    media: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def encode_warc(exchanges: Sequence[Exchange], about: dict[str, str], at: str) -> bytes:
    """Write a gzipped WARC, one member a record. `about` are the fields of its warcinfo.

    The same exchanges give the same bytes: record ids are derived from what they name.
    """
    lines = about | {"format": "WARC File Format 1.1", "conformsTo": _SPEC}
    block = "".join(f"{name}: {_single_line(value)}\r\n" for name, value in lines.items()).encode()
    named = _record_id("warcinfo", at, block)
    records = [_record("warcinfo", named, at, block, _FIELDS)]
    for number, exchange in enumerate(exchanges):
        name = f"{number} {exchange.url}"
        response = _record_id("response", name, exchange.response)
        uri = {"WARC-Target-URI": exchange.url, "WARC-Warcinfo-ID": named}
        there = uri | {"WARC-IP-Address": exchange.address}
        came = there | {"WARC-Payload-Digest": _digest(exchange.response.partition(b"\r\n\r\n")[2])}
        if exchange.cut:
            came["WARC-Truncated"] = exchange.cut
        beside = there | {"WARC-Concurrent-To": response}
        records += [
            _record("response", response, exchange.at, exchange.response, _HTTP + "response", came),
            _record(
                "request",
                _record_id("request", name, exchange.request),
                exchange.at,
                exchange.request,
                _HTTP + "request",
                beside,
            ),
        ]
        if exchange.tls:
            tls = f"tls: {exchange.tls}\r\n".encode()
            beside = uri | {"WARC-Concurrent-To": response}
            identity = _record_id("metadata", name, tls)
            records.append(_record("metadata", identity, exchange.at, tls, _FIELDS, beside))
    return b"".join(gzip.compress(record, mtime=0) for record in records)


_DAMAGED = (ArchiveLoadFailed, ValueError, EOFError, OSError, AttributeError, TypeError)
"""What warcio raises; the last two for a record without a target, and a digest without a name."""


def read_warc(raw: bytes, bounds: UploadLimits) -> Iterator[ArchivedPage]:
    """Read the responses and resources of a WARC, checking every digest that it holds.

    Raises ClaimError if it is damaged, a digest differs, or it holds more than `bounds` lets.
    """
    count = size = shown = 0
    try:
        archive: Any = ArchiveIterator(io.BytesIO(raw), check_digests="raise")
        for record in archive:
            count += 1
            body = _read_record(record, bounds.unpacked - size)
            size += len(body)
            if count > bounds.members:
                raise ClaimError(f"the WARC holds more than {bounds.members:,} records")
            if record.rec_type in ("response", "resource"):
                shown += 1
                yield _page(record, body)
    except _DAMAGED as error:
        raise ClaimError(f"the WARC is damaged: {error}") from None
    if not shown:
        raise ClaimError("the WARC holds no response", fix="give a WARC file, plain or gzipped")


def _page(record: ArcWarcRecord, body: bytes) -> ArchivedPage:
    http = record.http_headers
    media = http.get_header("Content-Type", "") if http else record.content_type
    code = http.get_statuscode() if http else "200"
    return ArchivedPage(
        record.rec_headers.get_header("WARC-Target-URI", ""),
        record.rec_headers.get_header("WARC-Date", ""),
        int(code) if code.isdigit() else 0,
        (media or "").partition(";")[0].strip().lower(),
        body,
        tuple(http.headers) if http else (),
    )


def _read_record(record: ArcWarcRecord, most: int) -> bytes:
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
        "WARC-Type": kind,
        "WARC-Record-ID": identity,
        "WARC-Date": at,
        **(more or {}),
        "WARC-Block-Digest": _digest(block),
        "Content-Type": media,
        "Content-Length": str(len(block)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.1\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def _digest(block: bytes) -> str:
    return f"sha256:{sha256(block).hexdigest()}"


def _record_id(kind: str, name: str, block: bytes) -> str:
    return f"<urn:uuid:{uuid5(NAMESPACE_URL, f'{kind} {name} {sha256(block).hexdigest()}')}>"


def _single_line(value: str) -> str:
    return " ".join(value.split())
