"""Publishes convicted accounts in a policy room of this server, as hashes (MSC4205)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from wavebreak_synapse import tables
from wavebreak_synapse.callbacks import Host
from wavebreak_synapse.policy_rooms import ListsService
from wavebreak_synapse.policy_rules import published_rule, sha256_of

log = logging.getLogger("wavebreak_synapse")

PUBLISH_EVERY_MS = 20_000
"""A lift is published within a minute."""


class Publisher:
    """Keeps the room as the service's convictions are; runs in the main process.

    Args:
        host: The homeserver.
        service: Where convictions are asked for.
        publish: Sets an entry of the room: state key and content.
    """

    def __init__(
        self,
        host: Host,
        service: ListsService,
        publish: Callable[[str, dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._host = host
        self._service = service
        self._publish = publish
        self._etag = ""
        self.problem: str | None = None
        """Why an entry could not be set."""

    async def run(self) -> None:
        """Publish and withdraw what changed; what is not known to have changed stays."""
        answer = await self._host.run_in_thread(self._service.convicted, self._etag)
        if answer is None:
            return
        published = await self._host.run_db("wavebreak_published", tables.read_published)
        try:
            for account, digest in sorted(answer.hashes.items()):
                if published.get(account) != digest and await self._is_known(account, digest):
                    await self._publish(*published_rule(digest))
                    await self._note(account, digest)
            for account in sorted(published.keys() - answer.hashes.keys()):
                state_key, _ = published_rule(published[account])
                await self._publish(state_key, {})
                await self._note(account, None)
        except Exception as error:
            # Whatever a homeserver raises; its text might quote an account.
            self.problem = (
                "convictions are not published; fix: let lists.publish.account set state in the"
                f" room ({type(error).__name__})"
            )
            return
        self._etag, self.problem = answer.etag, None

    async def _is_known(self, account: str, digest: str) -> bool:
        """Return whether an account is this server's, or acted here; of others nothing is said."""
        if digest != sha256_of(account):
            return False
        acted = await self._host.run_db("wavebreak_has_acted", tables.has_acted, account)
        return self._host.is_mine(account) or bool(acted)

    async def _note(self, account: str, digest: str | None) -> None:
        await self._host.run_db(
            "wavebreak_write_published", tables.write_published, account, digest
        )
