"""Descriptions of features: complete, short, and in words that no developer's page explains."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from wavebreak.cli.app import app
from wavebreak.explain.narrative import format_value
from wavebreak.features.catalog import FEATURES, FORMER_NAMES, get_feature
from wavebreak.features.descriptions import (
    _WINDOW,
    DESCRIPTIONS,
    TITLES,
    describe_feature,
    feature_title,
)
from wavebreak.languages import get_language, is_right_to_left

JARGON = re.compile(
    r"\b(bucket|e-value|log2|lag|autocorrelation|entropy|prior|epoch|ciphertext|ts|window|decayed)\b"
    r"|_",
    re.IGNORECASE,
)


@pytest.mark.parametrize("name", [feature.name for feature in FEATURES])
def test_every_feature_is_described_in_one_short_plain_text(name: str) -> None:
    said = describe_feature(name)
    assert said.endswith(".")
    assert len(said) <= 120
    assert "  " not in said
    assert not JARGON.search(said)


def test_nothing_is_described_that_is_no_feature_and_no_two_alike() -> None:
    assert set(DESCRIPTIONS) == {_WINDOW.sub("", feature.name) for feature in FEATURES}
    said = [describe_feature(feature.name) for feature in FEATURES]
    assert len(set(said)) == len(said)


def test_titles_are_short_and_tell_features_apart() -> None:
    titles = [feature_title(feature.name) for feature in FEATURES]
    assert len(set(titles)) == len(titles)
    assert max(map(len, titles)) <= 52
    assert not any("_" in title for title in titles)
    assert set(TITLES) <= set(DESCRIPTIONS)


@pytest.mark.parametrize(("former", "name"), [*FORMER_NAMES.items(), ("gap_sd", "gap_sd")])
def test_feature_is_shown_under_a_former_name_too(former: str, name: str) -> None:
    shown = CliRunner().invoke(app, ["features", "show", former], catch_exceptions=False)
    assert shown.exit_code == 0
    said = " ".join(shown.stdout.split())
    assert name in said
    assert describe_feature(name) in said
    assert f"Exactly: {get_feature(name).meaning[:20]}" in said


def test_hebrew_has_a_title_a_sentence_and_a_value_of_every_measure() -> None:
    hebrew = get_language("he")
    for name in (feature.name for feature in FEATURES):
        said = (feature_title(name, hebrew), describe_feature(name, hebrew))
        assert all(map(is_right_to_left, said)), name
        assert not re.search("[A-Za-z]", format_value(name, 2.0, language=hebrew)), name
    titles = [feature_title(feature.name, hebrew) for feature in FEATURES]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0 הודעות"), (1.0, "הודעה אחת"), (2.0, "שתי הודעות"), (1.5, "1.50 הודעות"),
     (1200.0, "1,200 הודעות"), (None, "חסר")],
)  # fmt: skip
def test_count_in_hebrew_has_the_form_of_its_number(value: float | None, said: str) -> None:
    assert format_value("sends_15s", value, language=get_language("he")) == said
