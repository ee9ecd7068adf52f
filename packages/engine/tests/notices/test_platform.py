"""The operator's settings: shipped, local, and what is wrong with a file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from wavebreak import config
from wavebreak.errors import PolicyError
from wavebreak.notices import LANGUAGES, get_language, load_platform
from wavebreak.notices.platform import FILE

DEFAULT = 'default_language = "en"'
SHIPPED = (config.SHIPPED / FILE).read_text(encoding="utf-8")


def load(directory: Path, *changes: tuple[str, str]) -> None:
    text = SHIPPED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (directory / FILE).write_text(text, encoding="utf-8")
    load_platform(directory)


def test_shipped_platform_is_neutral_and_in_every_language() -> None:
    platform = load_platform()
    assert platform.name_in(get_language("en")) == "this service"
    assert platform.name_in(get_language("he")) == "השירות"
    assert not platform.warn_contacts
    assert not any(getattr(platform.links, name) for name in platform.links.__struct_fields__)
    assert platform.languages == LANGUAGES
    for code in LANGUAGES:
        language = get_language(code)
        for field in ("name", "contact"):
            assert language.translates(f"platform.{field}", getattr(platform, field)["en"])
        for term, texts in platform.terms.items():
            assert language.translates(f"platform.terms.{term}", texts["en"])


def test_text_of_the_operator_goes_before_the_shipped_translation(tmp_path: Path) -> None:
    own = tmp_path / FILE
    own.write_text(SHIPPED.replace('en = "this service"', 'en = "Acme"'), encoding="utf-8")
    assert load_platform(tmp_path).name_in(get_language("he")) == "Acme"
    own.write_text(
        SHIPPED.replace('en = "this service"', 'en = "Acme"\nhe = "אקמי"'), encoding="utf-8"
    )
    assert load_platform(tmp_path).name_in(get_language("he")) == "אקמי"


def test_notice_dates_are_those_of_the_legal_determination() -> None:
    path = config.SHIPPED / "cases" / "determination.toml"
    (notice,) = tomllib.loads(path.read_text(encoding="utf-8"))["notice"]
    platform = load_platform()
    assert notice["effective"] == f"{platform.notice_date}T00:00:00Z"
    assert notice["beyond"] == f"{platform.continues_from}T00:00:00Z"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("appeal_days = 180", "appeal_days = 30", "appeal_days: 30 is less than 180"),
        (DEFAULT, f'languages = ["tlh"]\n{DEFAULT}', "languages: tlh"),
        (DEFAULT, f"languages = []\n{DEFAULT}", "languages: there is none"),
        (DEFAULT, 'default_language = "fr"', "default_language: 'fr'"),
        ("notice_date = 2019-12-07", "", "go together"),
        ("continues_from = 2019-12-08", "continues_from = 2019-12-01", "is before notice_date"),
        ('terms = ""', 'terms = "javascript:alert(1)"', "links.terms: is no address"),
        ('terms = ""', 'terms = "//elsewhere.example"', "links.terms: is no address"),
        ('en = "this service"', "", "name: has no text in English"),
        ("[terms.automated]", "[terms.robots]", "platform.toml"),
        ("warn_contacts = false", "warn_contacts = 3", "warn_contacts"),
        ("appeal_days = 180", "days = 180", "unknown field"),
        ('time_zone = "UTC"', 'time_zone = "Tel Aviv"', "time_zone: 'Tel Aviv' is not known"),
        ('time_zone = "UTC"', 'time_zone = ""', "time_zone: '' is not known"),
    ],
)
def test_wrong_file_is_refused_with_its_field(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    with pytest.raises(PolicyError) as error:
        load(tmp_path, (old, new))
    assert problem in error.value.what
    assert error.value.fix


def test_local_file_replaces_the_shipped_one(tmp_path: Path) -> None:
    load(tmp_path, ("this service", "Acme Chat"), ('terms = ""', 'terms = "/terms"'))
    platform = load_platform(tmp_path)
    assert platform.name_in(get_language("en")) == "Acme Chat"
    assert platform.links.terms == "/terms"
