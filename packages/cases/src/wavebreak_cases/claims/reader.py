"""Reading of a page: what it offers, how much, for what price, by whom, and since when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from wavebreak.errors import ClaimError
from wavebreak_cases.claims import classifier, exhibits, lexicon, ocr, page_text, quantities
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.exhibits import Exhibit, Published, load_exhibit
from wavebreak_cases.claims.normalize import Folded, fold, unread_script
from wavebreak_cases.claims.party_names import mask_names

PICTURE = "a picture whose text was not recognised"
SCAN = "a PDF without text, a scan, which was not recognised"
NO_TEXT = "a picture in which no text was recognised"
_MAX_ITEMS = 100
_MIN_BRAND = 3
"""Letters beyond which a part of a domain can name a firm."""
_MAX_SUBJECTS = 3
"""Sentences shown of a page whose words as a whole speak for a claim, and no offer is named."""
_MARKUP = 20
"""Bytes of an archive's pages that are parsed, for each character that is read at most."""
_UNREAD_SHARE = 0.3
"""Share of a page's letters in a script that is not read from which the page is not."""


class CitedSentence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence that is relied on: its place in the reading's text (characters), words, offers.

    Without offers it is one whose subject and meaning speak most for a claim.
    """

    start: int
    end: int
    text: str
    offers: tuple[str, ...]


class ClaimedCapacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A capacity as it is claimed: `count` of `what` in a `period` (empty: none is said)."""

    count: int
    what: str
    period: str
    text: str


class ClaimedPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price as it is asked."""

    amount: float
    currency: str
    text: str


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is read on a page. `text` is what was read, and offsets count its characters.

    `verdict` is triage and no finding: `claim` and `unsure` are for a person to look at. A page
    that names an offer, and one in a language that is not read, is never `benign`. `unlimited` are
    the capacities without a number, in the page's words.
    """

    verdict: Literal["claim", "unsure", "benign"]
    score: float
    reasons: tuple[classifier.Reason, ...]
    offers: dict[str, float]
    relied_on: tuple[CitedSentence, ...]
    capacities: tuple[ClaimedCapacity, ...]
    unlimited: tuple[str, ...]
    prices: tuple[ClaimedPrice, ...]
    contacts: dict[str, tuple[str, ...]]
    channels: tuple[str, ...]
    brands: tuple[str, ...]
    language: str
    title: str
    published: Published | None
    text: str


def read(document: page_text.Document, at: str, names: Sequence[str] = ()) -> Reading:
    """Read a page that was taken at `at` (RFC 3339).

    It is judged without the `names` of parties: what a firm is called is no offer. Where the page
    would not be benign with them, it is for a person.

    >>> page = page_text.parse_text("We send 80,000 WhatsApp messages a day, no opt-in. $40.")
    >>> made = read(page, "2026-01-01T00:00:00Z")
    >>> made.verdict, made.capacities[0].count, made.capacities[0].period, made.prices[0].currency
    ('claim', 80000, 'day', 'USD')
    """
    shown, masked = mask_names(document.text, names)
    folded = fold(shown)
    reached = page_text.find_contacts(document.text, document.links)
    judged = classifier.classify(shown, folded, bool(reached))
    other = unread_script(document.text, _UNREAD_SHARE) or lexicon.unread_language(folded.text)
    unread = (
        [classifier.Reason(f"language not read ({other}): for a person", 1.0, 0.0)] if other else []
    )
    if document.unread:
        pages = ", ".join(map(str, document.unread[:20]))
        unread.append(
            classifier.Reason(f"pages without text, not read: {pages}: for a person", 1.0, 0.0)
        )
    if document.left_out:
        more = f"{document.left_out:,} further pages of the archive, not read: for a person"
        unread.append(classifier.Reason(more, 1.0, 0.0))
    if document.recognized:
        unread.append(
            classifier.Reason("text recognised in a picture, which errs: for a person", 1.0, 0.0)
        )
    if masked:
        unread.append(
            classifier.Reason(f"names of parties, not judged: {', '.join(masked)}", 1.0, 0.0)
        )
    partly = bool(document.unread or document.left_out) or document.recognized
    partly = partly or other == lexicon.UNRECOGNIZED
    partly = partly or (bool(masked) and read(document, at).verdict != "benign")
    return Reading(
        _verdict(judged, unread=other not in ("", lexicon.UNRECOGNIZED), partly=partly),
        round(judged.score, 4),
        (*unread, *judged.reasons),
        {name: round(v, 3) for name, v in judged.named.items()},
        _cited_sentences(document.text, folded, judged),
        *_quantities(document.text, folded),
        reached,
        tuple(judged.messengers + judged.others),
        _brands(document, reached),
        (not other and judged.language) or document.language.partition("-")[0].lower()[:3],
        document.title,
        page_text.find_publication(document, at),
        document.text,
    )


def _verdict(
    judged: classifier.Classification, *, unread: bool, partly: bool
) -> Literal["claim", "unsure", "benign"]:
    """Triage by the score; what names an offer, or is not read whole, is for a person at least.

    A claim has a sentence to cite; where the words as a whole speak for one, a person looks for it.
    """
    by = classifier.load_settings().verdict
    if unread:
        return "unsure"
    if judged.cites_offer and judged.score >= by.claim:
        return "claim"
    return "unsure" if judged.score >= by.unsure or judged.named or partly else "benign"


def exhibit_documents(directory: Path) -> list[page_text.Document]:
    """Give what can be read of an exhibit: the page as it was drawn, else as it was sent.

    Of an image and a scanned PDF it is what was recognised when they were taken in; raises
    ClaimError where nothing was.
    """
    exhibit = load_exhibit(directory)
    if words := exhibit.file("text"):
        return [page_text.parse_text((directory / words.path).read_text("utf-8"))]
    if drawn := exhibit.file("rendered"):
        return [page_text.parse_html((directory / drawn.path).read_bytes())]
    kept = exhibit.file("original") or exhibit.file("warc")
    if kept is None:
        raise ClaimError(f"{directory} holds nothing to read")
    raw = (directory / kept.path).read_bytes()
    recognized = ocr.read_recognized(directory)
    if recognized is None or kept.role == "warc":
        return parse_file(raw, exhibit)
    pages = {page.page: page.text for page in recognized.pages}
    if kept.media == "application/pdf":
        document = page_text.parse_pdf(raw, pages)
    else:
        document = page_text.parse_text("\n".join(pages.values()))
        document.recognized = True
    if not document.text.strip():
        raise ClaimError(NO_TEXT, fix="look at it, then confirm or reject")
    return [document]


def parse_file(raw: bytes, exhibit: Exhibit | None = None) -> list[page_text.Document]:
    """Give the readable documents of a file; of an archive its pages, a capture's main page first.

    Of an archive of very many pages the first ones are given, and they say how many are left out.
    Raises ClaimError where there is none.
    """
    bounds = load_limits().upload
    sort = exhibits.validate_file(raw, bounds)
    if sort.form == "html":
        return [page_text.parse_html(raw)]
    if sort.form == "pdf":
        document = page_text.parse_pdf(raw)
        if not document.text.strip():
            raise ClaimError(SCAN, fix="look at it, then confirm or reject")
        return [document]
    if sort.form == "text":
        return [page_text.parse_text(raw.decode("utf-8-sig"))]
    if sort.form == "image":
        raise ClaimError(PICTURE, fix="look at it, then confirm or reject")
    main = exhibit.details.get("led_to", "") if exhibit else ""
    bodies = [
        (page.url != main, page.body)
        for page in exhibits.archive_pages(raw, sort, bounds)
        if page.media in ("text/html", "application/xhtml+xml") and 200 <= page.status < 300
    ]
    if not bodies:
        raise ClaimError("the archive holds no page that can be read")
    return _parse_first([body for _, body in sorted(bodies, key=lambda pair: pair[0])])


def _parse_first(bodies: list[bytes]) -> list[page_text.Document]:
    """Parse the pages of an archive, in order, until they are as much as is read of one."""
    most = load_limits().reading.together
    documents: list[page_text.Document] = []
    characters = size = 0
    for body in bodies:
        size += len(body)
        if documents and (characters >= most or size > _MARKUP * most):
            break
        documents.append(page_text.parse_html(body))
        characters += len(documents[-1].text)
    for document in documents:
        document.left_out = len(bodies) - len(documents)
    return documents


def highest_scoring(read_ones: list[Reading]) -> Reading:
    """Of an archive's pages the one with the highest score, the first of equals."""
    return max(read_ones, key=lambda reading: reading.score)


def _quantities(
    text: str, folded: Folded
) -> tuple[tuple[ClaimedCapacity, ...], tuple[str, ...], tuple[ClaimedPrice, ...]]:
    def said(start: int, end: int) -> str:
        first, last = folded.origin(start, end)
        return text[first:last].strip()

    words = lexicon.load_vocabulary()
    capacities = {c[2:]: c for c in reversed(quantities.find_capacities(folded.text, words))}
    prices = {p[2:]: p for p in reversed(quantities.find_prices(folded.text, words))}
    unlimited = dict.fromkeys(said(*span) for span in quantities.find_unlimited(folded.text, words))
    return (
        tuple(
            ClaimedCapacity(c.quantity, c.what, c.period, said(c.start, c.end))
            for c in sorted(capacities.values())[:_MAX_ITEMS]
        ),
        tuple(unlimited)[:_MAX_ITEMS],
        tuple(
            ClaimedPrice(p.amount, p.currency, said(p.start, p.end))
            for p in sorted(prices.values())[:_MAX_ITEMS]
        ),
    )


def _brands(document: page_text.Document, reached: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Names that the page gives itself, and words of it that are also its domain's name."""
    hosts = {
        part
        for name in (*reached.get("sites", ()), *reached.get("mails", ()))
        for part in name.rpartition("@")[2].split(".")[:-1]
        if len(part) > _MIN_BRAND
    }
    text = f"{document.title}\n{document.text}"
    brands = [
        match[0]
        for host in sorted(hosts)[:_MAX_ITEMS]
        for match in re.finditer(
            rf"(?<![\w@./-])(?i:{'[ -]?'.join(map(re.escape, host))})(?!\w|[.-]\w)", text
        )
        if match[0] != match[0].lower()
    ]
    return tuple(dict.fromkeys([*filter(None, document.names), *brands]))


def _cited_sentences(
    text: str, folded: Folded, judged: classifier.Classification
) -> tuple[CitedSentence, ...]:
    """The sentences with offers; of a page that has none and may be a claim, those of its words."""
    kept = [
        (s, tuple(n for n in lexicon.OFFERS if any(o.group == n and o.keeps > 0 for o in s.offers)))
        for s in judged.sentences
    ]
    chosen = [(s, offers) for s, offers in kept if offers]
    if not chosen and judged.score >= classifier.load_settings().verdict.unsure:
        meant = {s.start: m for s, m in zip(judged.weighed, judged.meant, strict=False)}
        worth = {
            s.start: classifier.subject_score(folded.text[s.start : s.end])
            + meant.get(s.start, 0.0)
            for s in judged.sentences
        }
        first = sorted(worth, key=lambda start: (-worth[start], start))[:_MAX_SUBJECTS]
        chosen = [(s, ()) for s in judged.sentences if s.start in first and worth[s.start] > 0]
    cited = []
    for sentence, offers in chosen:
        start, end = folded.origin(sentence.start, sentence.end)
        cited.append(CitedSentence(start, end, text[start:end].strip(), offers))
    return tuple(cited)
