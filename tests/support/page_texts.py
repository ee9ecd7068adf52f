"""Texts of pages and of templates, to find those that are still English."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from wavebreak.languages import is_right_to_left

_BLOCKS = re.compile(
    r"\{% blocktranslate.*?endblocktranslate %\}|\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL
)
_RUN = re.compile(r"[A-Za-z][A-Za-z'’, _-]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+")
_CODE = frozenset({"code", "kbd", "pre", "script", "style", "textarea", "svg", "bdi"})
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "use"})
_SAID = ("aria-label", "placeholder", "alt", "title", "data-key-label", "data-once", "data-label")
NAMES = frozenset(
    {"wavebreak", "utc", "csv", "json", "pdf", "docx", "api", "ctrl", "webhook", "webhooks",
     "english", "https", "chat", "example"}
)  # fmt: skip
"""Names that stay in Latin letters, in small letters."""


class _Texts(HTMLParser):
    """Collects the texts that people read, but for code, data and what is marked as English.

    What people wrote, in whatever language, stands in `bdi` or has the direction of its letters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        skipped = (
            tag in _CODE
            or given.get("lang") == "en"
            or given.get("dir") == "auto"
            or "mono" in given.get("class", "").split()
            or bool(self._open and self._open[-1][1])
        )
        if not skipped:
            self.texts += [given[name] for name in _SAID if name in given]
        if tag not in _VOID:
            self._open.append((tag, skipped))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1][1]):
            self.texts.append(" ".join(data.split()))


def _read(html: str) -> list[str]:
    parser = _Texts()
    parser.feed(html)
    parser.close()
    return parser.texts


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word.lower() not in NAMES]


def unmarked_texts(template: str) -> Iterator[str]:
    """Yield the texts of a template that are marked for no translation.

    >>> list(unmarked_texts('<p>{% translate "Queue" %}</p><b title="Why">{{ a }} of</b> UTC'))
    ['Why', 'of']
    """
    yield from (text for text in _read(_BLOCKS.sub(" ", template)) if _words(text))


def english_texts(page: str, data: frozenset[str] = frozenset()) -> list[str]:
    """Return the texts of a page in another language that are English: some words of it in a row.

    Two, or three where there are letters of the other language.

    Args:
        page: The page.
        data: Texts that are data, such as names and reasons that people wrote.

    >>> english_texts('<p>Two words</p><p>מילה ann</p><p lang="en">as the policy says</p>')
    ['Two words']
    """
    return [
        text
        for text in _read(page)
        if _longest_run(text) > (2 if is_right_to_left(text) else 1)
        and not any(word in text for word in data)
    ]


def _longest_run(text: str) -> int:
    return max((len(_words(run)) for run in _RUN.findall(text)), default=0)
