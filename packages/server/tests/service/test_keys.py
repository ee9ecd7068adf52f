"""Keys: what a successor has of the key before it."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from support import service_harness
from wavebreak_server.slices.keys.service import KeyTerms, create_key, rotate_key

BECAUSE = "because a test asks for it"


def test_successors_have_the_terms_and_the_owner_of_the_first_key(tmp_path: Path) -> None:
    terms = KeyTerms(2.0, 3.0, "matrix", identifiers=True)
    with service_harness.migrated("sqlite", tmp_path), transaction.atomic():
        first, _ = create_key("adapter", ["ingest"], 0, "me", BECAUSE, terms)
        second, _ = rotate_key(first.prefix, 60, 1, "me", BECAUSE)
        third, _ = rotate_key(second.prefix, 60, 2, "me", BECAUSE)
        for key in (second, third):
            assert KeyTerms(key.rate, key.burst, key.source, key.identifiers) == terms
            assert (key.scopes, key.owner) == ("ingest", first.prefix)
