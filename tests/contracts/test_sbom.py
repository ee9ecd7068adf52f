"""The bill of materials that `make sbom` writes holds every package of its lock."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from packages.environment import lock_sections

ROOT = Path(__file__).resolve().parents[2]


def test_sbom_of_a_service_holds_each_pin_and_hash(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n\t", "")
    (options,) = re.findall(r"^SBOM = \$\(BIN\)/python (.*)$", makefile, re.MULTILINE)
    written, pins_file = tmp_path / "sbom.json", tmp_path / "service.txt"
    lock = lock_sections("service")
    pins_file.write_text(lock, encoding="utf-8")
    command = [sys.executable, *options.split(), "--output-file", str(written), str(pins_file)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    sbom = json.loads(written.read_text(encoding="utf-8"))
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert sbom["metadata"]["component"]["name"] == "wavebreak"
    pins = set(re.findall(r"^([a-z][^=;\s\[]*)(?:\[[^\]]*\])?==([^\s;]+)", lock, re.MULTILINE))
    assert {(part["name"], part["version"]) for part in sbom["components"]} == pins
    text = written.read_text(encoding="utf-8")
    assert [h for h in re.findall(r"sha256:([0-9a-f]{64})", lock) if h not in text] == []
