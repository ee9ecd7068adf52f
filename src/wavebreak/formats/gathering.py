"""Batches of columns gathered into one, straight from their memory, by machine code.

It takes columns of the wire's own types, as most senders write them; of any other the caller makes
such first. Nothing is read that a batch does not own: that its buffers are as large as its rows
need is checked by Arrow, which is quick, that its texts lie within them is checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wavebreak.arrows import (
    BUFFERS,
    DICTIONARY,
    LENGTH,
    N_BUFFERS,
    N_CHILDREN,
    NULLS,
    OFFSET,
    children,
    is_given,
    lent,
    members,
    numbers,
)
from wavebreak.formats.laying import (
    BOUNDS,
    FLAG,
    KINDS,
    KNOWN,
    LONG,
    NAMES,
    NONE,
    SHORT,
    TEXT,
    WORD,
    Laid,
    Sheet,
    code_at,
    keep,
    laid,
    offsets_of,
    sheet,
    write_flag,
    write_number,
)
from wavebreak.jit import compiled, int64

_MOST = (1 << 31) - 1
_ZERO, _ONES, _HIGHS = map(np.uint64, (0, 0x0101010101010101, 0x8080808080808080))
_FIELDS = {name: field for field, name in enumerate(NAMES)}
_HOLDS = {
    kind.id: holds
    for kind, holds in ((pa.string(), TEXT), (pa.int64(), LONG), (pa.int32(), SHORT),
                        (pa.bool_(), FLAG))
}  # fmt: skip


def gathered(batches: Sequence[pa.RecordBatch]) -> Laid | None:
    """Put batches together and check them; None where that is not for machine code.

    A field that a batch lacks is absent in its rows. None comes of columns of other names or types,
    of texts that are not UTF-8 and of damaged buffers.
    """
    forms = _forms(batches)
    if forms is None:
        return None
    try:
        for batch in batches:
            batch.validate()
    except pa.ArrowInvalid:
        return None
    parts, _kept = lent(batches)
    room = np.full(len(NAMES), -1, np.int64)
    room[_FIELDS["type"]] = 0
    rows = _sized(parts, forms, room)
    if rows < 0 or room.max() > _MOST:
        return None
    made = sheet(rows, room.tolist())
    if not _gathered(parts, forms, BOUNDS, KNOWN, made) or not _in_order(made):
        return None
    return laid(made)


def _in_order(made: Sheet) -> bool:
    """Mark texts with a NUL; tell whether all are UTF-8."""
    for field in np.flatnonzero(made.many).tolist():
        if KINDS[field] == TEXT and (letters := _looked_at(made, field)):
            begin, size = made.where[field, 2:].tolist()
            try:
                str(made.memory[begin : begin + size].data, "utf-8")
            except UnicodeDecodeError:
                return False
            if letters < 0:
                return False
    return True


def _forms(batches: Sequence[pa.RecordBatch]) -> NDArray[np.int8] | None:
    """Of each batch which field each column is, and what it holds; None if some are not for us."""
    forms: list[NDArray[np.int8]] = []
    for at, batch in enumerate(batches):
        if at and batch.schema.equals(batches[at - 1].schema):
            forms.append(forms[-1])
            continue
        form = _form(batch.schema)
        if form is None:
            return None
        forms.append(form)
    return np.concatenate(forms)


def _form(schema: pa.Schema) -> NDArray[np.int8] | None:
    try:
        fields = [_FIELDS[name] for name in schema.names]
        holds = [_HOLDS[kind.id] for kind in schema.types]
    except (KeyError, UnicodeDecodeError):
        return None
    if len(set(fields)) < len(fields) or not all(map(_fits, fields, holds)):
        return None
    missing = [-1] * (len(NAMES) - len(fields))
    return np.array([[fields + missing, holds + missing]], np.int8)


def _fits(field: int, holds: int) -> bool:
    kind = int(KINDS[field])
    if kind in (LONG, SHORT):
        return holds in (LONG, SHORT)
    return holds == (TEXT if kind == WORD else kind)


@compiled()
def _sized(parts: Any, forms: Any, room: Any) -> Any:
    """Add up rows and, by field, bytes of text; gives the rows, or -1 where a batch is not plain.

    Batches were held against Arrow's quick checks: first and last offset of a text are within it.
    """
    rows = int64(0)
    for part in range(len(parts)):
        batch = members(parts[part])
        if batch[OFFSET] != 0 or batch[N_CHILDREN] > forms.shape[2]:
            return int64(-1)
        columns = children(batch)
        for child in range(batch[N_CHILDREN]):
            column = members(columns[child])
            field, holds = forms[part, 0, child], forms[part, 1, child]
            size = _text_size(column) if holds == TEXT else _alignment(column, holds)
            plain = column[LENGTH] == batch[LENGTH] and column[DICTIONARY] == 0
            if size < 0 or not plain or column[N_CHILDREN] != 0:
                return int64(-1)
            room[field] = max(room[field], 0) + size
        rows += batch[LENGTH]
    return rows


@compiled()
def _text_size(column: Any) -> Any:
    """Bytes that a column's texts span; -1 where its buffers are not as they ought to be."""
    if column[N_BUFFERS] != 3:
        return int64(-1)
    if column[LENGTH] == 0:
        return int64(0)
    buffers = numbers(column[BUFFERS], 3, np.int64)
    where = buffers[1]
    if where == 0 or where & 3:
        return int64(-1)
    offsets = numbers(where + 4 * column[OFFSET], column[LENGTH] + 1, np.int32)
    first, last = int64(offsets[0]), int64(offsets[column[LENGTH]])
    if not 0 <= first <= last or (buffers[2] == 0 and last > 0):
        return int64(-1)
    return last - first


@compiled()
def _alignment(column: Any, holds: Any) -> Any:
    """0 where a column's values lie as a processor reads them, else -1."""
    if column[N_BUFFERS] != 2:
        return int64(-1)
    if column[LENGTH] == 0:
        return int64(0)
    where = numbers(column[BUFFERS], 2, np.int64)[1]
    mask = 7 if holds == LONG else 3 if holds == SHORT else 0
    return int64(-1) if where == 0 or where & mask else int64(0)


@compiled(inline="always")
def _span(column: Any) -> Any:
    """Buffers of a column of texts, where in the third each begins, first and last of these."""
    rows = column[LENGTH]
    buffers = numbers(column[BUFFERS], 3, np.int64)
    starts = numbers(buffers[1] + 4 * column[OFFSET], rows + 1, np.int32)
    return buffers, starts, int64(starts[0]), int64(starts[rows])


@compiled()
def _texts(column: Any, row: Any, field: Any, to: Any, bounds: Any, sheet: Any) -> Any:
    """Write a column of texts behind the `to` bytes of those before; gives how many there are.

    -1 where an offset goes back or beyond the last.
    """
    rows, begin = column[LENGTH], column[OFFSET]
    buffers, starts, before, last = _span(column)
    at = sheet.where[field, 2] + to
    sheet.memory[at : at + last - before] = numbers(buffers[2] + before, last - before, np.uint8)
    offsets = offsets_of(sheet, field)
    many, shift = int64(0), to - before
    low, high = bounds[field]
    for k in range(rows):
        after = int64(starts[k + 1])
        if after < before or after > last:
            return int64(-1)
        if is_given(buffers[0], begin + k):
            many += 1
            keep(low <= after - before <= high, row + k, field, sheet)
        offsets[row + k + 1] = after + shift
        before = after
    return many


@compiled(inline="always")
def _is_ascii(text: Any, at: Any, end: Any) -> Any:
    high = np.uint8(0)
    for k in range(at, end):
        high |= text[k]
    return high < 128


@compiled()
def _words(column: Any, row: Any, field: Any, known: Any, sheet: Any) -> Any:
    """Write a column of words as codes; gives how many there are, -1 as `_texts` does.

    A word that is none of those known is ASCII, or it comes to -1 too.
    """
    rows, begin = column[LENGTH], column[OFFSET]
    buffers, starts, before, last = _span(column)
    text, made = numbers(buffers[2], last, np.uint8), sheet.memory[sheet.where[field, 1] :]
    many = int64(0)
    for k in range(rows):
        after = int64(starts[k + 1])
        if after < before or after > last:
            return int64(-1)
        if is_given(buffers[0], begin + k):
            many += 1
            code = code_at(text, before, after - before, field, known)
            if code == NONE and not _is_ascii(text, before, after):
                return int64(-1)
            keep(code != NONE, row + k, field, sheet)
            made[row + k] = code if code != NONE else 0
        before = after
    return many


@compiled()
def _integers(column: Any, holds: Any, row: Any, field: Any, bounds: Any, sheet: Any) -> Any:
    """Write a column of whole numbers, of either width; gives how many there are."""
    rows, begin, wide = column[LENGTH], column[OFFSET], holds == LONG
    buffers = numbers(column[BUFFERS], 2, np.int64)
    longs = numbers(buffers[1] + 8 * begin, rows, np.int64)
    shorts = numbers(buffers[1] + 4 * begin, rows, np.int32)
    many, (low, high) = int64(0), bounds[field]
    for k in range(rows):
        if is_given(buffers[0], begin + k):
            many += 1
            value = longs[k] if wide else int64(shorts[k])
            good = low <= value <= high
            keep(good, row + k, field, sheet)
            write_number(value if good else 0, row + k, field, sheet)
    return many


@compiled()
def _flags(column: Any, row: Any, field: Any, sheet: Any) -> Any:
    """Write a column of flags; gives how many there are."""
    begin = column[OFFSET]
    buffers = numbers(column[BUFFERS], 2, np.int64)
    many = int64(0)
    for k in range(column[LENGTH]):
        if is_given(buffers[0], begin + k):
            many += 1
            keep(True, row + k, field, sheet)
            write_flag(is_given(buffers[1], begin + k), row + k, field, sheet)
    return many


@compiled()
def _gathered(parts: Any, forms: Any, bounds: Any, known: Any, sheet: Any) -> bool:
    """Write what `_sized` measured, batch by batch; False where a buffer is damaged after all."""
    row, to = int64(0), np.zeros(len(bounds), np.int64)
    for part in range(len(parts)):
        batch = members(parts[part])
        rows, seen = batch[LENGTH], int64(0)
        columns = children(batch)
        for child in range(batch[N_CHILDREN] if rows else 0):
            column = members(columns[child])
            field, holds = int64(forms[part, 0, child]), forms[part, 1, child]
            seen |= int64(1) << field
            if known.kinds[field] == WORD:
                many = _words(column, row, field, known, sheet)
            elif holds == TEXT:
                many = _texts(column, row, field, to[field], bounds, sheet)
                to[field] += _text_size(column)
            elif holds == FLAG:
                many = _flags(column, row, field, sheet)
            else:
                many = _integers(column, holds, row, field, bounds, sheet)
            if many < 0 or (column[NULLS] >= 0 and column[NULLS] != rows - many):
                return False
        for field in range(len(bounds)):
            if known.kinds[field] == TEXT and sheet.where[field, 0] >= 0 and not seen >> field & 1:
                offsets_of(sheet, field)[row + 1 : row + rows + 1] = to[field]
        row += rows
    return True


@compiled()
def _looked_at(sheet: Any, field: Any) -> Any:
    """Mark rows with a NUL in a text; gives 0 for ASCII, 1 for other letters, -1 for torn ones."""
    begin, size = sheet.where[field, 2], sheet.where[field, 3]
    text, rows = sheet.memory[begin : begin + size], len(sheet.given)
    letters, nuls = _ZERO, _ZERO
    for word in text[: size & ~7].view(np.uint64):
        letters |= word
        nuls |= (word - _ONES) & ~word
    high, nul = letters & _HIGHS != _ZERO, nuls & _HIGHS != _ZERO
    for at in range(size & ~7, size):
        high |= text[at] > 127
        nul |= text[at] == 0
    offsets = offsets_of(sheet, field)
    if nul:
        for row in range(rows):
            for at in range(offsets[row], offsets[row + 1]):
                sheet.doubt[row] |= text[at] == 0
    if high:
        for row in range(rows):
            if offsets[row] < size and text[offsets[row]] & 0xC0 == 0x80:
                return -1
    return 1 if high else 0
