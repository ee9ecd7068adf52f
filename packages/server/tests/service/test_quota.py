from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from support.events import edge, sent
from wavebreak import engine as pipeline
from wavebreak import rules
from wavebreak.engine.account_queries import BUCKET_S, ChatCounts, count_chats
from wavebreak.errors import PolicyError
from wavebreak.schema.events import WIRE_SCHEMA
from wavebreak_server.pipeline.decide import (
    QuotaConfig,
    load_quota_config,
    quota_status,
)

TERMS = QuotaConfig(first_warning=0.5, second_warning=0.8, extension=5)
DAY = 20_000 * 86_400_000


def engine(items: list[dict[str, object]]) -> pipeline.Engine:
    made = pipeline.Engine(rules.load_policy(), accounts=64)
    made.take(edge().apply(pa.RecordBatch.from_pylist(items, WIRE_SCHEMA)))
    return made


def found(items: list[dict[str, object]], at_s: int = DAY // 1000 + 3_600) -> ChatCounts:
    made = engine(items)
    slot = int(made.fanout.accounts.slots(pa.array(["ann"]))[0])
    return count_chats(made.core, slot, at_s)


def to(peer: str, minute: int, account: str = "ann") -> dict[str, object]:
    return {**sent(ts=DAY + minute * 60_000), "account": account, "peer": peer}


def test_quota_counts_a_chat_once_until_a_reply() -> None:
    asked = [to("ben", 0), to("cat", 1), to("ben", 2), to("dan", 3)]
    assert found(asked) == ChatCounts(3, 0, DAY // 1000)
    assert found([*asked, to("ann", 5, "ben")])[:2] == (3, 1)


def test_quota_ignores_chats_opened_by_the_peer() -> None:
    assert found([to("ann", 0, "eve"), to("eve", 1), to("ben", 2)])[:2] == (1, 0)


def test_quota_chat_leaves_the_cycle_after_a_day() -> None:
    assert found([to("ben", 0)], DAY // 1000 + 15 * BUCKET_S).opened == 1
    assert found([to("ben", 0)], DAY // 1000 + 16 * BUCKET_S).opened == 0


@pytest.mark.parametrize(
    ("used", "extended", "state", "left"),
    [
        (0, False, "NONE", 10),
        (4, False, "NONE", 6),
        (5, False, "FIRST_WARNING", 5),
        (8, False, "SECOND_WARNING", 2),
        (10, False, "CAPPED", 0),
        (12, False, "CAPPED", 0),
        (10, True, "FIRST_WARNING", 5),
        (15, True, "CAPPED", 0),
    ],
)
def test_quota_state_follows_the_used_share(
    used: int, extended: bool, state: str, left: int
) -> None:
    made = quota_status(TERMS, 10, ChatCounts(used, 0, 0), extended)
    assert (made.state, made.left) == (state, left)
    assert made.extension == ("used" if extended else "available")


def test_unlimited_account_has_no_quota() -> None:
    made = quota_status(TERMS, None, None, False)
    assert (made.state, made.limit, made.left, made.extension) == ("NONE", None, None, "none")


def test_quota_of_zero_is_capped() -> None:
    assert quota_status(TERMS, 0, ChatCounts(0, 0, None), False).state == "CAPPED"


@pytest.mark.parametrize("text", ["", "[quota]\nfirst_warning = 2\n", "x", "[quota]\nx = 1\n"])
def test_invalid_quota_file_is_a_policy_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "quota.toml").write_text(text)
    with pytest.raises(PolicyError, match=r"quota\.toml"):
        load_quota_config(tmp_path)
