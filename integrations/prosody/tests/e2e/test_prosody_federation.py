"""Two real Prosodies that speak to each other over TLS, one of them beside a stub of Wavebreak."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from integrations.harness.federation_cases import (
    HERE,
    ROOMS_THERE,
    THERE,
    FederationCases,
)
from integrations.harness.prosody import Prosody

pytestmark = pytest.mark.filterwarnings("default")


class TestProsody(FederationCases):
    """The shared cases, on Prosody."""

    forwarding: ClassVar = '{ "origin", "reports@localhost" }'

    def made(self, home: Path, url: str, authority: Path, there: Prosody) -> Prosody:
        others = dict.fromkeys((THERE, ROOMS_THERE), there.s2s_port)
        return Prosody(home, url, host=HERE, authority=authority, others=others)
