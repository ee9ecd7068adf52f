"""Public claims as evidence: capture a page, keep it with custody, read it, record a review.

An exhibit is a directory; `wavebreak_cases.claims.exhibits` documents its files.
"""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak_cases.claims.capture import CaptureEnvironment
    from wavebreak_cases.claims.evaluation import (
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
    from wavebreak_cases.claims.exhibits import (
        Actor,
        CustodyRecord,
        Exhibit,
        ExhibitFile,
        Published,
        add_file,
        append_custody,
        capture_page,
        check_exhibit,
        load_exhibit,
        read_custody,
    )
    from wavebreak_cases.claims.ocr import describe_recognition, recognize_exhibit
    from wavebreak_cases.claims.reader import (
        Reading,
        exhibit_documents,
        highest_scoring,
        parse_file,
        read,
    )
    from wavebreak_cases.claims.review import (
        Label,
        add_label,
        describe_reading,
        read_labels,
        render_html,
    )
    from wavebreak_cases.claims.screenshot import find_browser
else:
    __getattr__ = lazily(__name__, {
        "capture": "CaptureEnvironment",
        "evaluation": "FIELDS Counts FieldCounts PageResult bootstrap_by_family count_by "
        "count_results evaluate_pages sum_field_counts",
        "exhibits": "Actor CustodyRecord Exhibit ExhibitFile Published add_file "
        "append_custody capture_page check_exhibit load_exhibit read_custody",
        "ocr": "describe_recognition recognize_exhibit",
        "reader": "Reading exhibit_documents highest_scoring parse_file read",
        "review": "Label add_label describe_reading read_labels render_html",
        "screenshot": "find_browser",
    })  # fmt: skip

__all__ = [
    "FIELDS",
    "Actor",
    "CaptureEnvironment",
    "Counts",
    "CustodyRecord",
    "Exhibit",
    "ExhibitFile",
    "FieldCounts",
    "Label",
    "PageResult",
    "Published",
    "Reading",
    "add_file",
    "add_label",
    "append_custody",
    "bootstrap_by_family",
    "capture_page",
    "check_exhibit",
    "count_by",
    "count_results",
    "describe_reading",
    "describe_recognition",
    "evaluate_pages",
    "exhibit_documents",
    "find_browser",
    "highest_scoring",
    "load_exhibit",
    "parse_file",
    "read",
    "read_custody",
    "read_labels",
    "recognize_exhibit",
    "render_html",
    "sum_field_counts",
]
