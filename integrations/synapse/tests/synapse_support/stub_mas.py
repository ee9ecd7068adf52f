"""As much of the Matrix Authentication Service as a homeserver asks: whose a token is."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx

from synapse_support.homeserver import Account, Homeserver

SECRET = "secret-of-homeserver-and-mas"
SCOPE = "urn:matrix:client:api:* urn:matrix:client:device:"


class StubMas:
    """Says of the token `token:<localpart>` that it is of this account's device `D<localpart>`."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                (token,) = parse_qs(self.rfile.read(length).decode())["token"]
                name = token.partition(":")[2]
                answer: dict[str, Any] = {"active": False}
                if self.headers["authorization"] == f"Bearer {SECRET}" and name:
                    answer = {"active": True, "username": name, "scope": f"{SCOPE}D{name}"}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def settings(self) -> dict[str, Any]:
        """What a homeserver has to be set to use it."""
        endpoint = f"http://127.0.0.1:{self._server.server_address[1]}/"
        return {
            "matrix_authentication_service": {
                "enabled": True,
                "endpoint": endpoint,
                "secret": SECRET,
            },
            "enable_registration": False,
            "password_config": {"enabled": False},
        }

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def call(server: Homeserver, path: str, body: dict[str, Any]) -> httpx.Response:
    """Call a homeserver's `/_synapse/mas/` as the authentication service does."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    return httpx.post(f"{server.url}/_synapse/mas/{path}", json=body, headers=headers, timeout=60)


def provision(server: Homeserver, name: str, address: str) -> Account:
    """Make an account and its device, and let it act from an address."""
    answer = call(server, "provision_user", {"localpart": name})
    assert answer.status_code == 201, answer.text
    answer = call(server, "upsert_device", {"localpart": name, "device_id": f"D{name}"})
    assert answer.status_code in (200, 201), answer.text
    account = Account(server, f"@{name}:{server.name}", f"token:{name}")
    account.http.headers["X-Forwarded-For"] = address
    assert account.call("GET", "/account/whoami").json()["user_id"] == account.id
    return account
