"""The console in the languages that it is offered in: marks, translations, choice, direction."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.template import Context, Template, engines
from django.utils.translation import override

from support.console_harness import RunningConsole, Visitor, console_test
from support.page_texts import unmarked_texts
from support.service_harness import abuser
from wavebreak.languages import read_catalog
from wavebreak.rules import load_policy
from wavebreak_server.console import translations
from wavebreak_server.console.script_texts import TEXTS
from wavebreak_server.http.app_context import run_background_query as stored
from wavebreak_server.slices.queue.models import ReviewCase
from wavebreak_server.slices.users.models import User
from wavebreak_server.storage.models import AuditEntry
from wavebreak_server.texts import isolated, translate_count

ROOT = Path(__file__).resolve().parents[4]
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w*\}|%%|</?\w+")


async def _nothing(_console: RunningConsole) -> None:
    """A console without events."""


visits = console_test(_nothing)


def templates() -> list[Path]:
    """Templates of the console and of its plug-ins with texts for staff."""
    return [
        path
        for each in translations.all_texts()
        for path in sorted(each.package.rglob("templates/**/*.html"))
        # Of those for account holders the notices have the texts; one makes its tag of parts.
        if "public" not in path.parts and path.name != "button.html"
    ]


def test_templates_have_no_text_without_a_mark() -> None:
    assert len(templates()) > 90
    unmarked = {
        path.name: found
        for path in templates()
        if (found := list(unmarked_texts(path.read_text("utf-8"))))
    }
    assert unmarked == {}


def test_every_template_knows_the_filters_that_it_uses() -> None:
    for path in templates():
        assert engines["django"].from_string(path.read_text("utf-8")), path


@pytest.mark.parametrize("language", translations.console_languages()[1:])
def test_every_text_is_translated_with_its_placeholders(language: str) -> None:
    assert translations.untranslated_texts(language) == []
    meanings: dict[str, Any] = {}
    for directory in translations.catalog_directories():
        for message in read_catalog(language, directory, translations.DOMAIN):
            ids = (message.id,) if isinstance(message.id, str) else message.id
            forms = (message.string,) if isinstance(message.id, str) else message.string
            if ids[0]:
                assert _marks(ids[-1]) == _marks(forms[-1]), ids
                # Django has one catalogue for all: a text has one translation.
                assert meanings.setdefault(ids[0], forms) == forms, ids


def _marks(text: str) -> list[str]:
    return sorted(set(PLACEHOLDER.findall(text)))


def test_catalogues_hold_no_text_that_is_unused() -> None:
    for each in translations.all_texts():
        used = {str(message.id) for message in translations.extract_texts(each)}
        catalog = read_catalog("he", each.package / "locale", translations.DOMAIN)
        assert {str(message.id) for message in catalog} - used == set()


def test_texts_of_scripts_are_those_that_scripts_know() -> None:
    source = (ROOT / "frontend/src/lib/page.ts").read_text("utf-8")
    english = source.split("const english = {")[1].split("};")[0]
    assert dict(re.findall(r'(\w+): "([^"]*)"', english)) == TEXTS


def test_plural_has_the_three_forms_of_hebrew() -> None:
    translations.load_translations("he")
    one, many = (f"{{n}} {noun} convicted by the tests." for noun in ("account", "accounts"))
    with override("he"):
        said = [translate_count(one, many, n) for n in (1, 2, 3, 1200)]
    assert said[0].startswith("חשבון אחד")
    assert said[1].startswith("שני חשבונות")
    assert said[2].startswith("3 חשבונות")
    assert "1,200" in said[3]


def test_value_of_another_direction_is_isolated() -> None:
    translations.load_translations("he")
    page = Template('{% blocktranslate with name="a-1" %}Select {{ name }}{% endblocktranslate %}')
    with override("he"):
        assert page.render(Context()) == "בחירת a-1"
        assert isolated("a-1") == "\u2068a-1\u2069"


@visits
async def test_language_is_of_the_browser_until_it_is_chosen(console: RunningConsole) -> None:
    lead = await console.person("lead")
    for accepted, language, direction in (
        ("he-IL,en;q=0.5", "he", "rtl"),
        ("tlh", "en", "ltr"),
        ("", "en", "ltr"),
    ):
        page = (await lead.get("/console/", headers={"accept-language": accepted})).text
        assert f'<html lang="{language}" dir="{direction}"' in page, accepted
    answer = await _choose(lead, "he")
    assert (answer.status_code, answer.headers["location"]) == (302, "/console/queue/cases?mine=1")
    # It is the person's from now on, whatever the browser says.
    page = (await lead.get("/console/queue", headers={"accept-language": "en"})).text
    assert '<html lang="he" dir="rtl"' in page
    assert 'id="ui-text"' in page
    assert await stored(lambda: User.objects.get(username="lead").language) == "he"
    entry = await stored(lambda: AuditEntry.objects.get(action="set_language"))
    assert (entry.key, entry.object) == ("user:lead", "he")


@visits
async def test_unknown_language_is_refused_and_stored_is_passed_by(console: RunningConsole) -> None:
    lead = await console.person("lead")
    assert (await _choose(lead, "tlh")).status_code == 422
    await stored(lambda: User.objects.filter(username="lead").update(language="xx"))
    page = (await lead.get("/console/")).text
    assert '<html lang="en" dir="ltr"' in page
    assert 'id="ui-text"' not in page


@visits
async def test_sign_in_page_is_in_the_language_of_the_browser(console: RunningConsole) -> None:
    visitor = console.anybody()
    answer = await visitor.get("/console/user/login/", headers={"accept-language": "he"})
    assert '<html lang="he" dir="rtl"' in answer.text
    assert "כניסה" in answer.text
    assert answer.headers["content-language"] == "he"


async def _choose(visitor: Visitor, language: str) -> Any:
    token = await visitor.token()
    return await visitor.client.post(
        "/console/language",
        data={"csrfmiddlewaretoken": token, "language": language},
        headers={"referer": "http://localhost/console/queue/cases?mine=1"},
    )


@visits
async def test_language_is_chosen_before_signing_in(console: RunningConsole) -> None:
    visitor = console.anybody()
    page = (await visitor.get("/console/user/login/?next=/console/queue")).text
    assert 'href="?language=he&amp;next=%2Fconsole%2Fqueue"' in page
    answer = await visitor.get("/console/user/login/?language=he&next=/console/queue")
    assert '<html lang="he" dir="rtl"' in answer.text
    assert 'value="/console/queue"' in answer.text
    # The browser keeps it, also past a wrong password.
    again = await visitor.get("/console/user/login/", headers={"accept-language": "en"})
    assert '<html lang="he" dir="rtl"' in again.text
    wrong = await visitor.get("/console/user/login/?language=xx")
    assert '<html lang="he"' in wrong.text
    assert "set-cookie" not in (await visitor.get("/console/queue/cases?language=en")).headers


@visits
async def test_reasons_of_a_case_are_said_in_the_language_of_the_page(
    console: RunningConsole,
) -> None:
    await console.running.send(abuser(account="ann"))
    await console.index()
    lead = await console.person("lead")
    case = await stored(lambda: ReviewCase.objects.get())
    # What is stored does not depend on who looked on.
    assert case.why[0].startswith("The chance of abuse is put at ")
    english = (await lead.get(f"/console/queue/{case.id}")).text
    assert case.why[0] in english
    page = (await lead.get(f"/console/queue/{case.id}", headers={"accept-language": "he"})).text
    assert "הסיכוי לפגיעה מוערך" in page
    assert "The chance of abuse" not in page


def test_texts_of_shipped_rules_are_translated_and_others_marked() -> None:
    translations.load_translations("he")
    page = Template("{% load console %}{{ about|policy_text }}")
    shipped = load_policy(compiled=False).rules[0].about
    with override("he"):
        assert "lang=" not in page.render(Context({"about": shipped}))
        own = page.render(Context({"about": "Our own rule & more"}))
    assert own == '<span lang="en" dir="ltr">Our own rule &amp; more</span>'
