"""What captured pages claim, as a machine read it: sentences, capacities, prices; a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wavebreak import claims
from wavebreak.bundles.blocks import Block, heading, note, plain, section, table, text
from wavebreak.cases.case import Case
from wavebreak.errors import ClaimError

SENTENCES = 12
PICTURE_BYTES = 8 << 20


def pages(directory: Path, case: Case, figures: dict[str, bytes]) -> Block:
    """Tell each captured page; pictures are put into `figures` by name."""
    blocks: list[Block] = []
    for exhibit in case.exhibits.values():
        place = directory / exhibit.path
        if exhibit.kind == "claim" and (place / "exhibit.json").exists():
            blocks += [
                heading(f"{exhibit.id}: {exhibit.title}"),
                *_page(place, exhibit.id, figures),
            ]
    lead = note("Read by a machine for a person to look at; a reading is no finding. Sentences are "
                "as they stand on the page.")  # fmt: skip
    return section("What the pages claim", [lead, *blocks] if blocks else [note("No page.")])


def _page(place: Path, name: str, figures: dict[str, bytes]) -> Iterator[Block]:
    about = claims.load(place)
    yield text(f"{about.source}, captured {about.captured_at} by {about.actor.who}.")
    try:
        found = [claims.read(page, about.captured_at) for page in claims.documents(place)]
    except ClaimError as error:
        yield note(f"Not read: {error.what}.")
    else:
        made = claims.strongest(found)
        yield from _reading(made, about.published or made.published)
    for label in claims.labels_of(place):
        yield text(f"{label.label} in the judgement of {label.by}, {label.at}: {label.reason}")
    picture = about.file("screenshot")
    if picture is not None and picture.size <= PICTURE_BYTES:
        figures[f"{name}.png"] = (place / picture.path).read_bytes()
        yield {"kind": "picture", "file": f"{name}.png", "alt": f"Screenshot of {about.source}"}


def _reading(made: claims.Reading, public: claims.Published | None) -> Iterator[Block]:
    told = [(" ".join(r.text.split())[:400], ", ".join(map(plain, r.offers)) or "by its words")
            for r in made.relied_on[:SENTENCES]]  # fmt: skip
    yield table(["sentence", "offers"], told, [3, 1], none="No sentence offers anything.")
    numbers = [
        f"{c.count:,} {c.what}{f' a {c.period}' if c.period else ''}"
        for c in made.capacities[:SENTENCES]
    ]
    prices = [f"{m.amount:g} {m.currency}" for m in made.prices[:SENTENCES]]
    contacts = [value for values in made.contacts.values() for value in values][:SENTENCES]
    ends = [at or "not known" for at in (public.earliest, public.latest)] if public else []
    since = [f"{' to '.join(ends)}, by {public.basis}"] if public else []
    rows = [("published", since), ("capacity claimed", numbers), ("prices", prices),
            ("contacts", contacts), ("brands", list(made.brands[:SENTENCES])),
            ("language", [made.language])]  # fmt: skip
    told_once = [(n, ", ".join(dict.fromkeys(v))) for n, v in rows if any(v)]
    yield table(["read on the page", ""], told_once, [1, 3])
    yield note(f"Triage: {made.verdict}, {made.score:.2f}.")
