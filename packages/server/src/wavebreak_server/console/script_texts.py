"""Texts that scripts show: the page gives them in its language; in English they have their own.

The keys and the English texts are those of `frontend/src/lib/page.ts`; a test compares them.
"""

from __future__ import annotations

from wavebreak.languages import SOURCE_LANGUAGE, msgid
from wavebreak_server.texts import page_language, translate_values

TEXTS = {
    "close": msgid("Close"),
    "copied": msgid("Copied"),
    "cannot_copy": msgid("Copying is not allowed here"),
    "time": msgid("Time"),
    "no_data": msgid("Nothing to show for this period"),
    "load_failed": msgid("Could not be loaded. Reload the page to try again."),
    "request_failed": msgid("The server did not accept that. Nothing was changed."),
    "session_ended": msgid(
        "Your session has ended. Sign in again; this page keeps what you wrote."
    ),
    "offline": msgid("The server cannot be reached. Nothing was changed."),
    "shortcuts": msgid("Keyboard shortcuts"),
    "no_shortcuts": msgid("This page has no shortcuts."),
    "next_row": msgid("Next row"),
    "previous_row": msgid("Previous row"),
    "open_row": msgid("Open row"),
    "select_row": msgid("Select row"),
    "show_shortcuts": msgid("Show shortcuts"),
    "proofs_hold": msgid(
        "Checked by your browser: every entry leads to the root of the checkpoint."
    ),
    "proofs_fail": msgid(
        "An entry does not lead to the root of the checkpoint: it is not what was sealed."
    ),
    "proofs_cannot": msgid(
        "This browser checks nothing here: open the page over HTTPS, or run the command below."
    ),
    "zoom_in": msgid("Zoom in"),
    "zoom_out": msgid("Zoom out"),
    "zoom_reset": msgid("Whole graph"),
}


def script_texts() -> dict[str, str]:
    """Return the texts of scripts in the language of the page; {} in English.

    >>> script_texts()
    {}
    """
    return {} if page_language().code == SOURCE_LANGUAGE else translate_values(TEXTS)
