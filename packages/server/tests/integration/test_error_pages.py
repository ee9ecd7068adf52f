"""Errors of pages are pages in the reader's language; the API's and programs' are problems."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import BadRequest
from django.db import OperationalError

from support.console_harness import RunningConsole, console_test
from support.service_harness import abuser
from wavebreak_server.console.middleware import SecondFactorMiddleware
from wavebreak_server.http import middleware as http_middleware
from wavebreak_server.slices.statements import service as statements

HTML, PROBLEM = "text/html", "application/problem+json"
NOTICE, BROWSER = "/notice/forged", {"accept": "text/html,application/xhtml+xml"}


async def _with_abuser(console: RunningConsole) -> None:
    await console.running.send(abuser())
    await console.index()


visits = console_test(_with_abuser)


def raising(error: Exception) -> Any:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise error

    return fail


LOCKED = OperationalError("database is locked")
MAYBE = "it may not be stored", "ייתכן שהוא לא נשמר"


def _is_page(answer: Any, status: int, language: str) -> bool:
    is_html = answer.headers["content-type"].startswith(HTML)
    return answer.status_code == status and is_html and f'<html lang="{language}"' in answer.text


@visits
async def test_unknown_path_is_a_page_for_a_browser_and_a_problem_for_a_program(
    console: RunningConsole,
) -> None:
    visitor = console.anybody()
    for path in ("/appeal/a/b", "/notice/", "/help/en/more", "/business", "/nowhere"):
        asked = BROWSER | {"accept-language": "he"}
        assert _is_page(await visitor.get(path, headers=asked), 404, "he"), path
    assert _is_page(await visitor.get("/console/nowhere"), 404, "en")
    assert _is_page(await (await console.person("lead")).get("/console/nowhere"), 404, "en")
    for path, headers in (
        ("/v1/nowhere", BROWSER),
        ("/nowhere", {"accept": "application/json"}),
        ("/notice/forged.json", {}),
    ):
        program = await visitor.get(path, headers=headers)
        assert (program.status_code, program.headers["content-type"]) == (404, PROBLEM), path


@visits
async def test_locked_database_is_a_page_to_try_again(console: RunningConsole) -> None:
    visitor = console.anybody()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statements, "decision_of", raising(LOCKED))
        for path in (NOTICE, "/appeal/forged"):
            for language, text in zip(("en", "he"), MAYBE, strict=True):
                answer = await visitor.get(path, headers={"accept-language": language})
                assert _is_page(answer, 503, language), path
                assert text in answer.text
                assert answer.headers["retry-after"] == "1"
                assert answer.headers["referrer-policy"] == "no-referrer"
                assert "noindex" in answer.headers["x-robots-tag"]
                assert "set-cookie" not in answer.headers
        program = await visitor.get(f"{NOTICE}.json")
        assert (program.status_code, program.headers["content-type"]) == (503, PROBLEM)
        sent = await visitor.client.post("/appeal/forged", data={"statement": "a mistake"})
        assert _is_page(sent, 503, "en")


@visits
async def test_locked_database_is_a_page_of_the_console(console: RunningConsole) -> None:
    person = await console.person("lead")
    with pytest.MonkeyPatch.context() as patch:
        # No session can be read, and so nobody's language.
        patch.setattr(SessionStore, "load", raising(LOCKED))
        for language, text in zip(("en", "he"), MAYBE, strict=True):
            asked = {"accept-language": language}
            answer = await person.get("/console/queue", headers=asked)
            assert _is_page(answer, 503, language)
            assert text in answer.text
            part = await person.get("/console/queue", headers=asked | {"hx-request": "true"})
            assert (part.status_code, 'role="alert"' in part.text) == (503, True)
            assert "<html" not in part.text


@visits
async def test_form_that_is_not_read_since_too_many_are_is_a_page(console: RunningConsole) -> None:
    visitor = console.anybody()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_middleware, "MAX_BODIES", 0)
        for path in ("/appeal/forged", "/console/user/login/"):
            for language, text in zip(("en", "he"), MAYBE, strict=True):
                headers = {"accept-language": language}
                sent = await visitor.client.post(path, data={"a": "b"}, headers=headers)
                assert _is_page(sent, 503, language), path
                assert text in sent.text
                assert sent.headers["retry-after"] == "1"
        key = console.running.key
        program = await console.running.ask("POST", "/v1/labels", key, json=[])
        assert (program.status_code, program.headers["content-type"]) == (503, PROBLEM)


@visits
async def test_unexpected_and_unreadable_requests_are_pages(console: RunningConsole) -> None:
    visitor, person = console.anybody(), await console.person("lead")
    for error, status in ((RuntimeError("a bug"), 500), (BadRequest("not read"), 400)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statements, "decision_of", raising(error))
            patch.setattr(SecondFactorMiddleware, "__call__", raising(error))
            headers = {"accept-language": "he"}
            assert _is_page(await person.get("/console/queue", headers=headers), status, "he")
            patch.undo()
            patch.setattr(statements, "decision_of", raising(error))
            assert _is_page(await visitor.get(NOTICE, headers=headers), status, "he")
            program = await visitor.get(f"{NOTICE}.json")
            assert program.headers["content-type"] == PROBLEM
            assert program.status_code == status
