"""The how-to, followed to the letter: installed by pip, configured, and seen to work."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import time
from pathlib import Path

import yaml
from integrations.harness.how_to import blocks, moved, run

from synapse_support.homeserver import PYTHON, Homeserver
from synapse_support.stub_service import StubService

PAGE = "protect-a-synapse"
URL = "http://127.0.0.1:8480"


def environment(home: Path) -> Path:
    """Make the environment that the page calls /opt/synapse, with Synapse; return its Python."""
    place = home / "opt" / "synapse"
    subprocess.run([str(PYTHON), "-m", "venv", str(place)], check=True)
    [packages] = place.glob("lib/python3*/site-packages")
    [synapse] = PYTHON.parents[1].glob("lib/python3*/site-packages")
    (packages / "synapse.pth").write_text(f"{synapse}\n")
    return place / "bin" / "python"


def install(home: Path) -> None:
    """Run the page's commands; what builds the packages is the development environment's."""
    _, put_key = blocks(PAGE, 1, "sh")
    [packages] = blocks(PAGE, 2, "sh")
    run(moved(put_key, home).replace("-o synapse ", ""), home, given="wb_1\n")
    # pip reads the variable the other way round.
    run(
        moved(packages, home), home,
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
