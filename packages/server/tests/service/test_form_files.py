"""Files of forms beyond their limit: what follows them in the form arrives all the same."""

from __future__ import annotations

import pytest

from wavebreak_server.http.form_files import FileClamp

BOUNDARY = b"----form7"


def body(content: bytes) -> bytes:
    """A form with a text, a file and a text after it."""
    return (
        b"------form7\r\nContent-Disposition: form-data; name=\"before\"\r\n\r\nlong text\r\n"
        b"------form7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.html\"\r\n"
        b"Content-Type: text/html\r\n\r\n" + content + b"\r\n"
        b"------form7\r\nContent-Disposition: form-data; name=\"after\"\r\n\r\nreason\r\n"
        b"------form7--\r\n"
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 7, 19, 64, 1_000])
@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b"12345", b"12345"),
        (b"1234567890", b"12345"),
        (b"\r\n-----form\r\n--", b"\r\n---"),
    ],
)
def test_file_is_cut_and_fields_stay(size: int, content: bytes, kept: bytes) -> None:
    clamp, sent = FileClamp(BOUNDARY, 5), body(content)
    parts = [clamp.keep(sent[k : k + size]) for k in range(0, len(sent), size)]
    assert b"".join(parts) == body(kept)


@pytest.mark.parametrize(
    ("content_type", "has_files"),
    [
        (b"multipart/form-data; boundary=----form7", True),
        (b'multipart/form-data; charset=utf-8; boundary="----form7"', True),
        (b"multipart/form-data", False),
        (b"application/x-www-form-urlencoded", False),
        (b"", False),
    ],
)
def test_body_without_files_is_left_alone(content_type: bytes, has_files: bool) -> None:
    assert (FileClamp.of(content_type) is not None) == has_files


def test_body_that_is_no_form_is_not_held() -> None:
    clamp = FileClamp(BOUNDARY, 5)
    sent = b"------form7\r\n" + b"x" * 50_000
    assert len(clamp.keep(sent)) == len(sent)
