"""Files of a form beyond what is read of them: the form's other fields arrive all the same.

A page checks the size of a file itself and shows the form again. For that it needs the fields
after the file, and one byte more of the file than it takes.
"""

from __future__ import annotations

import re

MAX_FILE = 1_000_001
"""Bytes that are kept of a file: one more than a page takes."""
MAX_HEADERS = 8 << 10
_BOUNDARY = re.compile(rb'multipart/form-data\s*;.*?boundary="?([^";,\s]{1,70})', re.IGNORECASE)


class FileClamp:
    r"""Drops what files of a multipart body have beyond a size.

    >>> body = b'--x\r\nContent-Disposition: form-data; filename="f"\r\n\r\n12345\r\n--x--'
    >>> clamp = FileClamp(b"x", 3)
    >>> (clamp.keep(body[:61]) + clamp.keep(body[61:])).partition(b"\r\n\r\n")[2]
    b'123\r\n--x--'
    """

    def __init__(self, boundary: bytes, max_file: int = MAX_FILE) -> None:
        self._delimiter, self._max_file = b"\r\n--" + boundary, max_file
        # The first delimiter has no line break before it.
        self._pending, self._virtual = b"\r\n", 2
        self._in_headers = self._is_file = self._ended = False
        self._size = 0

    @staticmethod
    def of(content_type: bytes) -> FileClamp | None:
        """Return the clamp of a body by its content type; None for one without files."""
        match = _BOUNDARY.match(content_type)
        return FileClamp(match[1]) if match else None

    def keep(self, part: bytes) -> bytes:
        """Return what is kept of the next bytes; some may be returned with a later part."""
        self._pending += part
        kept = bytearray()
        while not self._ended and (
            self._take_headers(kept) if self._in_headers else self._take_content(kept)
        ):
            pass
        if self._ended:
            kept += self._pending
            self._pending = b""
        dropped = min(self._virtual, len(kept))
        self._virtual -= dropped
        return bytes(kept[dropped:])

    def _take_headers(self, kept: bytearray) -> bool:
        """Move headers to what is kept; whether there may be more to take."""
        end = self._pending.find(b"\r\n\r\n")
        if self._pending.startswith(b"--") or (end < 0 and len(self._pending) > MAX_HEADERS):
            self._ended = True
            return False
        if end < 0:
            return False
        headers, self._pending = self._pending[: end + 4], self._pending[end + 4 :]
        kept += headers
        self._is_file, self._size = b"filename" in headers.lower(), 0
        self._in_headers = False
        return True

    def _take_content(self, kept: bytearray) -> bool:
        end = self._pending.find(self._delimiter)
        # A delimiter may be cut in two.
        size = end if end >= 0 else max(0, len(self._pending) - len(self._delimiter))
        content = self._pending[:size]
        if self._is_file:
            content = content[: max(0, self._max_file - self._size)]
            self._size += len(content)
        kept += content
        if end < 0:
            self._pending = self._pending[size:]
            return False
        kept += self._delimiter
        self._pending = self._pending[size + len(self._delimiter) :]
        self._in_headers = True
        return True
