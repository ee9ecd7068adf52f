"""A console without plug-ins, in a process of its own: `python -m support.console_without_plugins`.

Its argument is the service's directory. It prints what counsel is answered, and what was imported.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from support.console_harness import running_console
from support.service_harness import abuser, migrated
from wavebreak_server.console.plugins import installed_plugins

ACCOUNT = "ann"
PATHS = ("/console/cases", "/console/cases/new", "/console/cases/C-2026-1")
PAGES = ("/console/", f"/console/accounts/{ACCOUNT}", "/console/operators")
CASE_PACKAGES = ("case_pages", "cases", "claims", "bundles")


async def visit(home: Path) -> dict[str, Any]:
    """Let counsel open pages; return their statuses and texts, plug-ins and modules of cases."""
    async with running_console(home) as console:
        await console.running.send(abuser(account=ACCOUNT))
        counsel = await console.person("counsel")
        answers = {path: await counsel.get(path) for path in (*PATHS, *PAGES)}
    names = tuple(f"wavebreak.{package}" for package in CASE_PACKAGES)
    return {
        "plugins": [plugin.name for plugin in installed_plugins()],
        "statuses": {path: answer.status_code for path, answer in answers.items()},
        "texts": {path: answers[path].text for path in PAGES},
        "modules": sorted(m for m in sys.modules if m.startswith(names)),
    }


if __name__ == "__main__":
    with migrated("sqlite", Path(sys.argv[1])):
        sys.stdout.write(json.dumps(asyncio.run(visit(Path(sys.argv[1])))))
