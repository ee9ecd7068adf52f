"""A real ejabberd with a real Wavebreak."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from integrations.harness.ejabberd import ejabberd
from integrations.harness.service_cases import ServiceCases

pytestmark = pytest.mark.filterwarnings("default")


class TestServiceEjabberd(ServiceCases):
    """The shared cases, on ejabberd."""

    patient: ClassVar = {"timeout": "10000"}

    def serve(self, home: Path, url: str, **more: Any) -> AbstractContextManager[Any]:
        return ejabberd(home, url, **more)
