r"""Direction controls in texts of others, by one rule for every page.

A name with U+202E turns the text after it around: "user\u202egpj.exe" reads as a picture. Pages
therefore carry no direction control but isolates that are opened and closed, which our own
sentences use and which turn nothing outside themselves. What a form sends back stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

_CONTROL = r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_ISOLATED = r"[\u2066-\u2068][^\u200e\u200f\u202a-\u202e\u2066-\u2069<]*\u2069"
_SENT_BACK = r'\svalue="[^"]*"'
_IN_TEXT = re.compile(f"({_ISOLATED})|{_CONTROL}")
_IN_PAGE = re.compile(f"({_SENT_BACK}|{_ISOLATED})|{_CONTROL}")


def without_controls(text: str) -> str:
    r"""Return a text without direction controls; closed isolates stay.

    >>> without_controls("user\u202egpj.exe"), without_controls("by \u2068ann\u2069\u2069")
    ('usergpj.exe', 'by \u2068ann\u2069')
    """
    return _IN_TEXT.sub(lambda match: match[1] or "", text)


def page_without_controls(page: str) -> str:
    r"""Return an HTML page without direction controls, but in the values of its forms.

    >>> page_without_controls('<p>a\u202eb</p><input value="a\u202eb">')
    '<p>ab</p><input value="a\u202eb">'
    """
    return _IN_PAGE.sub(lambda match: match[1] or "", page)


class DirectionMiddleware:
    """Applies the rule to every HTML page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle a request."""
        response = self._get_response(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page and isinstance(response, HttpResponse):
            page = response.content.decode()
            plain = page_without_controls(page)
            if plain != page:
                response.content = plain.encode()
        return response
