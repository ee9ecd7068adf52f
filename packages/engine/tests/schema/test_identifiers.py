"""Ids that may stand in a log as they are, judged one by one and column by column alike."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak.schema.identifiers import KINDS, fault, faulty_rows

PERSONAL = [
    "+972541234567", "+1(415)555-0100", "972541234567", "0541234567", "054-123-4567",
    "00972541234567", "415-555-0100", "ann@example.org", "mailto:ann", "https://x.y/z", "www.x.y",
    "972541234567@s.whatsapp.net", "meet me at nine", "a\u00a0b",
]  # fmt: skip
NEVER = ["a\n", "\x07", "a\x1b[2J", "a\x7f", "a\x9bm", "a\u202eb", "..", "a/../b", "./a"]
PLAIN = [
    "a", "a00ff12c", "17", "123456789", "1234567890123456789", "0000012345", "user:7", "a/b", "a.b",
    "@ann:example.org", "é", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "ff+/ab==", "-", "...", "a..b",
    "sha256:00", "2024-11-27", "1.2.3",
]  # fmt: skip


@pytest.mark.parametrize("value", PERSONAL)
def test_id_like_personal_data_is_refused_unless_allowed(value: str) -> None:
    for field in ("account", "peer"):
        found = fault(field, value)
        assert found is not None
        assert "--allow-identifiers" in found.fix
        assert fault(field, value, allow=True) is None


@pytest.mark.parametrize("value", NEVER)
def test_id_that_the_api_cannot_name_is_always_refused(value: str) -> None:
    assert fault("account", value, allow=True) is not None


@pytest.mark.parametrize("value", PLAIN)
def test_opaque_id_is_accepted_in_every_field(value: str) -> None:
    assert [fault(field, value) for field in KINDS] == [None] * len(KINDS)


def test_digits_alone_are_numbers_of_people_only() -> None:
    assert fault("id", "972541234567") is None
    assert fault("message", "0541234567") is None
    assert fault("group", "+972541234567") is not None


PIECES = st.one_of(
    st.sampled_from([*PERSONAL, *NEVER, *PLAIN, "+", "0", "00", "@", ".", "/", "://", "www", "-"]),
    st.text(max_size=6),
    st.from_regex(r"[0-9+.()/-]{1,18}", fullmatch=True),
)
VALUES = st.lists(PIECES, min_size=1, max_size=3).map("".join).filter(lambda text: text != "")


@given(st.lists(st.one_of(st.none(), VALUES), min_size=1, max_size=12), st.booleans(), st.data())
def test_columns_are_judged_as_single_ids(
    values: list[str | None], allow: bool, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(list(KINDS)))
    start = data.draw(st.integers(0, len(values) - 1))
    batch = pa.RecordBatch.from_pydict({field: pa.array(values, pa.string())}).slice(start)
    wanted = [
        row
        for row, value in enumerate(values[start:])
        if value is not None and fault(field, value, allow=allow)
    ]
    assert faulty_rows(batch, allow=allow).tolist() == wanted
