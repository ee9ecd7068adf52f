"""A real Prosody with a real Wavebreak."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from integrations.harness.prosody import prosody
from integrations.harness.service_cases import ServiceCases

pytestmark = pytest.mark.filterwarnings("default")


class TestServiceProsody(ServiceCases):
    """The shared cases, on Prosody."""

    patient: ClassVar = {"timeout": "10"}

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        return prosody(home, url, **more)
