"""The service seals decisions before it shows them, on both databases, and proves them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from django.db import DatabaseError, connection, transaction

from support import service_harness, warm_process
from support.banning_policy import load_banning_policy
from support.service_harness import SIGNER, Running, abuser
from wavebreak.errors import EvidenceError
from wavebreak.ledger import Draft, Entry, new_signer, read_entry
from wavebreak.ledger.audit import audit_directory
from wavebreak.ledger.checkpoints import encode_signer, encode_verifier_key
from wavebreak.ledger.entries import (
    AppealEntry,
    DecisionEntry,
    ErasureEntry,
    LabelEntry,
    OverrideEntry,
    ReceiptEntry,
    VersionEntry,
)
from wavebreak.ledger.key_changes import RETIRED, KeyChange
from wavebreak.ledger.verifier import (
    canonical,
    check_consistency,
    check_proof_bundle,
    check_signature,
    read_checkpoint,
    read_lines,
)
from wavebreak_server.slices.webhooks.service import RetryPolicy, WebhookDispatcher
from wavebreak_server.storage.ledger_store import (
    LedgerStore,
    OpeningRows,
    PendingReceipt,
    export_ledger,
    rotate_service_key,
)

BECAUSE = "because a test asks for it"


@pytest.fixture(params=service_harness.DATABASES)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with service_harness.migrated(request.param, tmp_path):
        yield request.param


def live(tmp_path: Path, work: Callable[[Running], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with service_harness.running(tmp_path, **more) as made:
            await work(made)

    asyncio.run(whole())


def ledger(tmp_path: Path, name: str = "copy") -> list[Entry]:
    """Every entry of the service's ledger, once all of it has been checked."""
    place = tmp_path / name
    place.mkdir()
    try:
        export_ledger(place)
    finally:
        connection.close()
    audit_directory(place, [SIGNER.key], [])
    return [read_entry(line) for line in read_lines(place / "entries.jsonl")]


def receipts(entries: Sequence[Entry], effect: str = "applied") -> list[int]:
    """Positions of the decisions that have a receipt of such an effect."""
    bodies = [e.body for e in entries if isinstance(e.body, ReceiptEntry)]
    return [body.decision for body in bodies if body.effect == effect]


async def receipted(made: Running) -> None:
    """Wait until each decision has its receipt."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(_owing, made.service.ledger_store):
            await asyncio.sleep(0.01)


def _owing(ledger_store: LedgerStore) -> int:
    try:
        return len(ledger_store.pending_receipts())
    finally:
        connection.close()


@pytest.mark.usefixtures("kind")
def test_decision_is_sealed_with_its_row_and_one_receipt(tmp_path: Path) -> None:
    async def test(made: Running) -> None:
        for n in range(3):
            await made.send(abuser(account=f"a{n}", ts=1_767_222_000_000 + n * 60_000))
        await receipted(made)

    live(tmp_path, test)
    entries, decided = ledger(tmp_path), [json.loads(body) for body in service_harness.decided()]
    at = [k for k, each in enumerate(entries) if each.kind == "decision"]
    bodies = [each.body for each in entries if isinstance(each.body, DecisionEntry)]
    assert len(decided) >= 6
    assert next(e.kind for e in entries if e.kind not in ("change", "log")) == "policy"
    assert [(b.ts, b.outcome, b.until) for b in bodies] == [
        (d["ts"], d["outcome"], d["until"]) for d in decided
    ]
    try:
        opened = [OpeningRows().of(k) for k in at]
    finally:
        connection.close()
    assert [told["id"][1] for told in opened] == [d["id"] for d in decided]
    assert receipts(entries) == at
    responder = [k for k, e in enumerate(entries) if isinstance(e.body, ReceiptEntry)]
    assert all(decision < k for decision, k in zip(at, responder, strict=True))


class Hesitant(LedgerStore):
    """Cannot seal a decision until it is let."""

    let = threading.Event()

    def decided(self, made: Any, drafts: Any, pending_receipts: Any) -> list[PendingReceipt]:
        if made and not self.let.is_set():
            raise DatabaseError
        return super().decided(made, drafts, pending_receipts)


@pytest.mark.usefixtures("kind")
def test_unsealed_decision_is_not_shown(tmp_path: Path) -> None:
    ledger_store = Hesitant(SIGNER, service_harness.now_ms)
    ledger_store.let.clear()
    send = {
        "id": "later",
        "ts": 1_767_222_060_000,
        "type": "message.sent",
        "account": "ann",
        "peer": "ann-p1",
        "in_contacts": False,
    }

    async def test(made: Running) -> None:
        answer = await made.ask("POST", "/v1/events", json=abuser())
        assert answer.status_code == 202
        async with asyncio.timeout(20):
            while made.service.progress().decided < len(abuser()):
                await asyncio.sleep(0.01)
        # The engine knows by now: whoever asks is answered without it, or waits.
        asked = await made.ask("POST", "/v1/decide", json=send)
        assert asked.json()["mode"] == "on_failure"
        assert "ban" not in asked.text
        waits = asyncio.ensure_future(made.ask("GET", "/v1/accounts/ann"))
        assert (await made.ask("GET", "/v1/decisions")).json()["decisions"] == []
        await asyncio.sleep(0.3)
        assert not waits.done()
        ledger_store.let.set()
        assert (await waits).json()["outcome"] == "ban"
        await made.wait_until_applied()
        assert (await made.ask("POST", "/v1/decide", json=send)).json()["outcome"] == "ban"
        await receipted(made)

    live(tmp_path, test, ledger_store=ledger_store)
    entries = ledger(tmp_path)
    at = [k for k, each in enumerate(entries) if each.kind == "decision"]
    assert len(at) == len(service_harness.decided()) > 1
    assert receipts(entries) == at


@pytest.mark.usefixtures("kind")
def test_inclusion_and_consistency_proofs_verify(tmp_path: Path) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser(account="ann"))
        note = await made.ask("GET", "/v1/ledger/checkpoint", made.keys["read"])
        before = read_checkpoint(note.content)
        check_signature(before, SIGNER.key)
        await made.send(abuser(account="ben", ts=1_767_222_100_000))
        await receipted(made)
        found = (await made.ask("GET", "/v1/decisions")).json()["decisions"]
        for each in found:
            path = f"/v1/ledger/decisions/{each['decision']['id']}"
            told = (await made.ask("GET", path, made.keys["read"])).json()
            now = read_checkpoint(told["checkpoint"].encode())
            check_signature(now, SIGNER.key)
            check_proof_bundle([canonical(told["proof"]).encode()], now)
            assert told["proof"]["openings"]["account"][1] == each["decision"]["account"]
        assert len(found) >= 4
        asked = await made.ask("GET", f"/v1/ledger/consistency?old={before.size}")
        told = asked.json()
        now = read_checkpoint(told["checkpoint"].encode())
        check_consistency(before, now, [base64.b64decode(h) for h in told["path"]])
        assert now.size > before.size == told["old"]
        for wrong in (f"old={now.size + 1}", f"old=3&new={now.size + 9}", "old=3&new=2"):
            assert (await made.ask("GET", f"/v1/ledger/consistency?{wrong}")).status_code == 404
        for path in ("/v1/ledger/decisions/" + "0" * 32, "/v1/ledger/decisions/" + "x" * 32):
            assert (await made.ask("GET", path)).status_code in (404, 422)

    live(tmp_path, test)


async def _said(made: Running) -> None:
    """An override of ann, a label of ben."""
    verdict = {"verdict": "benign", "reason": BECAUSE, "by": "appeal"}
    answer = await made.ask("POST", "/v1/accounts/ann/override", json=verdict)
    assert answer.json()["outcome"] == "allow", answer.text
    labels = {
        "labels": [{"account": "ben", "label": "abusive", "source": "partner"}],
        "reason": BECAUSE,
    }
    assert (await made.ask("POST", "/v1/labels", json=labels)).status_code == 202
    await made.wait_until_applied()


@pytest.mark.usefixtures("kind")
def test_overrides_and_deliveries_are_sealed(tmp_path: Path) -> None:
    held = service_harness.context()
    dispatcher = WebhookDispatcher(held, Random(1), RetryPolicy(attempts=1, answer_s=0.2))

    async def test(made: Running) -> None:
        hook = {"url": "http://127.0.0.1:9/hook", "reason": BECAUSE}
        assert (await made.ask("POST", "/v1/webhooks", json=hook)).status_code == 201
        await made.send(abuser(account="ann"))
        await made.send(abuser(account="ben", ts=1_767_222_100_000))
        await _said(made)
        async with asyncio.timeout(20):
            while b'webhook_deliveries_total{result="dead_lettered"}' not in held.metrics.text():
                await asyncio.sleep(0.05)

    live(tmp_path, test, held=held, background=[dispatcher])
    entries = ledger(tmp_path)
    (override,) = [e.body for e in entries if isinstance(e.body, OverrideEntry)]
    assert (override.outcome, override.until) == ("allow", None)
    assert override.decision is not None
    over = entries[override.decision].body
    assert isinstance(over, DecisionEntry)
    assert over.outcome == "ban"
    (appeal,) = [e.body for e in entries if isinstance(e.body, AppealEntry)]
    assert (appeal.decision, appeal.state) == (override.decision, "reversed")
    labels = [e.body for e in entries if isinstance(e.body, LabelEntry)]
    assert [(b.label, b.source) for b in labels] == [("benign", "appeal"), ("abusive", "partner")]
    assert receipts(entries, "failed")


@pytest.mark.usefixtures("kind")
def test_partial_reversal_of_an_appeal_is_sealed(tmp_path: Path) -> None:
    async def test(made: Running) -> None:
        await made.send(abuser(account="ann"))
        milder = {"verdict": "undetermined", "outcome": "limit", "hold_s": 604_800,
                  "reason": BECAUSE, "by": "appeal"}  # fmt: skip
        answer = await made.ask("POST", "/v1/accounts/ann/override", json=milder)
        assert answer.json()["outcome"] == "limit", answer.text

    live(tmp_path, test)
    entries = ledger(tmp_path)
    (override,) = [e.body for e in entries if isinstance(e.body, OverrideEntry)]
    assert (override.outcome, override.reason) == ("limit", "appeal: undetermined limit 604800")
    (appeal,) = [e.body for e in entries if isinstance(e.body, AppealEntry)]
    assert (appeal.decision, appeal.state) == (override.decision, "partially_reversed")


@pytest.mark.usefixtures("kind")
def test_erased_entries_cannot_be_opened_but_still_verify(tmp_path: Path) -> None:
    kept: list[bytes] = []

    async def test(made: Running) -> None:
        await made.send(abuser(account="ann"))
        await made.send(abuser(account="ben", ts=1_767_222_100_000))
        await _said(made)
        kept.append((await made.ask("GET", "/v1/ledger/checkpoint")).content)
        found = (await made.ask("GET", "/v1/decisions")).json()["decisions"]
        mine = [each["decision"] for each in found if each["decision"]["account"] == "ann"]
        path = f"/v1/ledger/decisions/{mine[0]['id']}"
        assert (await made.ask("GET", path)).status_code == 200
        gone = await made.ask("DELETE", f"/v1/accounts/ann/personal?reason={BECAUSE}")
        # Its decisions, its label, its override and its appeal.
        assert gone.json()["openings"] == len(mine) + 3
        assert (await made.ask("GET", path)).status_code == 404

    live(tmp_path, test)
    (erasure,) = [e.body for e in ledger(tmp_path) if isinstance(e.body, ErasureEntry)]
    assert audit_directory(tmp_path / "copy", [SIGNER.key], [read_checkpoint(kept[0])]).checked
    assert erasure.events == 1
    try:
        still = [OpeningRows().of(k) for k in range(100)]
    finally:
        connection.close()
    assert {told["account"][1] for told in still if "account" in told} == {"ben"}


@pytest.mark.usefixtures("kind")
def test_changed_policy_reports_differing_decisions(
    tmp_path: Path,
) -> None:
    shipped = load_banning_policy()
    lenient = replace(
        shipped,
        rules=tuple(
            msgspec.structs.replace(r, mode="shadow") if r.outcome == "ban" else r
            for r in shipped.rules
        ),
    )
    said: list[str] = []
    metrics: list[str] = []

    async def before(made: Running) -> None:
        for n in range(3):
            await made.send(abuser(account=f"a{n}", ts=1_767_222_000_000 + n * 60_000))

    async def after(made: Running) -> None:
        metrics.append((await made.ask("GET", "/metrics")).text)
        said.append(str(made.service.differ))

    live(tmp_path, before)
    decided = service_harness.decided()
    for policy in (lenient, lenient):
        live(tmp_path, after, policy=policy)
    assert service_harness.decided() == decided
    banned = sum(b'"outcome":"ban"' in body for body in decided)
    told = [e.body for e in ledger(tmp_path) if isinstance(e.body, VersionEntry)]
    # The second start under the same policy has nothing new to say.
    assert [each.version for each in told] == [shipped.version, lenient.version]
    assert (told[0].earlier, told[1].earlier) == (None, len(decided))
    differ = told[1].differ
    assert differ is not None
    assert 3 <= banned <= differ <= len(decided)
    assert said == [str(differ)] * 2
    assert f"wavebreak_earlier_decisions_differ {differ}.0" in metrics[0]


@pytest.mark.usefixtures("kind")
def test_service_with_another_signing_key_is_refused(tmp_path: Path) -> None:
    live(tmp_path, _sends)
    before = len(ledger(tmp_path))
    stranger = LedgerStore(new_signer("example.org/service"), service_harness.now_ms)
    with pytest.raises(AssertionError, match="signature_missing"):
        live(tmp_path, _sends, ledger_store=stranger)
    assert len(ledger(tmp_path, "again")) == before


def test_ledger_commands_read_a_service(tmp_path: Path) -> None:
    with service_harness.migrated("sqlite", tmp_path):
        live(tmp_path, _sends)
    (tmp_path / "ledger.pub").write_text(encode_verifier_key(SIGNER.key))
    checkpoint = wavebreak("checkpoint", str(tmp_path))
    kept = tmp_path / "kept.txt"
    kept.write_text(checkpoint.stdout)
    key = encode_verifier_key(SIGNER.key)
    verified = wavebreak("verify", str(tmp_path), "--key", key, "--remembered", str(kept))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert wavebreak("verify", str(tmp_path)).returncode == 4
    parcel = tmp_path / "parcel"
    proved = wavebreak(
        "prove", str(tmp_path), "--account", "ann", "--show", "account", "-o", str(parcel)
    )
    assert proved.returncode == 0, proved.stderr
    assert wavebreak("verify", str(parcel), "--key", key).returncode == 0
    assert wavebreak("show", str(tmp_path), "0").stdout.startswith("{")
    assert "DELETE" in wavebreak("erase", str(tmp_path), "--account", "ann").stderr
    with service_harness.migrated("sqlite", tmp_path), connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_entry SET line = CAST(replace(line, 'ban', 'bun') AS BLOB)")
    connection.close()
    broken = wavebreak("verify", str(tmp_path), "--key", key)
    assert broken.returncode == 2
    assert "entry_edited" in broken.stderr


async def _sends(made: Running) -> None:
    await made.send(abuser(account="ann"))
    await receipted(made)


def wavebreak(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"WAVEBREAK_LEDGER_KEY": encode_signer(SIGNER)}
    return warm_process.run(["ledger", *arguments], environment)


def test_service_goes_on_under_the_next_key(kind: str, tmp_path: Path) -> None:
    async def work(made: Running) -> None:
        await made.send(abuser())

    live(tmp_path, work)
    sealed = len(ledger(tmp_path))
    later = new_signer(SIGNER.name)
    rotate_service_key(SIGNER, later, 5_000)
    store = LedgerStore(later, lambda: 6_000)
    assert store.ledger().sealed.size == sealed + 1
    with pytest.raises(EvidenceError, match="signature_missing"):
        LedgerStore(SIGNER, lambda: 6_000).ledger()
    with transaction.atomic(), store.sealing() as sealing:
        sealing.add([Draft("label", LabelEntry("abusive", "analyst"), {})])
    (tmp_path / "rotated").mkdir()
    export_ledger(tmp_path / "rotated")
    connection.close()
    moved = KeyChange(SIGNER.key, later.key, RETIRED, 5_000)
    audit = audit_directory(tmp_path / "rotated", [later.key], [], (), [moved])
    assert audit.last.size == sealed + 2
    with pytest.raises(EvidenceError, match="signature_missing"):
        audit_directory(tmp_path / "rotated", [later.key], [])
