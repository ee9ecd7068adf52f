"""Limits of captures, uploads and readings: `policy/claims/capture.toml`."""

from __future__ import annotations

from functools import cache

import msgspec

from wavebreak import config


class CaptureLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one capture: counts, bytes, seconds; `agent` is our User-Agent."""

    redirects: int
    page_bytes: int
    requisite_bytes: int
    total_bytes: int
    requisites: int
    seconds_a_request: float
    seconds: float
    rounds: int
    agent: str


class RenderLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one screenshot: seconds and pixels; `browsers` are looked for in this order."""

    seconds: float
    width: int
    height: int
    tallest: int
    browsers: tuple[str, ...]


class UploadLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one upload: bytes as it is and unpacked, members, pages."""

    bytes: int
    unpacked: int
    members: int
    pages: int


class ReadingLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one reading: characters of text, sentences of it; characters whose meaning is weighed.

    Those are of the page `meant`, of a sentence `meant_of_one`. `together` are the characters of
    all pages of an archive, `figures` the numbers of a page.
    """

    characters: int
    together: int
    figures: int
    sentences: int
    meant: int
    meant_of_one: int


class OcrLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the recognition of text in pictures: pages, and of each page seconds, memory, output.

    `side` is the longer side in pixels to which a page is reduced; `languages` are Tesseract's
    names, of which those are used that are installed.
    """

    pages: int
    seconds: int
    memory_kb: int
    output: int
    side: int
    languages: tuple[str, ...]


class RedactionLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one redaction in a process of its own: seconds, memory, and how many run at once."""

    seconds: int
    memory_kb: int
    at_once: int


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them."""

    capture: CaptureLimits
    render: RenderLimits
    upload: UploadLimits
    reading: ReadingLimits
    ocr: OcrLimits
    redaction: RedactionLimits


@cache
def load_limits() -> Limits:
    """Read the shipped limits.

    >>> load_limits().capture.redirects
    10
    """
    return config.load_config(config.resolve_path("claims/capture.toml"), Limits)
