"""Public claims as evidence: captured, kept with custody, read, and judged by a person.

An exhibit is a directory; `wavebreak.claims.exhibits` says what stands in it.
"""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.claims.capture import Outside
    from wavebreak.claims.evaluation import (
        FIELDS,
        Found,
        Judgement,
        Rate,
        added,
        by,
        by_family,
        given,
        own,
        rate,
    )
    from wavebreak.claims.exhibits import (
        Actor,
        Exhibit,
        Kept,
        Published,
        Touch,
        capture,
        custody,
        doubts,
        load,
        take_in,
        touch,
    )
    from wavebreak.claims.inventing import invented
    from wavebreak.claims.reader import Reading, documents, of_file, read, strongest
    from wavebreak.claims.review import Label, as_html, facts, labels_of, put_label
    from wavebreak.claims.screenshot import browser
else:
    __getattr__ = lazily(__name__, {
        "capture": "Outside",
        "exhibits": "Actor Exhibit Kept Published Touch capture custody doubts load take_in touch",
        "inventing": "invented",
        "review": "Label as_html facts labels_of put_label",
        "measuring": "Judgement Rate by by_family given own rate",
        "reader": "Reading documents of_file read strongest",
        "screenshot": "browser",
        "saying": "FIELDS Found added",
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
