"""ejabberd's mapping against the golden file, by the Erlang that ejabberd runs on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from integrations.harness.ejabberd import compiled, environment, erlang

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "xmpp" / "golden.jsonl"
ELEMENTS = GOLDEN.with_name("elements.jsonl")


def test_mapping_of_golden_stanzas_gives_their_events() -> None:
    beams = compiled()
    script = HERE / "mapping.escript"
    done = subprocess.run(
        erlang("-noinput", "-boot", "start_clean", "-run", "escript", "start", "-extra",
               str(script), str(beams), str(GOLDEN), str(ELEMENTS)),
        capture_output=True, text=True, check=False, env=environment(), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(GOLDEN.read_text().splitlines())} cases, 0 steps differ" in done.stdout
    assert f"{len(ELEMENTS.read_text().splitlines())} elements, 0 differ" in done.stdout
