"""ejabberd's mapping against the golden file, by the Erlang that ejabberd runs on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from integrations.harness.ejabberd import compiled, environment, erlang

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "xmpp" / "golden.jsonl"
ELEMENTS = GOLDEN.with_name("elements.jsonl")


def _escript(script: str, *arguments: Path) -> str:
    done = subprocess.run(
        erlang("-noinput", "-boot", "start_clean", "-run", "escript", "start", "-extra",
               str(HERE / script), str(compiled()), *map(str, arguments)),
        capture_output=True, text=True, check=False, env=environment(), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mapping_of_golden_stanzas_gives_their_events() -> None:
    output = _escript("mapping.escript", GOLDEN, ELEMENTS)
    assert f"{len(GOLDEN.read_text().splitlines())} cases, 0 steps differ" in output
    assert f"{len(ELEMENTS.read_text().splitlines())} elements, 0 differ" in output


def test_list_that_grows_at_midnight_is_paused() -> None:
    assert "6 cases, 0 fail" in _escript("lists.escript")
