"""Redaction of an exhibit: what of it was removed, and what of the case is then not shown.

The redacted copy takes the original's place in the case; the original remains in the case's own
directory. The digest of the original stays sealed, and is not shown: of a short text it would
allow guesses at what was removed to be tested. So a bundle shows the steps that name such digests
without them, and the step of the redaction says how they are shown (`restated`). Whoever is given
the original and the step as it is kept can check both against the ledger.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wavebreak_cases.cases.parties import Names, Text

FileName = Annotated[str, Meta(pattern=r"^(?!/)(?!(.*/)?\.{0,2}(/|$))[ -~]{1,300}$")]
"""A file's path within an exhibit: plain, and never out of it."""
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0)]
Thousandths = Annotated[int, Meta(ge=0, le=1000)]


class RemovedRegion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a page that was blacked out.

    `box` is left, top, right and bottom in thousandths of the page.
    """

    page: Annotated[int, Meta(ge=1, le=10_000)]
    box: tuple[Thousandths, Thousandths, Thousandths, Thousandths]


class Redaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A redacted copy of an exhibit, in the place of the original.

    Attributes:
        exhibit: The exhibit.
        path: Where the copy is.
        sha256: The copy's files.
        words: How many words were removed, by kind.
        regions: The regions that were removed.
        left_out: Files of the original of which there is no copy.
        restated: By number, the digest of each earlier step as it is shown from now on.
        nonce: Random bytes, so that no digest of this can be guessed at.

    """

    exhibit: Text
    path: Annotated[str, Meta(pattern="^exhibits/E[0-9]{1,5}R[0-9]{1,3}$")]
    sha256: dict[FileName, Sha256]
    words: dict[Literal["phone", "mail", "name", "text"], Count]
    regions: Annotated[tuple[RemovedRegion, ...], Meta(max_length=1_000)]
    left_out: Names
    restated: dict[str, Sha256]
    nonce: Sha256 | UnsetType = UNSET
