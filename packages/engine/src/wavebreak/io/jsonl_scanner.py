"""JSON Lines scanner: compiled code that reads flat JSON objects into columns.

It accepts less than JSON allows: one object per line, the schema's field names, each once and
without escapes, texts without escapes, whole numbers without a sign. Any other line, valid or not,
is marked `odd`, and the caller reads that line with a JSON library.

What writes a stream gives fields in the same order again and again. The scanner remembers which
field followed each field last, and looks for that name first, eight bytes at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavebreak.compiled.numba_runtime import (
    address_as_void_pointer,
    address_of,
    carray,
    compiled,
    int64,
    load_u8,
    load_u64,
    store_u64,
)
from wavebreak.io import arrow_columns
from wavebreak.io.line_splitter import control_bytes, equal_bytes, lowest

_OPEN, _CLOSE, _QUOTE, _COLON, _COMMA, _ESCAPE = map(ord, '{}":,\\')
_TAB, _RETURN, _SPACE, _ZERO, _NINE = map(ord, "\t\r 09")
_T, _R, _U, _E, _F, _A, _L, _S = map(ord, "truefals")
_DIGITS = 18
"""Digits that always fit into 64 bits."""
MOST = (1 << 31) - 1
"""Maximum bytes per scan: positions in a text have 32 bits."""


_QUOTED = [f'"{name}":'.encode() for name in arrow_columns.NAMES]
_KEY_BYTES = -(-max(map(len, _QUOTED)) // 8) * 8


def _words(texts: list[bytes]) -> NDArray[np.uint64]:
    """Return texts as words of eight bytes, `_KEY_BYTES` each."""
    padded = b"".join(text.ljust(_KEY_BYTES, b"\0") for text in texts)
    return np.frombuffer(padded, np.uint64).reshape(len(texts), -1)


_KEYS, _KEY_SIZES = _words(_QUOTED), np.array(list(map(len, _QUOTED)), np.int64)
"""Each field's `"name":`, and its bytes."""
_KEY_BITS = _words([b"\xff" * len(key) for key in _QUOTED])


class Scanned(NamedTuple):
    """Decoded columns, one row per line, and a mask of odd lines."""

    laid: arrow_columns.DecodedColumns
    odd: arrow_columns.Mask


@compiled(inline="always")
def _past_blanks(address: Any) -> Any:
    while load_u8(address) == _SPACE or load_u8(address) == _TAB or load_u8(address) == _RETURN:
        address += 1
    return address


@compiled(inline="always")
def _end_of_text(address: Any, end: Any) -> Any:
    """Return the end of the text at `address`; -1 if an escape or control character is first."""
    while address + 8 <= end:
        word = load_u64(address)
        bits = equal_bytes(word, _QUOTE) | equal_bytes(word, _ESCAPE) | control_bytes(word)
        if bits != 0:
            address += lowest(bits)
            return address if load_u8(address) == _QUOTE else int64(-1)
        address += 8
    while load_u8(address) != _QUOTE:
        if load_u8(address) < _SPACE or load_u8(address) == _ESCAPE:
            return int64(-1)
        address += 1
    return address


@compiled(inline="always")
def _flag_at(address: Any) -> Any:
    """Return the length of `true` or `false` at `address`, or 0."""
    size = int64(0)
    if load_u8(address) == _T and load_u8(address + 1) == _R and load_u8(address + 2) == _U:
        size = int64(4)
    elif load_u8(address) == _F and load_u8(address + 1) == _A and load_u8(address + 2) == _L:
        size = int64(5) if load_u8(address + 3) == _S else int64(0)
    return size if size and load_u8(address + size - 1) == _E else int64(0)


@compiled(inline="always")
def _are_digits(word: Any) -> Any:
    """Whether eight bytes are digits: their upper halves are 3, and with 6 more as well."""
    each_byte = np.uint64(0x0101010101010101)
    uppers, threes = each_byte * np.uint64(0xF0), each_byte * np.uint64(0x30)
    return (word & uppers) == threes and ((word + each_byte * np.uint64(6)) & uppers) == threes


@compiled(inline="always")
def _eight_digits(word: Any) -> Any:
    """Return the number of eight digits: pairs, then fours, then both, each in one product."""
    pairs = (word & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(2561) >> np.uint64(8)
    fours = (pairs & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601) >> np.uint64(16)
    number = (fours & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001) >> np.uint64(32)
    return int64(number)


@compiled(inline="always")
def _is_key(address: Any, field: Any) -> Any:
    """Whether a field's name and a colon begin at `address`; at least _KEY_BYTES follow."""
    differ = np.uint64(0)
    for k in range(_KEY_BYTES >> 3):
        differ |= (load_u64(address + 8 * k) ^ _KEYS[field, k]) & _KEY_BITS[field, k]
    return differ == np.uint64(0)


@compiled(inline="always")
def _key_at(address: Any, end: Any, likely: Any) -> Any:
    """Return the field with the name at `address` (-1: none), and the position of the value."""
    if address + _KEY_BYTES <= end and _is_key(address, likely):
        return likely, _past_blanks(address + _KEY_SIZES[likely])
    closing = _end_of_text(address + 1, end) if load_u8(address) == _QUOTE else int64(-1)
    field = (
        arrow_columns.field_named(address + 1, closing - address - 1) if closing >= 0 else int64(-1)
    )
    if field < 0:
        return int64(-1), address
    address = _past_blanks(closing + 1)
    return (
        (field, _past_blanks(address + 1)) if load_u8(address) == _COLON else (int64(-1), address)
    )


@compiled(inline="always")
def _value_at(address: Any, end: Any, kind: Any) -> Any:
    """Return the position after the value at `address` (-1: of another kind), and the value."""
    if kind in (arrow_columns.TEXT, arrow_columns.WORD):
        closing = _end_of_text(address + 1, end) if load_u8(address) == _QUOTE else int64(-1)
        return (closing + 1, closing - address - 1) if closing >= 0 else (int64(-1), int64(0))
    if kind == arrow_columns.FLAG:
        size = _flag_at(address)
        return (address + size, int64(size == 4)) if size else (int64(-1), int64(0))
    number, first = int64(0), address
    if address + 8 <= end and _are_digits(load_u64(address)):
        number, address = _eight_digits(load_u64(address)), address + 8
    while _ZERO <= load_u8(address) <= _NINE and address - first <= _DIGITS:
        number = number * 10 + (load_u8(address) - _ZERO)
        address += 1
    long = address - first > _DIGITS or (address - first > 1 and load_u8(first) == _ZERO)
    return (int64(-1), int64(0)) if address == first or long else (address, number)


@compiled()
def _scan(
    text: Any, ends: Any, longest: Any, present: Any, values: Any, begins: Any
) -> Any:  # fmt: skip
    """Find the fields of each line (0 for odd ones); returns the fields of any line.

    Every step stops at a newline at the latest and reads no later byte.
    """
    base = start = address_of(text)
    end, somewhere, none = base + len(text), int64(0), len(arrow_columns.KINDS)
    # For each field, and last for a line's begin: the field that came after it.
    following = np.zeros(none + 1, np.int64)
    for row in range(len(ends)):
        fields, before, separator, address = int64(0), none, _OPEN, start
        present[row], start = 0, base + ends[row] + 1
        if start - address > longest + 1:
            continue
        address = _past_blanks(address)
        while address >= 0 and load_u8(address) == separator:
            field, address = _key_at(_past_blanks(address + 1), end, following[before])
            if field < 0 or (fields >> field) & 1:
                address = int64(-1)
                break
            following[before] = before = field
            begins[field, row] = address + 1 - base
            address, values[field, row] = _value_at(address, end, arrow_columns.KINDS[field])
            fields |= int64(1) << field
            address = _past_blanks(address) if address >= 0 else address
            separator = _COMMA
        if address >= 0 and load_u8(address) == _CLOSE and _past_blanks(address + 1) == start - 1:
            present[row] = fields
            somewhere |= fields
    return somewhere


@compiled()
def _measure(present: Any, values: Any, room: Any) -> None:
    """Write the bytes of text by field to `room`, which is 0 there."""
    for field in range(len(arrow_columns.KINDS)):
        if room[field] == 0 and arrow_columns.KINDS[field] == arrow_columns.TEXT:
            size = int64(0)
            for row in range(len(present)):
                size += values[field, row] if present[row] >> field & 1 else 0
            room[field] = size


@compiled(inline="always")
def _copy(address: Any, end: Any, size: Any, to: Any) -> None:
    """Copy letters eight at a time where the text is long enough; the column has spare room."""
    if address + size + 8 <= end:
        for k in range(0, size, 8):
            store_u64(to + k, load_u64(address + k))
    else:
        column = carray(address_as_void_pointer(to), (size,), np.uint8)
        for k in range(size):
            column[k] = load_u8(address + k)


@compiled()
def _lay_texts(text: Any, values: Any, begins: Any, field: Any, sheet: Any) -> Any:
    """Write a column of texts; returns the number of rows that give one."""
    offsets, column = (
        arrow_columns.text_offsets(sheet, field),
        address_of(sheet.memory) + sheet.where[field, 2],
    )
    present, doubt, (low, high) = sheet.present, sheet.doubt, arrow_columns.BOUNDS[field]
    base, end, to, count = address_of(text), address_of(text) + len(text), int64(0), int64(0)
    for row in range(len(present)):
        if present[row] >> field & 1:
            size = values[field, row]
            _copy(base + begins[field, row], end, size, column + to)
            to += size
            if low <= size <= high:
                count += 1
            else:
                present[row] ^= int64(1) << field
                doubt[row] = True
        offsets[row + 1] = to
    return count


@compiled()
def _lay_words(text: Any, values: Any, begins: Any, field: Any, sheet: Any) -> Any:
    """Write a column of words as codes; returns as `_lay_texts`."""
    codes, present, doubt = sheet.memory[sheet.where[field, 1] :], sheet.present, sheet.doubt
    base, count = address_of(text), int64(0)
    for row in range(len(present)):
        if present[row] >> field & 1:
            code = arrow_columns.enum_code(base + begins[field, row], values[field, row], field)
            if code != arrow_columns.NO_CODE:
                codes[row] = code
                count += 1
            else:
                present[row] ^= int64(1) << field
                doubt[row] = True
    return count


@compiled()
def _lay_numbers(values: Any, field: Any, sheet: Any) -> Any:
    """Write a column of numbers; returns as `_lay_texts`."""
    present, doubt, (low, high) = sheet.present, sheet.doubt, arrow_columns.BOUNDS[field]
    (longs, shorts), count = arrow_columns.number_columns(sheet, field), int64(0)
    for row in range(len(present)):
        if present[row] >> field & 1:
            value = values[field, row]
            if not low <= value <= high:
                present[row] ^= int64(1) << field
                doubt[row] = True
                continue
            count += 1
            if len(longs):
                longs[row] = value
            else:
                shorts[row] = value
    return count


@compiled()
def _lay_flags(values: Any, field: Any, sheet: Any) -> Any:
    """Write a column of flags; returns as `_lay_texts`."""
    bits, present, count = sheet.memory[sheet.where[field, 1] :], sheet.present, int64(0)
    for row in range(len(present)):
        if present[row] >> field & 1:
            bits[row >> 3] |= values[field, row] << (row & 7)
            count += 1
    return count


@compiled()
def _lay_out(text: Any, values: Any, begins: Any, sheet: Any) -> None:
    """Write the columns of the fields that `sheet.present` says are given."""
    for row in range(len(sheet.present)):
        sheet.doubt[row] = sheet.present[row] == 0
    for field in range(len(arrow_columns.KINDS)):
        if sheet.where[field, 0] < 0:
            continue
        kind = arrow_columns.KINDS[field]
        if kind == arrow_columns.TEXT:
            count = _lay_texts(text, values, begins, field, sheet)
        elif kind == arrow_columns.WORD:
            count = _lay_words(text, values, begins, field, sheet)
        elif kind == arrow_columns.FLAG:
            count = _lay_flags(values, field, sheet)
        else:
            count = _lay_numbers(values, field, sheet)
        sheet.many[field] = count


def scan(text: memoryview, ends: NDArray[np.int64], longest: int) -> Scanned:
    r"""Scan lines that end at `ends`; a line longer than `longest` bytes is odd.

    The text must be UTF-8 and at most `MOST` bytes long.

    >>> line = b'{"type":"account.deleted","ts":7,"account":"ann"}'
    >>> found = scan(memoryview(line + b"\n{}\n"), np.array([len(line), len(line) + 3]), 99)
    >>> found.laid.columns["account"].to_pylist(), found.odd.tolist()
    (['ann', None], [False, True])
    """
    letters, rows = np.frombuffer(text, np.uint8), len(ends)
    letters.flags.writeable = False
    present = np.empty(rows, np.int64)
    values = np.empty((len(arrow_columns.NAMES), rows), np.int64)
    begins = np.empty((len(arrow_columns.NAMES), rows), np.int32)
    fields = _scan(letters, ends, longest, present, values, begins)
    fields |= 1 << arrow_columns.NAMES.index("type")
    room = np.array([fields >> k & 1 for k in range(len(arrow_columns.NAMES))], np.int64) - 1
    _measure(present, values, room)
    buffers = arrow_columns.allocate_buffers(rows, room.tolist())
    buffers.present[:] = present
    _lay_out(letters, values, begins, buffers)
    return Scanned(arrow_columns.finish_columns(buffers), present == 0)
