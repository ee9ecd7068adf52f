"""Appeals in the database: groups, quotas, codes, erasure; warnings to contacts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from django.db import transaction

from support import service_harness
from support.console_harness import SECRET
from support.notice_decisions import decision
from support.service_harness import SIGNER
from wavebreak.notices import load_platform
from wavebreak.schema.events import TYPES
from wavebreak_server.console.server import ConsoleOptions, configure
from wavebreak_server.errors import ApiError
from wavebreak_server.pipeline.holder_notices import HolderNotices
from wavebreak_server.pipeline.platform_messages import enqueue_message, message_body, one_time_code
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.slices.config import Appeals, load_config
from wavebreak_server.slices.erasure.service import erase_holder_texts
from wavebreak_server.slices.queue import contact_warnings
from wavebreak_server.slices.queue.models import IndexerState
from wavebreak_server.slices.statements.models import NoticeState
from wavebreak_server.storage.ledger_store import LedgerStore
from wavebreak_server.storage.models import (
    Decision,
    Delivery,
    EnforcementState,
    PlatformMessage,
    Webhook,
)

NOW = 1_795_701_720_000
DAY = 86_400_000


@pytest.fixture(autouse=True)
def database(tmp_path: Path) -> Iterator[None]:
    configure(ConsoleOptions("http://localhost"), SECRET)
    with service_harness.migrated("sqlite", tmp_path):
        Webhook.objects.create(
            id="hook_0", url="http://127.0.0.1/", min_outcome="ban", created_ms=0, cursor=0
        )
        yield


TERMS = load_config().appeals


def opened(number: int, text: str, operator: str = "", terms: Appeals = TERMS) -> Appeal:
    """An appeal that a platform opened, against a decision of its own."""
    made = decision(id=f"{number:032x}", account=f"a{number}") | {"number": number}
    store = LedgerStore(SIGNER, lambda: NOW)
    with transaction.atomic():
        new = appeals.PlatformAppeal(made["id"], text, "en", by="key", reason="")
        return appeals.open_from_platform(made, new, operator, store, NOW, terms)[0]


def test_appeals_over_an_operators_quota_are_received_together() -> None:
    terms = Appeals(7, 2, 30)
    made = [opened(n, f"text {n}", "op-1", terms) for n in range(4)]
    assert [one.state for one in made] == [Appeal.OPEN] * 4
    assert [one.together for one in made] == [False, False, True, True]
    assert {one.group for one in made} == {"op-1"}
    assert all(one.deadline_ms == NOW + 7 * DAY for one in made)


def test_appeals_of_one_operator_or_with_the_same_words_are_alike() -> None:
    first = opened(1, "It was  my WEDDING.")
    opened(2, "it was my wedding.", "op-1")
    third = opened(3, "Something else", "op-1")
    opened(4, "Alone")
    assert [other.number for other in appeals.duplicates(first)] == [2]
    assert [other.number for other in appeals.duplicates(third)] == [2]
    assert appeals.waiting_groups(9) == [{"group": "op-1", "n": 2}]


def test_statement_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEBREAK_APPEAL_KEY", "one")
    appeal = opened(1, "It was my wedding.")
    assert appeals.read_statement(appeal) == "It was my wedding."
    monkeypatch.setenv("WAVEBREAK_APPEAL_KEY", "another")
    assert appeals.read_statement(appeal) is None


def test_statements_are_erased_on_schedule_and_unconfirmed_lapse() -> None:
    decided, waiting = opened(1, "one"), opened(2, "two")
    Appeal.objects.filter(id=decided.id).update(state=Appeal.DECIDED, decided_ms=NOW)
    made = decision(id="f" * 32) | {"number": 9}
    with transaction.atomic():
        appeals.submit(made, "three", "en", NOW)
    terms = Appeals(7, 20, 30)
    assert appeals.erase_statements(NOW + 30 * DAY - 1, terms) == (0, 1)
    assert appeals.erase_statements(NOW + 30 * DAY + 1, terms) == (1, 0)
    left = Appeal.objects.unverified().filter(statement__isnull=False).values_list("id", flat=True)
    assert list(left) == [waiting.id]
    # What lapsed hinders nobody from appealing again.
    with transaction.atomic():
        appeals.submit(made, "four", "en", NOW)
    NoticeState.objects.create(
        decision="d", account="a2", language="en", shown_ms=0, statement=b"{}"
    )
    assert erase_holder_texts("a2", NOW) == 1
    assert not NoticeState.objects.exists()


def test_codes_are_limited_and_stored_nowhere() -> None:
    made = decision(id="e" * 32) | {"number": 9}
    for _ in range(appeals.MAX_CODES):
        with transaction.atomic():
            appeal = appeals.submit(made, "text", "en", NOW)
    with pytest.raises(Exception, match="too many codes"), transaction.atomic():
        appeals.submit(made, "text", "en", NOW)
    key = b"k" * 32
    code = one_time_code(key, appeal.code_message)
    message = PlatformMessage.objects.get(id=appeal.code_message)
    assert code.encode() not in bytes(message.data)
    assert msgspec.json.decode(message_body(message, key, "hook_1"))["data"]["code"] == code
    assert not appeals.check_code(appeal, code, key, NOW + appeals.CODE_MS)
    assert appeals.check_code(appeal, f"{code}", key, NOW)


def test_text_that_waits_for_its_code_stays_as_it_was_sent() -> None:
    made = decision(id="f" * 32) | {"number": 9}
    with transaction.atomic():
        appeals.submit(made, "what the holder wrote", "en", NOW)
    with pytest.raises(ApiError, match="another text waits"), transaction.atomic():
        appeals.submit(made, "what another wrote", "en", NOW + 1)
    assert appeals.read_statement(Appeal.objects.get()) == "what the holder wrote"
    with transaction.atomic():
        appeals.submit(made, "what they wrote later", "en", NOW + appeals.CODE_MS)
    assert appeals.read_statement(Appeal.objects.get()) == "what they wrote later"


def test_guesses_at_the_same_time_do_not_pass_the_limit_together() -> None:
    made = decision(id="d" * 32) | {"number": 9}
    with transaction.atomic():
        appeal = appeals.submit(made, "text", "en", NOW)
    key = b"k" * 32
    code = one_time_code(key, appeal.code_message)
    # Each has read the appeal before any of them has counted.
    *wrong, last = [Appeal.objects.get(id=appeal.id) for _ in range(appeals.MAX_ATTEMPTS + 1)]
    assert not any(appeals.check_code(each, "000000", key, NOW) for each in wrong)
    assert not appeals.check_code(last, code, key, NOW)


def test_erasure_leaves_no_digest_of_words() -> None:
    appeal = opened(1, "It was my wedding.")
    assert appeal.text_key != ""
    assert erase_holder_texts("a1", NOW) == 1
    appeal.refresh_from_db()
    assert (appeal.statement, appeal.text_key, appeal.group) == (None, "", "")


def test_message_without_a_webhook_is_not_stored() -> None:
    Webhook.objects.all().delete()
    assert enqueue_message("appeal.code", {}, NOW) == ""
    assert not PlatformMessage.objects.exists()


def _ban(number: int, account: str) -> None:
    made = decision("ban", id=f"{number:032x}", account=account)
    Decision.objects.create(
        number=number, id=made["id"], account=account, ts=made["ts"], stage="review",
        outcome="ban", until=None, reached=number, body=msgspec.json.encode(made),
    )  # fmt: skip
    EnforcementState.objects.create(
        account=account, outcome="ban", until=None, ts=made["ts"], decision=number
    )


def _log(*events: tuple[str, str, int]) -> pa.RecordBatch:
    kind = TYPES.index("message.sent")
    rows = [{"type": kind, "ts": ts, "account": a, "peer": b} for a, b, ts in events]
    return pa.RecordBatch.from_pylist(rows)


def test_contacts_are_warned_once_and_only_if_written_to_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: Any = [_log(("bad", "ann", 5), ("eve", "bad", 1), ("bad", "eve", 9), ("bad", "bob", 7)),
                None, _log(("ann", "bad", 8), ("x", "y", 1))]  # fmt: skip
    monkeypatch.setattr(contact_warnings, "events_from_the_end", lambda: iter(log))
    off = HolderNotices()
    _ban(1, "bad")
    assert contact_warnings.warn_contacts(off, NOW) == 0
    assert not PlatformMessage.objects.exists()
    on = HolderNotices(platform=msgspec.structs.replace(load_platform(), warn_contacts=True))
    assert contact_warnings.warn_contacts(on, NOW) == 0
    IndexerState.objects.update(warned=0)
    assert contact_warnings.warn_contacts(on, NOW) == 1
    assert contact_warnings.warn_contacts(on, NOW) == 0
    message = PlatformMessage.objects.get()
    said = msgspec.json.decode(bytes(message.data))
    assert (message.type, said["people"]) == ("contact.warning", ["bob", "ann"])
    assert said["warnings"]["he"]["direction"] == "rtl"
    # The ban's own notice comes first.
    assert Delivery.objects.get(message=message).next_ms > NOW
