"""The HTTP front under attack: what it refuses before any app is asked, and whom it lets in."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.service_process import Server, serving

PART = b"x" * 65_536
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
LABELS = b"POST /v1/labels HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = ("--header-timeout", "1", "--body-timeout", "1.5", "--connections", "12")
    home = tmp_path_factory.mktemp("front") / "home"
    with serving(home, *limits, "--no-console", keyed=True) as running:
        yield running


def opened(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def answered(connection: socket.socket, enough: int = 1 << 20) -> bytes:
    """What the server sends until it closes, or at least `enough` bytes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while len(received) < enough and (part := connection.recv(65_536)):
            received += part
    return received


def asked(server: Server, *parts: bytes) -> bytes:
    """The start of the answer to parts of a request."""
    with opened(server) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        return answered(connection, 12)


def bearer(server: Server) -> bytes:
    return f"Authorization: Bearer {server.first_key()}\r\n".encode()


def resident(server: Server) -> int:
    """Mebibytes of the server's process."""
    assert server._process is not None
    status = Path(f"/proc/{server._process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@pytest.mark.parametrize(
    "start",
    [
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: ",
        b"GET /healthz?",
        HEAD + CHUNKED + b"2\r\n[]\r\n0\r\nX-Long: ",
        HEAD + CHUNKED + b"2;",
        b"\r\n",
    ],
    ids=["header", "url", "trailer", "chunk extension", "nothing"],
)
def test_endless_head_is_refused_without_being_held(server: Server, start: bytes) -> None:
    before = resident(server)
    filler = PART if start.strip() else b"\r\n" * 32_768
    with opened(server) as connection:
        sent = 0
        with contextlib.suppress(ConnectionError):
            connection.sendall(start)
            for _ in range(1600):
                connection.sendall(filler)
                sent += len(filler)
        first = answered(connection, 12)
        assert resident(server) - before < 40
    assert sent < 100 << 20 or first[9:12] in (b"431", b"400", b"408", b"401")


def test_head_of_the_longest_size_is_taken(server: Server) -> None:
    limit = 16 << 10
    for size, status in ((limit, b"200"), (limit + 1, b"431")):
        fill = size - len(HEALTH) - len(b"X: \r\n\r\n")
        assert asked(server, HEALTH + b"X: " + b"a" * fill + b"\r\n\r\n")[9:12] == status


def test_second_head_in_one_packet_has_the_same_limit(server: Server) -> None:
    first, second = HEALTH + b"\r\n", HEALTH + b"X: " + b"a" * 17_000 + b"\r\n\r\n"
    with opened(server) as connection:
        connection.sendall(first + second)
        received = answered(connection)
    assert received.count(b"HTTP/1.1 ") == 2
    assert received.index(b"HTTP/1.1 200") < received.index(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    ("part", "status"),
    [(b"GET /healthz HTTP/1.1\r\nHost", b"408"), (b"", b""), (b"\r\n", b"408")],
    ids=["half a head", "nothing", "blank"],
)
def test_late_head_ends_the_connection(server: Server, part: bytes, status: bytes) -> None:
    with opened(server) as connection:
        connection.sendall(part)
        assert answered(connection)[9:12] == status


@pytest.mark.parametrize("path", [HEAD, LABELS])
def test_late_body_is_answered_408_and_closed(server: Server, path: bytes) -> None:
    with opened(server) as connection:
        connection.sendall(path + bearer(server) + b"Content-Length: 50000\r\n\r\n" + b" " * 900)
        received = answered(connection)
    assert received.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in received


@pytest.mark.parametrize("path", [HEAD, LABELS])
def test_key_is_checked_before_the_body_arrives(server: Server, path: bytes) -> None:
    assert asked(server, path + b"Content-Length: 1048576\r\n\r\n")[9:12] == b"401"


@pytest.mark.parametrize("path", [HEAD, LABELS])
def test_key_in_a_trailer_is_no_key(server: Server, path: bytes) -> None:
    request = path + CHUNKED + b"2\r\n[]\r\n0\r\n" + bearer(server) + b"\r\n"
    assert asked(server, request)[9:12] == b"401"


def test_trailer_replaces_no_header(server: Server) -> None:
    body = b"2\r\n[]\r\n0\r\nAuthorization: Bearer wb_0_0\r\nContent-Type: text/x\r\n\r\n"
    assert asked(server, HEAD + bearer(server) + CHUNKED + body)[9:12] == b"202"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        (HEALTH + b"Host: b\r\n\r\n", b"400"),
        (HEALTH + b"\r\n", b"200"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", b"400"),
        (b"\x16\x03\x01", b"400"),
    ],
)
def test_request_needs_one_host_and_valid_http(
    server: Server, request_: bytes, status: bytes
) -> None:
    assert asked(server, request_)[9:12] == status


def test_half_open_connections_keep_nobody_out(server: Server) -> None:
    held = []
    try:
        for _ in range(40):
            held.append(opened(server))
            held[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost")
        for _ in range(5):
            assert asked(server, HEALTH + b"\r\n")[9:12] == b"200"
    finally:
        for connection in held:
            connection.close()


def test_connection_is_kept_for_further_requests(server: Server) -> None:
    with opened(server) as connection:
        for _ in range(3):
            connection.sendall(HEALTH + b"\r\n")
            assert answered(connection, 12).startswith(b"HTTP/1.1 200")
        connection.sendall((HEALTH + b"\r\n") * 10 + HEALTH + b"Connection: close\r\n\r\n")
        assert answered(connection).count(b"HTTP/1.1 200") == 11


def test_too_many_pipelined_requests_are_refused(server: Server) -> None:
    with opened(server) as connection:
        connection.sendall((HEALTH + b"\r\n") * 2000)
        received = answered(connection)
    assert received.count(b"HTTP/1.1 200") < 100
    assert received.count(b"HTTP/1.1 400") == 1


def test_large_bodies_follow_each_other_on_one_connection(server: Server) -> None:
    """The end of a body is no part of the next head, in size or in time."""
    body = b"[" + b" " * 300_000 + b"]"
    head = HEAD + bearer(server) + b"Content-Length: %d\r\n\r\n" % len(body)
    with opened(server) as connection:
        for _ in range(3):
            connection.sendall(head)
            for at in range(0, len(body), 70_000):
                connection.sendall(body[at : at + 70_000])
            assert answered(connection, 12).startswith(b"HTTP/1.1 202")
            time.sleep(1.3)  # over the server's limit for a head that has begun
        # The next head begins in the packet that ends a body.
        connection.sendall(head + body + HEALTH[:20])
        assert answered(connection, 12).startswith(b"HTTP/1.1 202")
        connection.sendall(HEALTH[20:] + b"X-Long: " + b"x" * 10_000 + b"\r\n\r\n")
        assert answered(connection, 12).startswith(b"HTTP/1.1 200")
        connection.sendall(head + body + HEALTH + b"X-Long: " + b"x" * 10_000)
        assert answered(connection, 12).startswith(b"HTTP/1.1 202")
        connection.sendall(b"x" * 20_000)
        assert answered(connection, 12).startswith(b"HTTP/1.1 431")
