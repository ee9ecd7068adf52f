"""Every table of the service's database: what proves its rows, or the reason for no proof."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection

from wavebreak_server.storage import database
from wavebreak_server.storage.models import AuthenticatedModel, verified_models

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "ledger.md"
VERIFIED, CHECKED = "verified when loaded", "MAC, checked by each reader that acts on the row"


def _proofs() -> list[tuple[str, str]]:
    """Return each table of the page with its proof."""
    section = PAGE.read_text("utf-8").partition("### What proves each table")[2]
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", section.partition("\n#")[0], re.M)
    return [(name, proof) for names, proof in rows for name in re.findall(r"`(\w+)`", names)]


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[set[str]]:
    """Return the tables of a new database, those of plug-ins too."""
    database.connect("", tmp_path)
    database.migrate()
    yield set(connection.introspection.table_names())
    connection.close()


def test_every_table_has_a_proof_or_a_reason(tables: set[str]) -> None:
    listed = [name for name, _ in _proofs()]
    assert len(listed) == len(set(listed)), "a table is listed twice"
    assert set(listed) == tables


def test_tables_are_verified_as_the_page_says() -> None:
    named = {proof: {name for name, other in _proofs() if other == proof} for _, proof in _proofs()}
    verified = {model._meta.db_table for model in verified_models()}
    with_macs = {m._meta.db_table for m in apps.get_models() if issubclass(m, AuthenticatedModel)}
    assert named[VERIFIED] == verified
    assert named[CHECKED] == with_macs - verified
