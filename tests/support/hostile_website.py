"""A small web on the loopback, with all that a hostile or broken server does."""

from __future__ import annotations

import gzip
import time
from contextlib import AbstractContextManager
from http.server import ThreadingHTTPServer

from support.webhook_receiver import Answer, listening
from wavebreak_cases.claims.capture import CaptureEnvironment
from wavebreak_cases.claims.exhibits import Actor

AT = "2026-03-04T05:06:07Z"
ACTOR = Actor("Investigator A", "bench 1", "test of a capture", "mandate 12")

PAGE = """<!doctype html><html><head><meta charset=utf-8><title>Envio</title>
<link rel=stylesheet href=/style.css></head><body><h1>Disparo em massa · שליחה</h1>
<img src=/dot.png><p>80.000 mensagens por dia</p>
<script>fetch('/late').then(r => r.text()).then(t => { document.body.append(t) })</script>
</body></html>"""

LEAKS = """<html><body><h1>leaks</h1><img src=/dot.png>
<script>
setTimeout(() => fetch('/leak/fetch'), 10);
new WebSocket('ws://' + location.host + '/leak/socket');
navigator.sendBeacon('/leak/beacon', 'x');
new Image().src = 'http://127.0.0.1:' + location.port + '/leak/literal';
fetch('/leak/post', {method: 'POST', body: 'x'});
</script>
<a href=/leak/ping ping=/leak/ping id=a>x</a>
<link rel=prefetch href=/leak/prefetch><link rel=dns-prefetch href=//leak.example>
</body></html>"""

DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8"
    "cfc0000003010100c9fe92ef0000000049454e44ae426082"
)

PLAIN = {
    "/page": ("text/html", PAGE), "/leaks": ("text/html", LEAKS), "/late": ("text/plain", "late!"),
    "/style.css": ("text/css", "@import '/more.css'; h1 { color: #a00 }"),
    "/more.css": ("text/css", "body { background: url(/ground.png) }"),
    "/many": ("text/html", "".join(f"<img src=/dot.png?{n}>" for n in range(40))),
    "/inside": ("text/html", "<img src=http://private.example/secret.png><img src=/dot.png>"),
}  # fmt: skip


class Hostile(Answer):
    """Answers as its path says."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        self.server.hits.append(self.path)  # type: ignore[attr-defined]
        if path in PLAIN:
            media, text = PLAIN[path]
            self.whole(text.encode(), media)
        elif path.endswith(".png"):
            self.whole(DOT, "image/png")
        elif made := getattr(self, f"give_{path[1:]}", None):
            made()
        else:
            self.whole(b"nothing here", "text/plain", 404)

    def give_start(self) -> None:
        self.whole(b"moved", "text/plain", 302, Location="/middle")

    def give_middle(self) -> None:
        self.whole(b"", "text/plain", 301, Location="/page#top")

    def give_circle(self) -> None:
        self.whole(b"", "text/plain", 302, Location="/circle")

    def give_endless(self) -> None:
        number = int(self.path.partition("?")[2] or 0)
        self.whole(b"", "text/plain", 302, Location=f"/endless?{number + 1}")

    def give_inward(self) -> None:
        self.whole(b"", "text/plain", 302, Location="http://private.example/latest/meta")

    def give_to_a_file(self) -> None:
        self.whole(b"", "text/plain", 302, Location="file:///etc/passwd")

    def give_packed(self) -> None:
        self.whole(gzip.compress(PAGE.encode()), "text/html", Content_Encoding="gzip")

    def give_bomb(self) -> None:
        body = gzip.compress(b"<p>" + b"0" * 50_000_000, 1)
        self.whole(body, "text/html", Content_Encoding="gzip")

    def give_chunked(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = PAGE.encode()
        for start in range(0, len(body), 100):
            piece = body[start : start + 100]
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def give_slow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.trickle(b"<p>drop by drop")

    def trickle(self, piece: bytes) -> None:
        try:
            for _ in range(100):
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass
        self.close_connection = True

    def give_slow_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.trickle(b"X-Drop: y\r\n")

    def give_huge(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        try:
            for _ in range(2000):
                self.wfile.write(b"<p>" + b"x" * 10_000)
        except OSError:
            pass
        self.close_connection = True

    def give_short(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"<p>only this")
        self.close_connection = True

    def give_nonsense(self) -> None:
        self.wfile.write(b"\x00\x01 this is no HTTP\r\n\r\n")
        self.close_connection = True


class Web(ThreadingHTTPServer):
    """The server; `hits` are the paths that were asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hostile)
        self.hits: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what is tested."""

    def url(self, path: str, host: str = "shop.example") -> str:
        return f"http://{host}:{self.server_port}{path}"


def web() -> AbstractContextManager[Web]:
    """Serve until it is left."""
    return listening(Web())


def outside(allow_private: bool = True) -> CaptureEnvironment:
    """All names lead to the loopback, the time stands."""
    return CaptureEnvironment(lambda: AT, lambda host, port: ["127.0.0.1"], allow_private)
