"""Build hook: a wheel or source distribution carries the console's built scripts and styles."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = "src/wavebreak_server/console/static/console"


class AssetsHook(BuildHookInterface[Any]):
    """Builds the assets where they are missing or older than their sources.

    An editable installation takes them from where `python frontend/build.py` puts them. A source
    distribution carries them built, so that a wheel is made from it without Node.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and include what was built, which git ignores.

        Args:
            version: The kind of wheel: `standard` or `editable`.
            build_data: What hatchling passes on to the builder.

        Raises:
            RuntimeError: Where the build fails; the message says what to do.

        """
        if version == "editable":
            return
        path = Path(self.root).parents[1] / "frontend" / "build.py"
        if not path.exists() and (Path(self.root) / STATIC / "manifest.json").exists():
            # An unpacked source distribution: what was built came with it.
            build_data["artifacts"].append(f"/{STATIC}/**")
            return
        spec = importlib.util.spec_from_file_location("wavebreak_frontend_build", path)
        if spec is None or spec.loader is None:
            raise RuntimeError(f"{path} is missing")
        frontend = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(frontend)
        try:
            frontend.build_assets(lambda line: print(line, file=sys.stderr))  # noqa: T201
        except frontend.BuildError as error:
            raise RuntimeError(str(error)) from error
        build_data["artifacts"].append(f"/{STATIC}/**")
