"""A real ejabberd beside a stub of Wavebreak."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from integrations.harness.ejabberd import ejabberd
from integrations.harness.prosody import HOST
from integrations.harness.stub_cases import StubCases

pytestmark = pytest.mark.filterwarnings("default")


class TestEjabberd(StubCases):
    """The shared cases, on ejabberd."""

    registration_open: ClassVar = {"on_failure": "{registration: open}"}
    nothing_more: ClassVar = dict.fromkeys(("contacts", "receipts", "remote"), "false")
    bot_exempt: ClassVar = {"exempt": f'["bot@{HOST}"]'}

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        return ejabberd(home, url, **more)

    def trusting(self, authority: Path) -> str:
        return f'ca_file: "{authority}"'
