"""Public claims as evidence: captured, kept with custody, read, and judged by a person.

An exhibit is a directory; `wavebreak.claims.exhibits` says what stands in it.
"""

from typing import TYPE_CHECKING

from wavebreak.lazily import lazily

if TYPE_CHECKING:
    from wavebreak.claims.capture import Outside
    from wavebreak.claims.evaluation import (
        FIELDS,
        Counts,
        FieldCounts,
        PageResult,
        bootstrap_by_family,
        count_by,
        count_results,
        evaluate_pages,
        sum_field_counts,
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
    from wavebreak.claims.reader import Reading, documents, of_file, read, strongest
    from wavebreak.claims.review import Label, as_html, facts, labels_of, put_label
    from wavebreak.claims.screenshot import browser
else:
    __getattr__ = lazily(__name__, {
        "capture": "Outside",
        "exhibits": "Actor Exhibit Kept Published Touch capture custody doubts load take_in touch",
        "review": "Label as_html facts labels_of put_label",
        "evaluation": "FIELDS Counts FieldCounts PageResult bootstrap_by_family count_by "
        "count_results evaluate_pages sum_field_counts",
        "reader": "Reading documents of_file read strongest",
        "screenshot": "browser",
    })  # fmt: skip

__all__ = [
    "FIELDS",
    "Actor",
    "Counts",
    "Exhibit",
    "FieldCounts",
    "Kept",
    "Label",
    "Outside",
    "PageResult",
    "Published",
    "Reading",
    "Touch",
    "as_html",
    "bootstrap_by_family",
    "browser",
    "capture",
    "count_by",
    "count_results",
    "custody",
    "documents",
    "doubts",
    "evaluate_pages",
    "facts",
    "labels_of",
    "load",
    "of_file",
    "put_label",
    "read",
    "strongest",
    "sum_field_counts",
    "take_in",
    "touch",
]
