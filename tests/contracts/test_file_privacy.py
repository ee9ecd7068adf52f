"""Raw phones, addresses, devices and content reach no file, no message and no terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PHONE, IP, IPV6 = "+972501234567", "203.0.113.77", "2001:db8:77:1::abcd"
DEVICE, CONTENT = "fp-7f3a-planted-device", "planted-words-of-a-message"
PLANTED = (PHONE, PHONE[1:], IP, IPV6, DEVICE, CONTENT)


def _lines() -> list[str]:
    events: list[dict[str, object]] = [
        {"id": "r1", "ts": 1_000, "type": "account.registered", "account": "a", "phone": PHONE,
         "ip": IP, "device": DEVICE},
        {"id": "r2", "ts": 2_000, "type": "session.started", "account": "a", "ip": IPV6,
         "device": DEVICE},
        {"id": "x1", "ts": 3_000, "type": "message.sent", "account": "a", "peer": "b",
         "body": CONTENT},
        {"id": "x2", "ts": 3_000, "type": "message.sent", "account": "a", "peer": "b",
         CONTENT: 1},
        {"id": "x3", "ts": "planted-words-of-a-message", "type": "message.sent", "account": "a",
         "peer": "b"},
        {"id": "x4", "ts": 4_000, "type": "account.registered", "account": "c",
         "phone": PHONE + "99999", "ip": IP},
    ]  # fmt: skip
    sends = [
        {"id": f"s{i}", "ts": 5_000 + 100 * i, "type": "message.sent", "account": "a",
         "peer": f"p{i}", "in_contacts": False}
        for i in range(150)
    ]  # fmt: skip
    # A person's word, so that an account is banned: no rule alone bans.
    label = {"id": "l1", "ts": 25_000, "type": "label.assigned", "account": "a",
             "label": "abusive", "source": "analyst"}  # fmt: skip
    broken = ['{"id":"x5","phone":"' + PHONE + '"', "not json " + CONTENT]
    return [json.dumps(event) for event in [*events, *sends, label]] + broken


def test_no_output_holds_what_was_planted(tmp_path: Path) -> None:
    source, out = tmp_path / "events.jsonl", tmp_path / "out"
    source.write_text("\n".join(_lines()) + "\n", "utf-8")
    command = Path(sys.executable).with_name("wavebreak")
    printed = []
    for verb in (
        ["run", str(source), "-o", str(out), "--key", str(tmp_path / "key"), "--snapshot",
         str(out / "snapshot")],
        ["explain", str(out), "a"],
    ):  # fmt: skip
        done = subprocess.run([str(command), *verb], capture_output=True, text=True, check=True)
        printed.append(done.stdout + done.stderr)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {
        "decisions.jsonl", "accounts.parquet", "refused.jsonl", "summary.json", "explain.html",
        "snapshot",
    }  # fmt: skip
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert summary["refused"] == 6
    assert summary["decisions"]["outcome"]["ban"] == 1
    for planted in PLANTED:
        for path in files:
            assert planted.encode() not in path.read_bytes(), f"{path.name} holds a planted value"
        assert not any(planted in text for text in printed)
