"""Labels that persons give to exhibits, and the command from capture to check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.claim_commands import claim
from wavebreak.errors import ClaimError
from wavebreak_cases import claims

ACTOR, AT = claims.Actor("A. Rao", "bench", "triage", "mandate 12"), "2026-03-04T05:06:07Z"


def test_labels_are_kept_with_custody_and_the_last_one_counts(tmp_path: Path) -> None:
    claims.add_file(b"bulk sender", tmp_path / "e", ACTOR, AT)
    claims.add_label(tmp_path / "e", "claim", ACTOR, AT, "offers bulk sending", 0.9)
    claims.add_label(tmp_path / "e", "innocent", ACTOR, AT, "it is a quotation")
    assert [label.label for label in claims.read_labels(tmp_path / "e")] == ["claim", "innocent"]
    assert [line.what for line in claims.read_custody(tmp_path / "e")] == [
        "taken in: upload", "confirmed as a claim", "rejected: no claim",
    ]  # fmt: skip
    assert claims.check_exhibit(tmp_path / "e") == []
    with pytest.raises(ClaimError, match="a person and a reason"):
        claims.add_label(tmp_path / "e", "claim", ACTOR, AT, " ")


def test_claim_commands_add_read_label_and_check(tmp_path: Path) -> None:
    page, made = tmp_path / "p.html", str(tmp_path / "e")
    text = "<p>We send 80,000 WhatsApp messages a day, no opt-in, anti-ban. $40. "
    page.write_text(text + "80k messages per day! sales@shop.example", "utf-8")
    claim("add", str(page), "-o", made, "--kind", "test_purchase", "--detail", "account=p-1")
    said = claim("read", made, "--html", str(tmp_path / "read.html"))
    assert "claim, " in said
    assert len(re.findall(r"capacity +80,000 messages a day", said)) == 1
    assert max(map(len, said.splitlines())) <= 80
    assert "sales@shop.example" in said
    assert "<mark>" in (tmp_path / "read.html").read_text("utf-8")
    claim("confirm", made, "--reason", "offers bulk sending", "--by", "A. Rao")
    assert "claim by A. Rao" in claim("check", made)
    (tmp_path / "e" / "original.html").write_text("changed", "utf-8")
    assert "SHA-256 differs" in claim("check", made, code=1)
    assert "public addresses" in claim("capture", "http://127.0.0.1/", "-o", made + "2", code=2)
    assert "not well formed" in claim("add", str(page), "-o", made + "3", "--detail", "x", code=2)
