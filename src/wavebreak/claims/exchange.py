"""One HTTP exchange, kept byte for byte as it went over the wire.

The connection goes to the address that `reaching` judged, the certificate is checked against the
name. What came is kept as it came (chunked, compressed), and read beside that.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from wavebreak.errors import ClaimError
from wavebreak.reaching import Target

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


def exchange(
    url: str, target: Target, *, at: str, until: float, most: int, agent: str,
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> Exchange:  # fmt: skip
    """GET a URL from the address of `target`; `until` is in time.monotonic's seconds.

    At most `most` bytes come over the wire, and as many again are unpacked. Raises ClaimError
    where no response is there at all.
    """
    request = _request(url, agent)
    try:
        with _connect(target, until, context) as connection:
            tls = _described(connection)
            connection.settimeout(max(0.001, until - time.monotonic()))
            connection.sendall(request)
            wire = _Wire(connection, until, most)
            answer = http.client.HTTPResponse(wire)  # type: ignore[arg-type]
            answer.begin()
            raw, short = _all_of(answer)
    except (OSError, http.client.HTTPException) as error:
        raise ClaimError(f"no response from {target.host} ({type(error).__name__})") from None
    body, packed = _unpacked(raw, answer.headers.get("content-encoding", ""), most)
    cut = wire.cut or ("disconnect" if short else None) or packed
    return Exchange(
        url, at, target.address, request, bytes(wire.copy), answer.status, answer.headers, body,
        cut, tls,
    )  # fmt: skip


def plain(url: str) -> str:
    """Write a URL in ASCII and without its fragment, as it goes over the wire.

    >>> plain("HTTP://SHOP.example/é b?q=ש#top")
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
    parts = urlsplit(plain(url))
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


def _described(connection: socket.socket) -> str:
    if not isinstance(connection, ssl.SSLSocket):
        return ""
    certificate = sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
    cipher = (connection.cipher() or ("", "", 0))[0]
    return f"{connection.version()} {cipher} certificate-sha256={certificate}"


def _all_of(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
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


def _unpacked(raw: bytes, encoding: str, most: int) -> tuple[bytes, Truncation | None]:
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
