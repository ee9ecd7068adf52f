"""Plug-ins of the service: what they add, and a service that has none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support import service_harness
from wavebreak_server.http.auth import SCOPES, TOGETHER
from wavebreak_server.service_plugins import (
    ServicePlugin,
    installed_plugins,
    plugin_models,
    plugin_tasks,
)
from wavebreak_server.slices.routes import OPERATIONS
from wavebreak_server.slices.webhooks.api import WEBHOOK_KINDS

OWN = ["ingest", "decide", "read", "override", "admin", "list"]
_BARE = """
import json
from wavebreak_server.slices.routes import OPERATIONS
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.service_plugins import installed_plugins, plugin_models
from wavebreak_server.slices.webhooks.api import WEBHOOK_KINDS
print(json.dumps({
    "plugins": len(installed_plugins()),
    "paths": [one.path for one in OPERATIONS if "business" in one.path],
    "scopes": SCOPES,
    "kinds": WEBHOOK_KINDS,
    "tables": len(plugin_models()),
}))
"""


def test_the_platform_for_businesses_is_a_plugin() -> None:
    (plugin,) = installed_plugins()
    assert (plugin.label, plugin.scopes, plugin.webhook_kinds) == (
        "business", ("business",), ("business",),
    )  # fmt: skip
    assert list(SCOPES) == [*OWN, "business"]
    assert "business" in TOGETHER
    assert WEBHOOK_KINDS == ("decisions", "states", "business")
    assert {one.path for one in OPERATIONS} >= {"/v1/business/decide"}
    tables = {model._meta.db_table for model in plugin_models()}
    assert tables == {
        "business_row", "business_standing", "business_erasure", "business_taken_id",
        "business_key", "business_state", "business_followed",
    }  # fmt: skip
    assert len(plugin_tasks(service_harness.context(), None)) == 2


def test_a_plugin_adds_nothing_by_itself() -> None:
    assert (ServicePlugin.scopes, ServicePlugin.webhook_kinds) == ((), ())


def test_service_without_plugins_has_no_operation_scope_or_table_of_theirs(
    tmp_path: Path,
) -> None:
    """As where the distribution is installed without its entry points, or not at all."""
    installed = tmp_path / "wavebreak_business-0.dist-info"
    installed.mkdir()
    about = "Metadata-Version: 2.1\nName: wavebreak-business\nVersion: 0\n"
    (installed / "METADATA").write_text(about)
    before = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), before])}
    done = subprocess.run(
        [sys.executable, "-c", _BARE], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "plugins": 0, "paths": [], "scopes": OWN, "kinds": ["decisions", "states"], "tables": 0,
    }  # fmt: skip
