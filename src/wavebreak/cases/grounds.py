"""The grounds of a determination, from `cases/determination.toml`: rules, notices, what ties."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wavebreak import sheets
from wavebreak.cases.dates import instant
from wavebreak.cases.parties import STRENGTHS, Basis, Strength
from wavebreak.errors import PolicyError

Conduct = Annotated[tuple[Literal["engaged", "assisted"], ...], Meta(min_length=1)]


class OnPlatform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rule R1: which conduct counts."""

    about: str
    source: str
    conduct: Conduct


class PublicNotice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules R2 and R3 of one public notice; both instants are RFC 3339 with an offset."""

    id: str
    effective: str
    beyond: str
    conduct: Conduct
    source: str

    @property
    def effective_ms(self) -> int:
        """From when a determination may rest on this notice."""
        return instant(self.effective)

    @property
    def beyond_ms(self) -> int:
        """The boundary: conduct at or after it is beyond the notice."""
        return instant(self.beyond)


class Ties(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ties an exhibit to a party itself, what is merely linked, and how strongly at least."""

    own: tuple[Basis, ...]
    linked: tuple[Basis, ...]
    least: Strength

    def __post_init__(self) -> None:
        """Refuse a least tie that everything or nothing has."""
        if self.least not in STRENGTHS[1:]:
            raise ValueError("`link.least` is none of weak, moderate, strong")


class Grounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. `signs` is the role of who may sign."""

    name: str
    signs: str
    on_platform: OnPlatform
    notice: tuple[PublicNotice, ...]
    link: Ties

    @property
    def version(self) -> str:
        """Name and first 12 hex digits of the SHA-256 of the content."""
        content = msgspec.json.encode(self, order="deterministic")
        return f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}"


def load(directory: Path | None = None) -> Grounds:
    """Read the grounds: the shipped ones, or `cases/determination.toml` of a local policy.

    Raises `PolicyError` that names the file, the field and the fix.

    >>> load().notice[0].beyond
    '2019-12-08T00:00:00Z'
    """
    path = sheets.chosen("cases/determination.toml", directory)
    found = sheets.read(path, Grounds)
    for notice in found.notice:
        if notice.beyond_ms < notice.effective_ms:
            raise PolicyError(
                f"{path.name}, notice {notice.id}: `beyond` lies before `effective`",
                fix="nobody can continue beyond a notice that is not yet in effect",
            )
    if len({notice.id for notice in found.notice}) < len(found.notice):
        raise PolicyError(f"{path.name}: two notices of one id", fix="give each its own")
    return found
