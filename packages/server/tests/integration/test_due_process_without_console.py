"""Appeals, statements and the pages for account holders need no console."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from support.service_harness import abuser
from support.service_process import Answered, Server

BECAUSE = "because a test asks for it"
APPEAL = "It was my wedding, and they are my guests."


def _ask(server: Server, method: str, path: str, body: Any = None) -> Answered:
    content = b"" if body is None else json.dumps(body).encode()
    key = f"Bearer {server.first_key()}"
    return server.post(content, path, method=method, authorization=key)


def _decision(server: Server, outcome: str, seconds: float = 60) -> str:
    """Return the id of the newest decision, once its outcome is this one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        told = _ask(server, "GET", "/v1/decisions").json()["decisions"]
        if told and told[-1]["decision"]["outcome"] == outcome:
            return str(told[-1]["decision"]["id"])
        time.sleep(0.05)
    raise AssertionError(f"no decision with the outcome {outcome}")


def test_service_without_a_console_takes_reads_and_answers_an_appeal(tmp_path: Path) -> None:
    with Server(tmp_path / "home", ("--no-console",), keyed=True).started() as server:
        assert _ask(server, "POST", "/v1/events", abuser(count=1)[:1]).status == 202
        override = "/v1/accounts/ann/override"
        # The holder of a challenged account is notified at once.
        challenged = {"verdict": "undetermined", "outcome": "challenge", "reason": BECAUSE}
        assert _ask(server, "POST", override, challenged).status == 200
        decision = _decision(server, "challenge")

        stated = _ask(server, "GET", f"/v1/decisions/{decision}/statement?language=en").json()
        at = f"http://localhost:{server.port}"
        assert stated["url"].startswith(f"{at}/notice/")
        # The service runs in shadow.
        assert stated["title"] == "Nothing is restricted on your account"
        page = _ask(server, "GET", stated["url"].removeprefix(at))
        assert (page.status, stated["title"] in page.body.decode()) == (200, True)
        assert "set-cookie" not in page.headers
        form = _ask(server, "GET", stated["url"].removeprefix(at).replace("/notice/", "/appeal/"))
        assert (form.status, b"<form" in form.body) == (200, True)

        asked = {"decision": decision, "statement": APPEAL, "reason": BECAUSE}
        opened = _ask(server, "POST", "/v1/appeals", asked)
        assert opened.status == 201, opened.body
        appeal = opened.json()
        assert (appeal["state"], appeal["account"]) == ("open", "ann")
        assert _ask(server, "GET", "/v1/appeals").json()["appeals"] == [appeal]
        assert _ask(server, "GET", f"/v1/appeals/{appeal['id']}").json() == appeal

        lifted = {"verdict": "benign", "reason": BECAUSE}
        assert _ask(server, "POST", override, lifted).status == 200
        _decision(server, "allow")
        assert _ask(server, "GET", "/v1/accounts/ann").json()["outcome"] == "allow"
        erased = _ask(server, "DELETE", "/v1/accounts/ann/personal?reason=asked-by-ann")
        assert erased.status == 200
        assert _ask(server, "GET", stated["url"].removeprefix(at)).status == 410


def test_service_without_a_console_has_no_page_of_it_and_no_sign_in(tmp_path: Path) -> None:
    with Server(tmp_path / "home", ("--no-console",), keyed=True).started() as server:
        for path in ("/console/", "/console/queue", "/console/user/login/"):
            answer = _ask(server, "GET", path)
            assert (answer.status, answer.json()["detail"]) == (404, "no operation at this path")
        assert _ask(server, "GET", "/help/en").status == 200
        assert _ask(server, "GET", "/notice/forged").status == 404
