"""A firm's own name is no offer: it is masked before its page is judged."""

from __future__ import annotations

import pytest

from wavebreak_cases.claims.page_text import parse_text
from wavebreak_cases.claims.party_names import mask_names, short_names
from wavebreak_cases.claims.reader import read

AT = "2026-01-01T00:00:00Z"
NAMES = ("Bulk WhatsApp Sender Ltd", "Bulk WhatsApp Sender")
SHOP = (
    "Bulk WhatsApp Sender Ltd. We repair bicycles in Haifa. Bulk WhatsApp Sender Ltd is open from "
    "nine to five. Bulk WhatsApp Sender was founded in 1980 by two brothers who like bicycles."
)
OFFER = "Bulk WhatsApp Sender: we send 80,000 WhatsApp messages a day, no opt-in, no bans. $40."


def test_name_alone_makes_no_claim_of_a_page() -> None:
    assert read(parse_text(SHOP), AT).offers["bulk"] > 0
    assert read(parse_text(SHOP), AT, NAMES).offers.get("bulk", 0) == 0


def test_page_that_its_name_alone_makes_benign_is_for_a_person() -> None:
    assert read(parse_text(SHOP), AT).verdict != "benign"
    masked = read(parse_text(SHOP), AT, NAMES)
    assert masked.verdict == "unsure"
    assert masked.reasons[0].name.startswith("names of parties, not judged: Bulk WhatsApp")


def test_offer_beside_a_name_is_still_one_and_cited_with_it() -> None:
    masked = read(parse_text(OFFER), AT, NAMES)
    assert masked.verdict == "claim"
    assert masked.text == OFFER
    assert "80,000" in " ".join(cited.text for cited in masked.relied_on)


@pytest.mark.parametrize(
    ("text", "name", "masked"),
    [
        ("שיווק־ישיר שולחים הודעות", "שיווק ישיר", "xxxxx־xxxx שולחים הודעות"),
        ("BULK   SENDER offers", "Bulk Sender", "xxxx   xxxxxx offers"),
        ("Bulk-Senders offer", "Bulk Sender", "Bulk-Senders offer"),
        ("we sell bulk", "bulk", "we sell bulk"),
        ("AB offers", "AB", "AB offers"),
    ],
)
def test_names_are_masked_letter_by_letter(text: str, name: str, masked: str) -> None:
    found, names = mask_names(text, [name])
    assert found == masked
    assert bool(names) is (masked != text)
    assert len(found) == len(text)


def test_legal_form_is_left_out_in_any_spelling() -> None:
    forms = ["ltd", "s a de c v", "בעמ"]
    assert short_names("Envíos Rápidos, S.A. de C.V.", forms)[1:] == ("Envíos Rápidos",)
    assert short_names('רפיד הודעות בע"מ', forms)[1:] == ("רפיד הודעות",)
    assert short_names("Rapid", forms) == ("Rapid",)
