"""Names that would turn a page around or push it apart, and forms that are too large."""

from __future__ import annotations

import re
from functools import partial

import pytest

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak_server.console.text_direction import page_without_controls, without_controls
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.http.operations import MAX_BODY
from wavebreak_server.slices.users.models import User

HOSTILE = "ann\u202egpj.exe\u2066\u200f\u2069\u2069\u200e"
LONG = "W" * 180
CONTROLS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ISOLATED = re.compile("[\u2066\u2068][^\u2066-\u2069]*\u2069")


async def _with_long_name(console: RunningConsole) -> None:
    await console.running.send(abuser(account=LONG))
    await console.index()


visits = console_test(_with_long_name)


def visible(page: str) -> str:
    """A page without the values of its forms, and without isolates of our own sentences."""
    return ISOLATED.sub("", re.sub(r'\svalue="[^"]*"', "", page))


@visits
async def test_no_page_shows_a_direction_control(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    case = (await person.post("/console/queue/next")).headers["location"]
    await person.post("/console/query/save", name=f"view {HOSTILE}", outcome="ban")
    await person.post(f"{case}/release", note=f"note {HOSTILE}")
    acted = {"verdict": "benign", "reason": f"reason {HOSTILE}", "account": LONG}
    batch = (await person.act("/console/queue/bulk", **acted)).headers["location"]
    name = {"display_name": f"Noa {HOSTILE}"}
    shown = {
        "/console/query": "view ann", case: "note ann", batch: "reason ann",
        f"/console/accounts/{LONG}": "reason ann", "/console/queue": "Noa ann", "/console/": "",
        "/console/queue/batches": "",
    }  # fmt: skip
    for language in ("en", "he"):
        await stored(partial(User.objects.update, language=language, **name))
        for path, named in shown.items():
            page = (await person.get(path)).text
            assert named in page, (language, path)
            assert not CONTROLS.search(visible(page)), (language, path)


@visits
async def test_form_sends_back_what_it_was_sent(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    fields = {"verdict": "benign", "reason": HOSTILE, "account": LONG}
    preview = (await person.post("/console/queue/preview", **fields)).text
    assert f'name="reason" value="{HOSTILE}"' in preview
    assert not CONTROLS.search(visible(preview))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\u202eb", "ab"),
        ("\u2068ann\u2069", "\u2068ann\u2069"),
        ("\u2068ann\u2069\u2069 b", "\u2068ann\u2069 b"),
        ("\u2068a\u202eb\u2069", "ab"),
        ("\u2067a", "a"),
        ("a\u200e\u200fb", "ab"),
        ("שלום", "שלום"),
    ],
)
def test_controls_go_and_closed_isolates_stay(text: str, plain: str) -> None:
    assert without_controls(text) == plain
    assert page_without_controls(f"<p>{text}</p>") == f"<p>{plain}</p>"


@visits
async def test_form_that_is_too_large_gets_a_page_in_words(console: RunningConsole) -> None:
    person = await console.person("lead", "noa")
    token = await person.token()
    for language, said in (("en", "The form is too large"), ("he", "הטופס גדול מדי")):
        await stored(partial(User.objects.update, language=language))
        body = {"csrfmiddlewaretoken": token, "q": "a" * (MAX_BODY + 1)}
        answer = await person.client.post("/console/accounts", data=body)
        assert answer.status_code == 413
        assert answer.headers["content-type"].startswith("text/html")
        assert said in answer.text
