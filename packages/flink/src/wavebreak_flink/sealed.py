"""Seals of the rows and files that a job writes and reads back.

A writer of the exchange's table or of the job's directory who lacks the deployment's key cannot
make a row or file that the job accepts: the MAC covers the content, its place, the job's name and
its generation. It does not show that a newer content of the same place was put back.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import msgspec

from wavebreak.errors import FileError
from wavebreak.privacy.secret_key import derived_key
from wavebreak_flink.settings import JobSettings

MAC_BYTES = 32
Place = Sequence[str | int]
"""The kind of content, and its number."""


class Seal:
    """Seals of one job."""

    def __init__(self, settings: JobSettings) -> None:
        purpose = f"wavebreak_flink\0{settings.name}\0{settings.generation}"
        self._key = derived_key(settings.secret(), purpose)

    def key(self, *place: str | int) -> bytes:
        """Return a derived key for the content of one place."""
        return self._mac(place, b"")

    def close(self, place: Place, content: bytes) -> bytes:
        """Return content with its MAC."""
        return self._mac(place, content) + content

    def open(self, place: Place, sealed: bytes) -> bytes:
        """Return the content without its MAC.

        Raises:
            FileError: The content was not written by this job at this place.
        """
        mac, content = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        if hmac.compare_digest(mac, self._mac(place, content)):
            return content
        raise FileError(
            f"{' '.join(map(str, place))} of the job was not written under its key",
            fix="find out who can write the job's directory and exchange; then submit the job "
            "anew under another --home",
        )

    def _mac(self, place: Place, content: bytes) -> bytes:
        return hmac.digest(self._key, msgspec.msgpack.encode([list(place), content]), "sha256")
