"""Words of a report: the same in each language, with the same places to fill in."""

from __future__ import annotations

from string import Template
from typing import Any

import pytest

from wavebreak import config
from wavebreak.bundles.report_settings import encode_settings, load_settings
from wavebreak.bundles.report_text import ReportText
from wavebreak.cases.reasons import LANGUAGES
from wavebreak.errors import UsageError
from wavebreak.explain.collect import KINDS
from wavebreak.schema.events import OUTCOMES

WORDS = config.read_toml(config.resolve_path("cases/report.toml"))


def _places(value: Any) -> Any:
    """What a phrase is filled in with; of a table or list, of each of its phrases."""
    if isinstance(value, dict):
        return {key: _places(each) for key, each in value.items()}
    if isinstance(value, list):
        return len(value)
    return sorted(Template(value).get_identifiers())


def test_report_words_are_the_same_in_every_language() -> None:
    assert set(WORDS) == set(LANGUAGES)
    assert _places(WORDS["en"]) == _places(WORDS["he"])


def test_report_words_cover_counts_and_outcomes() -> None:
    for language in LANGUAGES:
        words = ReportText(language)
        assert set(words.codes("counts")) == set(KINDS)
        assert set(words.codes("outcomes")) == set(OUTCOMES)


def test_forms_are_the_same_in_every_language() -> None:
    forms = [[form.id for form in load_settings(language).forms] for language in LANGUAGES]
    assert forms[0] == forms[1] == ["us_fre_902_13", "us_fre_902_14", "declaration"]


def test_settings_refuse_a_date_that_is_none() -> None:
    with pytest.raises(UsageError, match="not well formed"):
        load_settings(issued="tomorrow")


def test_settings_encode_equally() -> None:
    assert encode_settings(load_settings("he")) == encode_settings(load_settings("he"))
