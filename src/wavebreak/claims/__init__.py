"""Public claims as evidence: captured, kept with custody, read, and judged by a person.

An exhibit is a directory; `wavebreak.claims.exhibits` says what stands in it.
"""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.claims.capturing import Outside
    from wavebreak.claims.exhibits import (
        Actor,
        Exhibit,
        Kept,
        Published,
        Touch,
        custody,
        doubts,
        load,
        touch,
    )
    from wavebreak.claims.inventing import invented
    from wavebreak.claims.labelling import Label, labels_of, put_label
    from wavebreak.claims.marking import as_html, facts
    from wavebreak.claims.measuring import Judgement, Rate, by, by_family, given, own, rate
    from wavebreak.claims.reading import Reading, documents, of_file, read, strongest
    from wavebreak.claims.rendering import browser
    from wavebreak.claims.saying import FIELDS, Found, added
    from wavebreak.claims.taking import capture, take_in
else:
    __getattr__ = lazily(__name__, {
        "capturing": "Outside",
        "exhibits": "Actor Exhibit Kept Published Touch custody doubts load touch",
        "inventing": "invented",
        "labelling": "Label labels_of put_label",
        "marking": "as_html facts",
        "measuring": "Judgement Rate by by_family given own rate",
        "reading": "Reading documents of_file read strongest",
        "rendering": "browser",
        "saying": "FIELDS Found added",
        "taking": "capture take_in",
    })  # fmt: skip

__all__ = [
    "FIELDS",
    "Actor",
    "Exhibit",
    "Found",
    "Judgement",
    "Kept",
    "Label",
    "Outside",
    "Published",
    "Rate",
    "Reading",
    "Touch",
    "added",
    "as_html",
    "browser",
    "by",
    "by_family",
    "capture",
    "custody",
    "documents",
    "doubts",
    "facts",
    "given",
    "invented",
    "labels_of",
    "load",
    "of_file",
    "own",
    "put_label",
    "rate",
    "read",
    "strongest",
    "take_in",
    "touch",
]
