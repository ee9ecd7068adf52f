"""Rows of a job: in the order of the log, each once."""

from __future__ import annotations

import pytest

from wavebreak.engine.exchange import ExchangeConflictError
from wavebreak.engine.published import merged
from wavebreak.errors import FileError

LATER, CLOSE, FIRST = (
    b'["decision",[7,0,31,0,2,0],{"id":"later"}]',
    b'["decision",[7,1,30,0,9,1],{"id":"close"}]',
    b'["decision",[7,0,30,1,1,0],{"id":"first"}]',
)


def test_rows_are_in_the_order_of_the_log_each_once() -> None:
    rows = [CLOSE, LATER, FIRST, LATER, b'["operator",[0],{}]']
    assert merged(rows, "decision") == [b'{"id":"first"}', b'{"id":"later"}', b'{"id":"close"}']


def test_rows_of_one_place_that_differ_are_an_error() -> None:
    with pytest.raises(ExchangeConflictError, match="rows of one place differ"):
        merged([FIRST, FIRST.replace(b"first", b"other")], "decision")


def test_a_line_that_is_no_row_is_refused() -> None:
    with pytest.raises(FileError, match="no row of a job"):
        merged([b"{}"], "decision")
