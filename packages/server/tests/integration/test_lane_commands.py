"""`wavebreak lane`: what the next start takes, what a running service refuses, what is listed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from support import service_harness
from support.service_harness import SECRET, Running, now_ms, running
from wavebreak.cli.app import app
from wavebreak.errors import UsageError


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with service_harness.migrated("sqlite", tmp_path):
        yield tmp_path


def _run(home: Path, test: Any) -> None:
    async def whole() -> None:
        async with running(home) as made:
            await test(made)

    asyncio.run(whole())


def _command(home: Path, *words: str) -> Result:
    key = home.parent / "key"
    key.write_text(SECRET.hex())
    key.chmod(0o600)
    return CliRunner().invoke(app, ["lane", *words, "--key", str(key), "--json"])


def _listed(home: Path) -> dict[str, str]:
    done = _command(home, "list", str(home))
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert [each["strangers_1h"] for each in told["floors"]] == [60, 120, 300, 200]
    return {each["account"]: f"{each['lane']} {each['by']}" for each in told["accounts"]}


async def _register(made: Running) -> None:
    await made.send([{"type": "account.registered", "account": "ann", "ts": now_ms()}])


def test_stopped_service_takes_a_declaration_at_its_next_start(home: Path) -> None:
    _run(home, _register)
    assert _listed(home) == {}
    done = _command(home, "declare", str(home), "ann", "clinic", "--reason", "licence")
    assert done.exit_code == 0, done.output
    assert _listed(home) == {"ann": "clinic command line"}
    twice = _command(home, "declare", str(home), "ann", "clinic", "--reason", "licence")
    assert isinstance(twice.exception, UsageError)

    async def test(made: Running) -> None:
        await made.wait_until_applied()
        assert (await made.ask("GET", "/v1/accounts/ann")).json()["lane"] == "clinic"

    _run(home, test)
    # From the snapshot that the stop wrote, too.
    assert _listed(home) == {"ann": "clinic command line"}
    _command(home, "declare", str(home), "ann", "none", "--reason", "closed")
    assert _listed(home) == {}


@pytest.mark.parametrize(
    ("account", "lane", "what"),
    [("ann", "vip", "no such lane"), ("+972541234567", "clinic", "phone"),
     ("ann", "none", "declared so already")],
)  # fmt: skip
def test_declaration_that_is_none_is_refused(
    home: Path, account: str, lane: str, what: str
) -> None:
    _run(home, _register)
    done = _command(home, "declare", str(home), account, lane, "--reason", "licence")
    assert isinstance(done.exception, UsageError)
    assert what in done.exception.what
