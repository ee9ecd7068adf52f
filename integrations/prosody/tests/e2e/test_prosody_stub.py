"""A real Prosody beside a stub of Wavebreak."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from integrations.harness.prosody import HOST, prosody
from integrations.harness.stub_cases import StubCases

pytestmark = pytest.mark.filterwarnings("default")


class TestProsody(StubCases):
    """The shared cases, on Prosody."""

    registration_open: ClassVar = {"on_failure": '{ registration = "open" }'}
    nothing_more: ClassVar = dict.fromkeys(("contacts", "receipts", "remote"), "false")
    nothing_back: ClassVar = {"take_back": "{}"}
    patient: ClassVar = {"timeout": "10"}
    bot_exempt: ClassVar = {"exempt": f'{{ "bot@{HOST}" }}'}

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        return prosody(home, url, **more)

    def trusting(self, authority: Path) -> str:
        return f'client_https_ssl = {{ cafile = "{authority}" }}'
