"""A log of mixed traffic: who is judged by what, and what reaches whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from support.platform_scene import DAY, HOUR, NOON
from wavebreak.cli import app
from wavebreak_business.platform.platform import Platform
from wavebreak_business.platform.replay import Replay
from wavebreak_business.settings import load_settings

SECOND = 1_000
PHONE = "+447700900123"


def line(kind: str, ts: int, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "ts": ts, **fields}).encode()


def portfolio(ts: int = NOON - DAY, numbers: tuple[str, ...] = ("n1",), **more: Any) -> bytes:
    listed = [{"number": number, "display_name": "Shop"} for number in numbers]
    return line("portfolio.updated", ts, business="shop", verified=True, paced=False,
                numbers=listed, **more)  # fmt: skip


def template(ts: int = NOON - DAY) -> bytes:
    return line("template.updated", ts, business="shop", template="sale", category="marketing",
                language="he", status="approved")  # fmt: skip


def grants(many: int) -> list[bytes]:
    return [
        line("consent.granted", NOON - HOUR, account=f"p{n}", business="shop", number="n1")
        for n in range(many)
    ]


def sends(account: str, many: int, ts: int = NOON, **more: Any) -> list[bytes]:
    return [
        line("message.sent", ts + n * SECOND, id=f"{account}-{n}", account=account, peer=f"p{n}",
             template="sale", **more)
        for n in range(many)
    ]  # fmt: skip


def registered(account: str, ts: int = NOON - HOUR, **more: Any) -> bytes:
    return line("account.registered", ts, account=account, phone=PHONE, **more)


ON_PLATFORM: dict[str, Any] = {"channel": "business_platform", "business": "shop"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", bytes(range(32)).hex())


def replayed(tmp_path: Path, *lines: bytes) -> tuple[dict[str, Any], Path]:
    """The command's counts, and where it wrote."""
    source, out = tmp_path / "events.jsonl", tmp_path / "out"
    source.write_bytes(b"\n".join(lines))
    done = CliRunner().invoke(
        app, ["business", "replay", str(source), "-o", str(out), "--enforce", "--json"]
    )
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout), out


def decisions(out: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in (out / "decisions.jsonl").read_text().splitlines()]


def test_mixed_log_judges_businesses_and_people_apart(tmp_path: Path) -> None:
    counts, out = replayed(
        tmp_path,
        portfolio(), template(), *grants(40), registered("n1", **ON_PLATFORM), registered("eve"),
        *sends("n1", 40),
        *(line("message.sent", NOON + DAY + n * SECOND, account="eve", peer=f"p{n}")
          for n in range(40)),
    )  # fmt: skip
    assert counts["sends"] == {"accepted": 40}
    assert {each["account"] for each in decisions(out)} == {"eve"}


def test_unknown_portfolio_is_refused_and_judged_as_a_person(tmp_path: Path) -> None:
    counts, out = replayed(
        tmp_path, registered("eve", business="nobodys", channel="business_platform"),
        *sends("eve", 40),
    )  # fmt: skip
    assert counts["sends"] == {"no_portfolio": 40}
    made = decisions(out)
    assert (made[0]["account"], made[0]["outcome"]) == ("eve", "limit")


def test_a_registration_names_no_portfolio_of_others(tmp_path: Path) -> None:
    counts, out = replayed(
        tmp_path, portfolio(), template(), registered("eve", **ON_PLATFORM), *sends("eve", 40)
    )
    assert counts["sends"] == {"no_portfolio": 40}
    assert {each["account"] for each in decisions(out)} == {"eve"}


def test_what_the_platform_refuses_reaches_nobody(tmp_path: Path) -> None:
    counts, out = replayed(tmp_path, portfolio(), template(), *grants(3), *sends("n1", 5))
    assert counts["sends"] == {"accepted": 3, "no_consent": 2}
    log = pa.ipc.open_file(str(out / "log.arrow")).read_all().to_pylist()
    assert [each["attempted"] for each in log if each["peer"]] == [None, None, None, True, True]


def test_a_number_that_leaves_is_judged_as_a_person(tmp_path: Path) -> None:
    gone = portfolio(NOON - HOUR, (), removed=["n1"])
    _, out = replayed(tmp_path, portfolio(), template(), gone, *sends("n1", 40))
    assert {each["account"] for each in decisions(out)} == {"n1"}


def test_raw_numbers_reach_no_file_and_faults_are_counted(tmp_path: Path) -> None:
    counts, out = replayed(
        tmp_path, b"{", line("portfolio.updated", NOON), registered("ann"),
        line("consent.granted", NOON, account="ann", business="nobodys"),
    )  # fmt: skip
    assert sum(counts["refused_events"].values()) == 3
    for path in out.iterdir():
        assert PHONE.encode() not in path.read_bytes()


def test_word_and_id_change_of_the_log_bind_the_next_send(tmp_path: Path) -> None:
    moved = line("account.id_changed", NOON + HOUR, account="q0", previous="p0")
    stop = line("consent.revoked", NOON + 2 * HOUR, account="q0", business="shop")
    later = [line("message.sent", NOON + h * HOUR + 1, id=f"l{h}", account="n1", peer="q0",
                  template="sale") for h in (1, 2)]  # fmt: skip
    counts, _ = replayed(
        tmp_path, portfolio(), template(), *grants(1), moved, later[0], stop, later[1]
    )
    assert counts["sends"] == {"accepted": 1, "opted_out": 1}


def test_undeliverable_without_a_message_frees_the_place(tmp_path: Path) -> None:
    failed = line("message.undeliverable", NOON + 1, account="n1", peer="p0")
    counts, _ = replayed(
        tmp_path, portfolio(limit=1), template(), *grants(2), *sends("n1", 1), failed,
        *sends("n1", 2, NOON + HOUR)[1:],
    )  # fmt: skip
    assert counts["sends"] == {"accepted": 2}


def test_tables_count_sends_events_and_decisions(tmp_path: Path) -> None:
    source = tmp_path / "events.jsonl"
    source.write_bytes(b"\n".join([portfolio(), template(), *grants(2), *sends("n1", 3)]))
    done = CliRunner().invoke(app, ["business", "replay", str(source), "-o", str(tmp_path / "o")])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "no_consent" in done.stdout
    assert "decisions" in done.stdout


def test_parts_of_a_log_do_not_change_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [portfolio(), template(), *grants(9), *sends("n1", 12), *sends("eve", 4)]

    def taken() -> tuple[list[Any], list[bytes]]:
        found = list(Replay(Platform(load_settings())).parts(lines))
        answers = [answer for part in found for answer in part.result.answers]
        return answers, [each for part in found for each in part.lines]

    whole = taken()
    monkeypatch.setattr("wavebreak_business.platform.replay.CHUNK", 1)
    assert taken() == whole
