"""The platform's rules are compiled before the service is ready, and not within a transaction."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wavebreak_business.service import hooks
from wavebreak_server.service_plugins import warm_plugins

_SCRIPT = """
import asyncio, sys
from pathlib import Path
from django.db import connection
from numba.core import event
from support import business_service as business, service_harness
from wavebreak import engine
from wavebreak_server.service_plugins import warm_plugins

class Listener(event.Listener):
    # Held while code is compiled, and while it is loaded from the cache.
    def on_start(self, event):
        found.append(connection.in_atomic_block)
    def on_end(self, event):
        pass

async def run(home):
    async with service_harness.running(home) as made:
        await business.register(made)
        outcomes = business.outcomes(await business.decide(made, business.sends("a", "b")))
        await business.say(made, business.word("w1", "a"))
        people = [f"p{n}" for n in range(100)]
        await business.decide(made, business.sends(*people, template="marketing"))
        await made.ask("GET", "/v1/business/shop")
        return outcomes

found = []
engine.warm()
if sys.argv[2] == "warm":
    warm_plugins()
event.register("numba:compiler_lock", Listener())
with service_harness.migrated("sqlite", Path(sys.argv[1])):
    print(asyncio.run(run(Path(sys.argv[1]))), sum(found))
"""


@pytest.mark.parametrize("warm", [True, False])
def test_no_code_is_compiled_or_loaded_in_a_transaction(tmp_path: Path, warm: bool) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path), "warm" if warm else "cold"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert shown.stdout.startswith("['accepted', 'accepted']"), shown.stderr
    count = int(shown.stdout.rsplit(maxsplit=1)[-1])
    assert (count == 0) == warm


def test_start_of_a_service_warms_its_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[str] = []
    monkeypatch.setattr(hooks, "warm", lambda: warmed.append("business"))
    warm_plugins()
    assert warmed == ["business"]
