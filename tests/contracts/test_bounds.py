"""Bounded work: inputs of strangers with their bounds, as the threat model's table names them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from msgspec import Meta

from mutation.bugs import ROOT, missing_test
from wavebreak.cli.ledger import ANSWER_S, MAX_ANSWER
from wavebreak.io.line_splitter import MAX_LINE
from wavebreak.rules import conditions, expressions
from wavebreak.schema.events import Id
from wavebreak.ssrf_guard import MAX_URL
from wavebreak_cases.bundles.archive_reader import Bounds
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.page_text import MAX_DEPTH, MAX_NODES
from wavebreak_cases.claims.pictures import MAX_PIXELS
from wavebreak_cases.claims.redaction import MAX_PAGES
from wavebreak_cases.pages.redactions import MAX_REGIONS
from wavebreak_server.http.operations import SMALL_BODY
from wavebreak_server.pipeline.decide import MAX_EVENTS
from wavebreak_server.pipeline.public_links import MAX_TOKEN
from wavebreak_server.settings import Limits
from wavebreak_server.slices.appeals.service import MAX_STATEMENT
from wavebreak_server.slices.versions import policy_checks, policy_versions

LIMITS, ZIP, UPLOAD = Limits(), Bounds(), load_limits().upload
MIB = 1 << 20


def _longest(kind: Any) -> int:
    """Return how long a text of the contract may be."""
    (meta,) = (each for each in get_args(kind) if isinstance(each, Meta))
    return meta.max_length or 0


BOUNDS: dict[str, str] = {
    "head of a request": f"{LIMITS.header_bytes >> 10} KiB, {LIMITS.header_s:g} s",
    "body of events": f"{LIMITS.body // MIB} MiB, {LIMITS.body_s:g} s",
    "body, unpacked": f"{LIMITS.unpacked // MIB} MiB",
    "events of a body": f"{LIMITS.events:,}",
    "work on a body": f"{LIMITS.decode_s:g} s, {LIMITS.reader >> 30} GiB",
    "refusals that are listed": f"{LIMITS.refusals}",
    "line of an event": f"{MAX_LINE >> 10} KiB",
    "events of a question": f"{MAX_EVENTS}",
    "other bodies and forms": f"{SMALL_BODY >> 10} KiB",
    "token of a notice's link": f"{MAX_TOKEN} characters",
    "statement of an appeal": f"{MAX_STATEMENT:,} characters",
    "expression of a rule": f"{expressions.MAX_LENGTH:,} characters, depth {expressions.MAX_DEPTH}",
    "conditions of a rule": f"{conditions.MAX_CONDITIONS}",
    "check of a policy": f"{policy_checks.SECONDS} s, {policy_checks.MEMORY >> 30} GiB",
    "URL of a webhook or a capture": f"{MAX_URL:,} characters",
    "name in an event or a stanza": f"{_longest(Id)} bytes",
    "bundle (zip)": f"{ZIP.files:,} files, {ZIP.octets >> 30} GiB, depth {ZIP.depth}",
    "exhibit (PDF, WARC, WACZ)": f"{UPLOAD.bytes:,} bytes, unpacked {UPLOAD.unpacked:,}, "
    f"{UPLOAD.members:,} records, {UPLOAD.pages:,} pages",
    "page of an exhibit": f"{MAX_NODES:,} elements, depth {MAX_DEPTH}",
    "columns of a body (Arrow)": f"{LIMITS.unpacked // MIB} MiB, before they are read",
    "unfinished bodies of a key": f"a half of {LIMITS.queue_bytes // MIB} MiB",
    "files of a policy (TOML)": f"{policy_versions.MAX_TEXT:,} characters, "
    f"together {policy_versions.MAX_ALL:,}, {policy_versions.MAX_FILES} files",
    "answer of a time-stamp authority": f"{MAX_ANSWER // MIB} MiB, {ANSWER_S:g} s",
    "SVG": "text, never drawn",
    "pages of a redacted file": f"{MAX_PAGES}",
    "pixels of a picture": f"{MAX_PIXELS:,}",
    "regions of a redaction": f"{MAX_REGIONS}",
}
"""Each input with its bound, as the code has it."""
PAGE = (ROOT / "docs/explanation/threat-model.md").read_text("utf-8")


def _rows() -> Iterator[tuple[str, str, str]]:
    table = PAGE.partition("## Inputs of strangers")[2].partition("\n## ")[0]
    yield from re.findall(r"^\| ([^|]+) \| ([^|]+) \| `([^`]+)` \|$", table, re.M)


def test_table_of_bounds_is_that_of_the_code() -> None:
    assert {name: bound for name, bound, _ in _rows()} == BOUNDS


@pytest.mark.parametrize("name", BOUNDS)
def test_bound_is_tried(name: str) -> None:
    (test,) = [test for row, _, test in _rows() if row == name]
    assert missing_test(ROOT, test) == ""


def test_whatever_the_page_promises_is_tried() -> None:
    named = re.findall(r"\| `([^`|]+\.py(?:::\w+)?)` \|$", PAGE, re.M)
    assert len(named) > len(BOUNDS)
    assert [fault for test in named if (fault := missing_test(ROOT, test))] == []
