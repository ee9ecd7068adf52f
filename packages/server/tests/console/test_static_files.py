"""What the console's files and pages weigh over the wire, and for how long a browser keeps them."""

from __future__ import annotations

import gzip
import re

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from support.console_harness import HOST
from wavebreak_server.console.assets import asset_url
from wavebreak_server.console.middleware import CompressionMiddleware, StaticFilesMiddleware
from wavebreak_server.django_settings import CONSOLE_MIDDLEWARE, PUBLIC_MIDDLEWARE

PAGE = b"<p>An account that wrote to strangers.</p>" * 400


def fetched(address: str, encodings: str = "gzip, br") -> HttpResponse:
    files = StaticFilesMiddleware(lambda _: HttpResponse(status=404))
    answer = files(RequestFactory().get(f"{HOST}{address}", HTTP_ACCEPT_ENCODING=encodings))
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize(
    ("encodings", "encoding", "most"),
    [("gzip, br", "br", 125_000), ("gzip", "gzip", 150_000), ("", "", 460_000)],
)
def test_file_is_sent_in_the_smallest_way_taken(encodings: str, encoding: str, most: int) -> None:
    answer = fetched(asset_url("graph.js"), encodings)
    assert answer.get("Content-Encoding", "") == encoding
    assert len(answer.content) <= most
    assert answer["Content-Length"] == str(len(answer.content))
    assert "Accept-Encoding" in answer["Vary"]


def test_address_with_the_version_is_kept_for_ever() -> None:
    address = asset_url("console.js")
    assert re.fullmatch(r"/static/console/console\.js\?v=[0-9a-f]{8}", address)
    assert "immutable" in fetched(address)["Cache-Control"]


@pytest.mark.parametrize("version", ["", "?v=", "?v=00000000", "?v=missing"])
def test_address_without_the_version_is_asked_for_again(version: str) -> None:
    answer = fetched(f"/static/console/console.js{version}")
    assert "immutable" not in answer["Cache-Control"]


def compressed(page: HttpResponse | StreamingHttpResponse, encodings: str = "gzip") -> HttpResponse:
    handler = CompressionMiddleware(lambda _: page)
    answer: HttpResponse = handler(RequestFactory().get("/", HTTP_ACCEPT_ENCODING=encodings))
    return answer


def test_page_is_compressed_where_the_browser_takes_it() -> None:
    answer = compressed(HttpResponse(PAGE))
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content) == PAGE
    assert "Content-Encoding" not in compressed(HttpResponse(PAGE), "")


def test_stream_of_events_is_not_held_back() -> None:
    answer = compressed(StreamingHttpResponse(iter([b"event: row\n\n"])))
    assert "Content-Encoding" not in answer


def test_files_come_before_and_pages_behind_compression() -> None:
    for middleware in (CONSOLE_MIDDLEWARE, PUBLIC_MIDDLEWARE):
        names = [path.rpartition(".")[2] for path in middleware]
        assert names.index("StaticFilesMiddleware") + 1 == names.index("CompressionMiddleware")
