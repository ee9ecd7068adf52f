"""Two real Prosodies that speak to each other over TLS, one of them beside a stub of Wavebreak."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from integrations.harness.federation_cases import (
    HERE,
    LISTS_THERE,
    NODE,
    ROOMS_THERE,
    THERE,
    FederationCases,
)
from integrations.harness.prosody import Prosody

pytestmark = pytest.mark.filterwarnings("default")


class TestProsody(FederationCases):
    """The shared cases, on Prosody."""

    lists: ClassVar = {
        "lists": f'{{ xmppbl = "{LISTS_THERE}/{NODE}" }}',
        "list_key": '"lk"',
        "publish_list": f'"pubsub.{HERE}/{NODE}"',
    }
    forwarding: ClassVar = '{ "origin", "reports@localhost" }'

    def made(self, home: Path, url: str, authority: Path, there: Prosody) -> Prosody:
        others = dict.fromkeys((THERE, ROOMS_THERE, LISTS_THERE), there.s2s_port)
        own = f'Component "pubsub.{HERE}" "pubsub"'
        return Prosody(home, url, host=HERE, authority=authority, others=others, components=own)
