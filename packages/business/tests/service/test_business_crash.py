"""A service that is killed: what it acknowledged is there, once, after its next start."""

from __future__ import annotations

import json
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

from support.service_process import Server

BECAUSE = "because a test asks for it"


def ask(server: Server, path: str, body: Any = None, method: str = "POST") -> Any:
    key = f"Bearer {server.first_key()}"
    content = b"" if body is None else json.dumps(body).encode()
    answer = server.post(content, f"/v1/business/{path}", method=method, authorization=key)
    assert answer.status == 200, answer.body
    return answer.json()


def test_acknowledged_decisions_survive_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    server = Server(home, keyed=True).start()
    number = {"number": "n1", "display_name": "Shop", "throughput": "upgraded"}
    portfolio = {"legal_name": "Shop Ltd", "numbers": [number], "limit": -1, "paced": False}
    template = {"category": "utility", "language": "he", "status": "approved"}
    ask(server, "shop", portfolio | {"reason": BECAUSE}, "PUT")
    ask(server, "shop/templates/t", template | {"reason": BECAUSE}, "PUT")
    acknowledged: dict[int, Any] = {}

    def question(n: int) -> dict[str, Any]:
        sends = [
            {"id": f"{n}-{k}", "number": "n1", "account": f"p{n}-{k}", "template": "t"}
            for k in range(10)
        ]
        return {"portfolio": "shop", "sends": sends}

    def work() -> None:
        for n in range(1_000_000):
            try:
                acknowledged[n] = ask(server, "decide", question(n))
            except (OSError, HTTPException):
                return

    asking = threading.Thread(target=work)
    asking.start()
    end = time.monotonic() + 120
    while len(acknowledged) < 20 and time.monotonic() < end:
        time.sleep(0.01)
    server.kill()
    asking.join()
    known = dict(acknowledged)
    server.start()
    try:
        used = ask(server, "shop", method="GET")["limit"]["used"]
        assert len(known) * 10 <= used <= (len(known) + 1) * 10
        for n, answer in known.items():
            assert ask(server, "decide", question(n)) == answer
        assert ask(server, "shop", method="GET")["limit"]["used"] == used
        more = ask(server, "decide", question(10**7))
        assert ask(server, "shop", method="GET")["limit"]["used"] == used + 10
        assert all(each["allowed"] for each in more["answers"])
    finally:
        server.stop()
