from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from support.events import edge, sent
from wavebreak import engine as pipeline
from wavebreak import rules
from wavebreak.errors import PolicyError
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak.service.decide import BUCKET_S, Chats, Terms, chats, load_terms, quota

TERMS = Terms(first_warning=0.5, second_warning=0.8, extension=5)
DAY = 20_000 * 86_400_000


def engine(items: list[dict[str, object]]) -> pipeline.Engine:
    made = pipeline.Engine(rules.load_policy(), accounts=64)
    made.take(edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA)))
    return made


def found(items: list[dict[str, object]], at_s: int = DAY // 1000 + 3_600) -> Chats:
    made = engine(items)
    slot = int(made.fanout.accounts.slots(pa.array(["ann"]))[0])
    return chats(made.core, slot, at_s)


def to(peer: str, minute: int, account: str = "ann") -> dict[str, object]:
    return {**sent(ts=DAY + minute * 60_000), "account": account, "peer": peer}


def test_a_chat_counts_once_and_an_answer_frees_it() -> None:
    asked = [to("ben", 0), to("cat", 1), to("ben", 2), to("dan", 3)]
    assert found(asked) == Chats(3, 0, DAY // 1000)
    assert found([*asked, to("ann", 5, "ben")])[:2] == (3, 1)


def test_a_chat_that_the_other_opened_does_not_count() -> None:
    assert found([to("ann", 0, "eve"), to("eve", 1), to("ben", 2)])[:2] == (1, 0)


def test_a_chat_leaves_the_cycle_after_a_day() -> None:
    assert found([to("ben", 0)], DAY // 1000 + 15 * BUCKET_S).opened == 1
    assert found([to("ben", 0)], DAY // 1000 + 16 * BUCKET_S).opened == 0


@pytest.mark.parametrize(
    ("used", "extended", "state", "left"),
    [(0, False, "NONE", 10), (4, False, "NONE", 6), (5, False, "FIRST_WARNING", 5),
     (8, False, "SECOND_WARNING", 2), (10, False, "CAPPED", 0), (12, False, "CAPPED", 0),
     (10, True, "FIRST_WARNING", 5), (15, True, "CAPPED", 0)],
)  # fmt: skip
def test_states_follow_the_share_that_is_used(
    used: int, extended: bool, state: str, left: int
) -> None:
    made = quota(TERMS, 10, Chats(used, 0, 0), extended)
    assert (made.state, made.left) == (state, left)
    assert made.extension == ("used" if extended else "available")


def test_an_account_that_is_not_limited_has_no_quota() -> None:
    made = quota(TERMS, None, None, False)
    assert (made.state, made.limit, made.left, made.extension) == ("NONE", None, None, "none")


def test_a_quota_of_nothing_is_capped() -> None:
    assert quota(TERMS, 0, Chats(0, 0, None), False).state == "CAPPED"


@pytest.mark.parametrize("text", ["", "[quota]\nfirst_warning = 2\n", "x", "[quota]\nx = 1\n"])
def test_terms_that_are_not_well_formed_are_a_policy_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "quota.toml").write_text(text)
    with pytest.raises(PolicyError, match=r"quota\.toml"):
        load_terms(tmp_path)
