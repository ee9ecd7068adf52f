"""A real ejabberd and a Prosody that speak to each other over TLS."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from integrations.harness.ejabberd import Ejabberd
from integrations.harness.federation_cases import HERE, LISTS_THERE, NODE, FederationCases
from integrations.harness.prosody import Prosody

pytestmark = pytest.mark.filterwarnings("default")


class TestEjabberd(FederationCases):
    """The shared cases, on ejabberd."""

    lists: ClassVar = {
        "lists": f'{{xmppbl: "{LISTS_THERE}/{NODE}"}}',
        "list_key": '"lk"',
        "publish_list": f'"pubsub.{HERE}/{NODE}"',
    }
    forwarding: ClassVar = '[origin, "reports@localhost"]'

    def made(self, home: Path, url: str, authority: Path, there: Prosody) -> Ejabberd:
        return Ejabberd(home, url, host=HERE, authority=authority, other_port=there.s2s_port)
