"""The how-to, followed to the letter: installed by pip, configured, and seen to work."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from integrations.harness.how_to import ROOT, blocks, moved, run, wrapper
from support.external_servers import free_port
from support.service_process import KEY, LEDGER_KEY

from synapse_support.homeserver import PYTHON, Homeserver, started
from synapse_support.stub_service import StubService

PAGE = "protect-a-synapse"
URL = "http://127.0.0.1:8480"
KEYS = {"WAVEBREAK_KEY": KEY, "WAVEBREAK_LEDGER_KEY": LEDGER_KEY}
"""Else the service makes files of them in the directory of whoever runs the tests."""


def environment(home: Path) -> Path:
    """Make the environment that the page calls /opt/synapse, with Synapse; return its Python."""
    place = home / "opt" / "synapse"
    subprocess.run([str(PYTHON), "-m", "venv", str(place)], check=True)
    [packages] = place.glob("lib/python3*/site-packages")
    [synapse] = PYTHON.parents[1].glob("lib/python3*/site-packages")
    (packages / "synapse.pth").write_text(f"{synapse}\n")
    return place / "bin" / "python"


def install(home: Path, key: str = "wb_1") -> None:
    """Run the page's commands that put the key there, and the packages."""
    _, put_key = blocks(PAGE, 1, "sh")
    [packages] = blocks(PAGE, 2, "sh")
    run(moved(put_key, home).replace("-o synapse ", ""), home, given=f"{key}\n")
    run_pip(packages, home)


def run_pip(commands: str, home: Path) -> None:
    """Run commands; what builds the packages is the development environment's."""
    # pip reads the variable the other way round.
    run(
        moved(commands, home), home,
        PYTHONPATH=sysconfig.get_paths()["purelib"], PIP_NO_BUILD_ISOLATION="0",
    )  # fmt: skip


def test_how_to_leaves_a_homeserver_that_is_protected(tmp_path: Path, stub: StubService) -> None:
    python = environment(tmp_path)
    install(tmp_path)
    [shadow] = blocks(PAGE, 2, "yaml")
    enforcing, notices = blocks(PAGE, 4, "yaml")
    [check] = blocks(PAGE, 3, "sh")
    for text, extra in ((shadow, {}), (shadow + enforcing, yaml.safe_load(notices))):
        [module] = yaml.safe_load(moved(text, tmp_path).replace(URL, stub.url))["modules"]
        assert module["module"] == "wavebreak_synapse.Module"
        home = tmp_path / module["config"].get("mode", "shadow")
        server = Homeserver(home, module["config"], extra=extra, python=python)
        server.start()
        try:
            shown = check.replace(":8008/", f":{server.port}/")
            end = time.monotonic() + 30
            while (said := json.loads(run(shown, tmp_path))) != {"status": "ok"}:
                assert time.monotonic() < end, said
                time.sleep(0.2)
        finally:
            server.stop()
    assert [each["can"] for each in stub.sources] == [[], ["refuse", "suspend", "lift", "notify"]]


class Service:
    """Wavebreak as the page starts it; its port alone differs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.programs = home / "bin"
        program = "from wavebreak.cli import main; main()"
        wrapper(self.programs, "wavebreak", f"exec {sys.executable} -c '{program}' \"$@\"")
        serve, self._create = blocks(PAGE, 1, "sh")[0].splitlines()
        self._serve = moved(serve, home)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, more: str = "") -> None:
        """Start it, and wait until it is ready."""
        path = f"{self.programs}:{os.environ['PATH']}"
        with (self.home / "service.out").open("ab") as out:
            self._process = subprocess.Popen(
                f"exec {self._serve} --port {self.port} {more}", shell=True, cwd=ROOT,
                stdout=out, stderr=out, env=os.environ | KEYS | {"PATH": path},
            )  # fmt: skip
        end = time.monotonic() + 300
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200:
                    return
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.2)

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def said(self) -> str:
        """What it wrote."""
        return (self.home / "service.out").read_text()

    def create_key(self) -> str:
        """Make the key of the page; return it."""
        return _key_in(run(moved(self._create, self.home), self.programs, **KEYS))

    def ban(self, account: str) -> None:
        """Have a person ban an account."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/v1/accounts/{account}/override",
            json={"verdict": "abusive", "reason": "the test asks"},
            headers={"Authorization": f"Bearer {_key_in(self.said())}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text


def _key_in(text: str) -> str:
    found = re.search(r"wb_[0-9a-f]{8}_[0-9a-f]{64}", text.replace("\n", ""))
    assert found is not None, text
    return found[0]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "var" / "lib").mkdir(parents=True)
    made = Service(tmp_path)
    yield made
    made.stop()


def until_well(server: Homeserver) -> None:
    """Wait until the page's check shows that it works."""
    shown = blocks(PAGE, 3, "sh")[0].replace(":8008/", f":{server.port}/")
    end = time.monotonic() + 120
    while (said := json.loads(run(shown, server.home))) != {"status": "ok"}:
        assert time.monotonic() < end, said
        time.sleep(0.5)


def configured(server: Homeserver, service: Service, text: str) -> dict[str, Any]:
    """Return what the page writes below `modules`, with this test's port."""
    url = f"http://127.0.0.1:{service.port}"
    home = server.home.parents[1]
    [module] = yaml.safe_load(moved(text, home).replace(URL, url))["modules"]
    settings: dict[str, Any] = module["config"]
    return settings


@pytest.mark.timeout(1200)
def test_how_to_stops_a_spammer_and_undoes_itself(tmp_path: Path, service: Service) -> None:
    python = environment(tmp_path)
    service.start()
    install(tmp_path, service.create_key())
    [shadow] = blocks(PAGE, 2, "yaml")
    enforcing, notices = blocks(PAGE, 4, "yaml")
    extra = yaml.safe_load(notices)
    server = Homeserver(tmp_path / "etc" / "synapse", None, extra=extra, python=python)
    server.module = configured(server, service, shadow)
    with started(server):
        until_well(server)
        server.stop()
        service.stop()
        service.start("--enforce")
        server.module = configured(server, service, shadow + enforcing)
        server.start()
        until_well(server)
        strangers = [server.account(f"p{number}") for number in range(20)]
        spammer, friend = server.account("spammer"), server.account("friend")
        tried = [spammer.create(each.id, is_direct=True) for each in strangers]
        reached = sum(answer.status_code == 200 for answer in tried)
        print(f"{reached} of {len(strangers)} reached")
        assert reached <= 15
        assert tried[-1].json()["errcode"] == "M_FORBIDDEN"

        server.stop()
        [upgrade] = blocks(PAGE, 6, "sh")
        run_pip(upgrade, tmp_path)
        server.start()
        until_well(server)
        assert spammer.create(strangers[-1].id, is_direct=True).status_code == 403
        service.ban(spammer.id)
        end = time.monotonic() + 30
        suspended = "SELECT name FROM users WHERE suspended"
        while server.rows(suspended) != [(spammer.id,)]:
            assert time.monotonic() < end
            time.sleep(0.2)

        server.stop()
        undo, uninstall = blocks(PAGE, 7, "sh")
        said = run(moved(undo, tmp_path), tmp_path, PYTHONPATH="")
        assert re.fullmatch(r"1 accounts released, \d+ tables deleted\n", said), said
        left = "SELECT name FROM sqlite_master WHERE name LIKE 'wavebreak%'"
        assert server.rows(left) == server.rows(suspended) == []
        run(moved(uninstall, tmp_path), tmp_path, PYTHONPATH="")
        assert not (tmp_path / "etc/synapse/wavebreak.key").exists()
        server.module = None
        server.start()
        assert spammer.create(friend.id, is_direct=True).status_code == 200
