"""A spammer among honest accounts, on a real Synapse with a real Wavebreak."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integrations.harness.how_to import blocks
from support.service_process import KEY, Server

from synapse_support.homeserver import Account, Homeserver, running

STRANGERS = 40
AGENTS = ("Element/1.11.2 (Linux)", "Fluffy/2.0", "Nheko/0.12", "SchildiChat/1.6", "Cinny/4.2")


@dataclass
class Reached:
    """What became of one stranger: whether the invitation and the message were sent."""

    invited: bool
    written: bool
    answer: dict[str, Any]


@dataclass
class SpamStory:
    """Strangers, friends and a spammer with one friend.

    Attributes:
        service: Wavebreak.
        server: The homeserver.
        seed: Of the addresses that accounts register from.
        addresses: From which they did.
    """

    service: Server
    server: Homeserver
    seed: int = 1
    strangers: list[Account] = field(default_factory=list)
    chats: list[tuple[Account, Account, str]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def settle(self, friends: int = 5) -> None:
        """Register everybody; friends and the spammer's friend write to each other."""
        self._random = random.Random(self.seed)
        self.strangers = [self._account(f"p{number}") for number in range(STRANGERS)]
        people = [self._account(f"h{number}") for number in range(2 * friends)]
        self.spare = [self._account(f"s{number}") for number in range(friends + 4)]
        self.friend, self.spammer = self._account("friend"), self._account("zed")
        pairs = [*zip(people[::2], people[1::2], strict=True), (self.friend, self.spammer)]
        for one, other in pairs:
            room = one.direct(other.id)
            assert other.join(room).status_code == 200
            for words in ("hey, how are you", "well", "shall we meet"):
                assert one.send(room, words).status_code == 200
                assert other.send(room, f"{words}, you?").status_code == 200
            self.chats.append((one, other, room))
        self.friends_room = self.chats.pop()[2]

    def _account(self, name: str) -> Account:
        parts = [self._random.choice((2, 5, 31, 46, 77, 81, 109, 151, 178, 188))]
        parts += [self._random.randrange(1, 250) for _ in range(3)]
        address = ".".join(map(str, parts))
        self.addresses.append(address)
        return self.server.account(name, address=address, agent=self._random.choice(AGENTS))

    def spam(
        self, gap_s: float, text: str = "Buy cheap coins now", *, until_refused: bool = False
    ) -> list[Reached]:
        """Have the spammer invite each stranger, and write to each, with a gap between."""
        found = []
        for stranger in self.strangers:
            started = time.monotonic()
            answer = self.spammer.create(stranger.id, is_direct=True)
            invited = answer.status_code == 200
            written = False
            if invited:
                answer = self.spammer.send(answer.json()["room_id"], text)
                written = answer.status_code == 200
            found.append(Reached(invited, written, answer.json()))
            if until_refused and not invited:
                break
            time.sleep(max(0.0, gap_s - (time.monotonic() - started)))
        return found

    def override(self, account: str, **change: Any) -> None:
        """Have a person decide about an account."""
        key = f"Bearer {self.service.first_key()}"
        body = json.dumps({"reason": "the story asks", **change}).encode()
        path = f"/v1/accounts/{account}/override"
        answer = self.service.post(body, path, authorization=key)
        assert answer.status == 200, answer.body

    def outcomes(self, accounts: list[str]) -> dict[str, int]:
        """Return how many of up to 1,000 accounts have each outcome."""
        key = f"Bearer {self.service.first_key()}"
        body = json.dumps({"accounts": accounts}).encode()
        answer = self.service.post(body, "/v1/states/query", authorization=key)
        assert answer.status == 200, answer.body
        return dict(Counter(state["outcome"] for state in answer.json()["states"]))

    def positions(self) -> int:
        """Return how many events the service's log has."""
        return int(self.service.rows("SELECT position FROM log_applied")[0][0])


def source_key(service: Server) -> str:
    """Make the API key by the guide's own command; returns it."""
    shown = blocks("protect-a-synapse", 1, "sh")[0].replace("/var/lib/wavebreak", str(service.home))
    command = shlex.split(shown.splitlines()[1])
    assert command[:3] == ["wavebreak", "key", "create"], command
    made = subprocess.run(
        [sys.executable, "-c", "from wavebreak.cli import main; main()", *command[1:]],
        capture_output=True, text=True, check=True, env=os.environ | {"WAVEBREAK_KEY": KEY},
    )  # fmt: skip
    found = re.search(r"wb_[0-9a-f]{8}_[0-9a-f]{64}", made.stdout.replace("\n", ""))
    assert found is not None, made.stderr
    return found[0]


def wait_for_declaration(service: Server, seconds: float = 120) -> None:
    """Approve what the module declares, and wait until the service answers again.

    Meanwhile it closes registrations, as it does whenever its engine does not answer.
    """
    key = f"Bearer {service.first_key()}"
    asked = json.dumps({"type": "account.registered", "account": "@probe:hs.test"}).encode()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sources = service.post(b"", "/v1/sources", method="GET", authorization=key).json()
        for source in sources["sources"]:
            if source["asked"]:
                body = {"at_ms": source["asked"]["at_ms"], "reason": "a test asks for it"}
                path = f"/v1/sources/{source['name']}/approval"
                service.post(json.dumps(body).encode(), path, authorization=key)
        answer = service.post(asked, "/v1/decide?mode=ask", authorization=key).json()
        if any(one["carries"] for one in sources["sources"]) and answer.get("allowed"):
            return
        time.sleep(0.2)
    raise AssertionError(f"the declaration is not in force: {service.said()}")


@contextmanager
def protected(
    home: Path,
    *options: str,
    extra: dict[str, Any] | None = None,
    skew_s: int = 0,
    **module: Any,
) -> Iterator[SpamStory]:
    """A Wavebreak that enforces, and a Synapse with the module and `extra` settings.

    The service's clock is `skew_s` ahead of the homeserver's.
    """
    (home / "wavebreak").mkdir(parents=True)
    service = Server(home / "wavebreak", ("--enforce", *options), keyed=True, skew_s=skew_s)
    with service.started():
        settings: dict[str, Any] = {
            "url": f"http://127.0.0.1:{service.port}",
            "key": source_key(service),
        }
        settings |= {"mode": "enforce", "timeout_ms": 2000} | module
        with running(home / "synapse", settings, extra=extra or {}) as server:
            wait_for_declaration(service)
            yield SpamStory(service, server)
