"""The commands as they are called: reports, languages, exit codes, and what never comes out."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from support.business_logs import (
    DAY,
    KEY,
    NOON,
    SHOP,
    inbound,
    messages,
    person,
    preference,
    status,
    template,
    write_lines,
)
from wavebreak.cli import app
from wavebreak.errors import FileError, PolicyError, UsageError
from wavebreak_business.identities import Identities
from wavebreak_business.texts import lacking, offered_languages

NUMBER, NAME, TEXT = "447700900123", "Dana Planted", "planted words of a message"
USER = "GB.13491208655302741918"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEBREAK_KEY", KEY.hex())
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: object, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["business", *map(str, arguments)], input=stdin)


def ok(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shop") / "logs"
    assert CliRunner().invoke(app, ["business", "example", "-o", str(place)]).exit_code == 0
    return place


def planted() -> list[Any]:
    """Payloads with a number, a name or a text in every place that may hold one."""
    wamid = "wamid." + base64.b64encode(NUMBER.encode()).decode()
    contact = {"wa_id": NUMBER, "user_id": USER, "profile": {"name": NAME}}
    moved = {"type": "user_changed_number", "wa_id": person(7), "body": f"{NAME} moved {NUMBER}"}
    failed = status(wamid, NUMBER, "failed", NOON, code=131026, biz_opaque_callback_data=NUMBER)
    failed["entry"][0]["changes"][0]["value"]["contacts"] = [contact]
    callback = {"MessageSid": wamid, "To": f"+{NUMBER}", "From": f"whatsapp:+{SHOP}", "Body": TEXT}
    return [
        failed,
        inbound(wamid, NUMBER, NOON, text={"body": TEXT}, context={"from": NUMBER}),
        status(NUMBER, NUMBER, "failed", NOON, code=int(NUMBER)),
        status("m", NUMBER, "failed", NOON, errors=[{"code": TEXT}]),
        status("m2", USER, "delivered", NOON + DAY),
        preference(NUMBER, "stop", NOON), status("m3", NUMBER, "delivered", NOON + 9),
        template(f"hello_{NUMBER}", NOON, event="PAUSED"), template(TEXT, NOON, event="FLAGGED"),
        template("sale", NOON, event=TEXT.upper()),
        messages(messages=[{"from": NUMBER, "id": "s", "timestamp": str(NOON), "type": "system",
                            "system": moved}]),
        callback | {"MessageStatus": "undelivered", "ErrorCode": NUMBER},
        callback | {"SmsStatus": "received"},
        {NUMBER: TEXT, TEXT: NUMBER, "type": NUMBER},
        {"entry": [{"changes": [{"field": TEXT, "value": {NAME: 1}}]}]},
        {"results": [{"messageId": NUMBER, "to": NUMBER, "callbackData": TEXT,
                      "status": {"groupName": "REJECTED", "name": TEXT},
                      "error": {"name": NUMBER}, "price": {"pricePerMessage": 1,
                                                           "currency": NAME}}]},
        f'{{"to": "{NUMBER}", "text": "{TEXT}"', TEXT,
    ]  # fmt: skip


@pytest.mark.parametrize("language", offered_languages())
def test_no_number_name_or_text_comes_out_or_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "logs"
    folder.mkdir()
    write_lines(folder / f"{NUMBER}.jsonl", *planted())
    (folder / "all.json").write_text(json.dumps([e for e in planted() if isinstance(e, dict)]))
    said = ""
    for options in ([], ["--json"], ["--wide"]):
        page = ["--html", tmp_path / "page.html", "--lang", language]
        done = run("check", folder, "--portfolio", "shop", *page, *options)
        assert done.exit_code == 0, done.exception
        said += done.stdout + done.stderr
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p.parent != folder]
    assert tmp_path / "page.html" in written
    said += "".join(path.read_text("utf-8", "replace") for path in written)
    lowered = said.lower()
    encoded = base64.b64encode(NUMBER.encode()).decode().lower()
    for secret in (NUMBER, NUMBER[2:], SHOP, USER, USER[3:], person(7), NAME, "planted", encoded):
        assert secret.lower() not in lowered, secret
    assert Identities(KEY).person(NUMBER) in said


def test_json_holds_every_answer_and_is_the_same_in_each_language(logs: Path) -> None:
    found = json.loads(ok("check", logs, "--portfolio", "shop", "--json"))
    assert found == json.loads(
        ok("check", logs, "--portfolio", "shop", "--json", "--lang", "he")
    )  # fmt: skip
    assert {failure["code"] for failure in found["failures"]} >= {"131026", "21610", "132015"}
    assert found["limit"]["limit"] == 250
    assert found["duplicates"]["both"] > 0
    assert found["consent"]["after_stop"] > 0
    assert found["templates"][0]["name"] == "last_days"
    assert found["read"]["payloads"] == {"infobip": 1, "twilio": 6, "whatsapp": 3_508}
    assert found["read"]["broken"] == {"not_json": 1}
    assert (found["format"], found["codes_as_of"]) == (1, "2026-11-30")


@pytest.mark.parametrize("language", offered_languages())
def test_report_reads_well_at_80_columns(logs: Path, language: str) -> None:
    shown = ok("check", logs, "--portfolio", "shop", "--lang", language)
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"\\u20|None|nan\b", shown)
    assert "131026" in shown


def test_report_in_hebrew_is_in_hebrew_and_runs_from_right_to_left(
    logs: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    shown = ok("check", logs, "--portfolio", "shop", "--lang", "he", "--html", page)
    assert "מה לעשות" in shown
    text = page.read_text("utf-8")
    assert '<html lang="he" dir="rtl">' in text
    assert "לא לכתוב אל" in text
    # A date and a time in a text from right to left keep their order only where isolated.
    dates = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", text)
    assert len(dates) > 5
    isolated = r"\u2066\d{4}-\d\d-\d\d \d\d:\d\d\u2069|<bdi>\d{4}-\d\d-\d\d \d\d:\d\d</bdi>"
    assert len(re.findall(isolated, text)) == len(dates)
    assert lacking("he") == []


def test_page_loads_nothing_names_its_charts_and_follows_dark(logs: Path, tmp_path: Path) -> None:
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for page in pages:
        ok("check", logs, "--portfolio", "<b>shop</b>", "--html", page)
    text = pages[0].read_text("utf-8")
    assert text == pages[1].read_text("utf-8")
    assert text.count("<svg") == text.count('role="img"') == 3
    assert "<b>shop" not in text
    assert "color-scheme:light dark" in text
    assert not re.search(r'(?:src|href)="(?!#)|url\((?!#)|@import', text)


@pytest.mark.parametrize("language", offered_languages())
def test_page_says_each_heading_once(logs: Path, tmp_path: Path, language: str) -> None:
    page = tmp_path / "page.html"
    ok("check", logs, "--portfolio", "shop", "--lang", language, "--html", page)
    text = page.read_text("utf-8")
    headings = re.findall(r"<(?:h2|caption)>(.*?)</", text)
    assert len(headings) == len({*headings}) > 8
    # A screen reader that jumps from table to table still hears their names.
    assert {*re.findall(r'role="region" aria-label="(.*?)"', text)} <= {*headings}


def test_strict_exits_with_1_only_where_there_is_something_to_do(tmp_path: Path) -> None:
    bad = write_lines(tmp_path / "bad.jsonl", status("m", person(1), "failed", NOON, code=131026))
    good = write_lines(
        tmp_path / "good.jsonl", inbound("i", person(1), NOON),
        status("m", person(1), "delivered", NOON + 1),
    )  # fmt: skip
    assert run("check", bad, "--portfolio", "p", "--strict").exit_code == 1
    assert run("check", bad, "--portfolio", "p").exit_code == 0
    done = run("check", good, "--portfolio", "p", "--strict")
    assert (done.exit_code, "Nothing to do." in done.stdout) == (0, True)


def test_consent_prices_and_limit_change_the_answers(logs: Path, tmp_path: Path) -> None:
    consent = tmp_path / "consent.csv"
    rows = (f"{person(n)},2026-01-01" for n in range(1_000))
    consent.write_text("person,at\n" + "\n".join(rows), encoding="utf-8")
    options = ("--consent", consent, "--price", "marketing=0.5", "--limit", "none", "--json")
    found = json.loads(ok("check", logs, "--portfolio", "shop", *options))
    assert (found["consent"]["given"], found["consent"]["gap_messages"]) == (True, 0)
    assert found["limit"]["limit"] == -1
    (waste,) = [
        w for w in found["waste"] if (w["cause"], w["category"]) == ("after_stop", "marketing")
    ]
    assert waste["cost"] == {"": 0.5 * waste["billed"]}


@pytest.mark.parametrize(
    "options",
    [["--price", "marketing"], ["--price", "sport=1"], ["--price", "marketing=-1"],
     ["--limit", "many"], ["--limit", "0"], ["--lang", "tlh"]],
)  # fmt: skip
def test_options_that_are_wrong_are_refused_with_a_way_out(logs: Path, options: list[str]) -> None:
    error = run("check", logs, "--portfolio", "shop", *options).exception
    assert isinstance(error, UsageError)
    assert error.fix


def test_own_policy_takes_the_place_of_the_shipped(logs: Path, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[1] / "src/wavebreak_business/policy/limits.toml"
    text = shipped.read_text("utf-8")
    own = tmp_path / "limits.toml"
    own.write_text(text.replace("2000, 10000", "500, 10000"), encoding="utf-8")
    arguments = ("check", logs, "--portfolio", "shop", "--policy", tmp_path, "--json")
    assert json.loads(ok(*arguments))["limit"]["next_limit"] == 500
    assert json.loads(ok(*arguments[:4], "--json"))["limit"]["next_limit"] == 2000
    for bad in ("raise_share = 2", "steps = []"):
        name = bad.split(" ")[0]
        own.write_text(re.sub(rf"{name} = .*", bad, text), encoding="utf-8")
        assert isinstance(run(*arguments).exception, PolicyError)


def test_missing_logs_are_an_error(tmp_path: Path) -> None:
    assert isinstance(run("check", tmp_path / "x", "--portfolio", "p").exception, FileError)


def test_example_is_the_same_each_time_and_overwrites_nothing(logs: Path, tmp_path: Path) -> None:
    ok("example", "-o", tmp_path / "again")
    for path in logs.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert isinstance(run("example", "-o", logs).exception, UsageError)


def test_pseudonyms_are_those_of_the_report(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "l.jsonl", status("m", NUMBER, "failed", NOON, code=131026))
    found = json.loads(ok("check", log, "--portfolio", "p", "--json"))
    (stopped,) = found["stops"]["people"]
    said = run("pseudonyms", stdin=f"+{person(9)}\n\n{NUMBER}\n").stdout.splitlines()
    assert said[2] == stopped["people"]["listed"][0]
    assert said[1] == ""
    assert said[0] != said[2]
