"""Made-up scoring points and labels with a known signal, for tests of learning."""

from __future__ import annotations

import msgspec
import numpy as np

from wavebreak.evaluation.labels import Labels, LabelVote, resolve_votes
from wavebreak.evaluation.scoring_points import Points, model_inputs
from wavebreak.schema.event_kinds import KINDS
from wavebreak_lab.training.config import Settings, load_settings

NAMES = model_inputs()
OPERATORS, FAMILIES = 12, ("blast", "jitter")
SIGNAL = {"first_contacts_1d": 2.0, "reply_share_7d": -2.0, "cold_share_32": 1.5}
"""Features that tell abusive from benign, and by how many standard deviations."""


def small() -> Settings:
    """The shipped settings with few, small trees."""
    settings = load_settings()
    fit = msgspec.structs.replace(settings.fit, rounds=24, leaves=8, least=10)
    return msgspec.structs.replace(settings, fit=fit)


def votes(abusive: int = 120, benign: int = 400) -> list[LabelVote]:
    """One vote an account: abusive ones in families of operators, benign ones on their own."""
    made = [
        LabelVote("", f"bad{n}", "abusive", FAMILIES[n % 2], f"op{n % OPERATORS}", "file")
        for n in range(abusive)
    ]
    return made + [LabelVote("", f"good{n}", "benign", "person", "", "file") for n in range(benign)]


def labels(abusive: int = 120, benign: int = 400) -> Labels:
    """The same, resolved."""
    return resolve_votes(votes(abusive, benign), load_settings().sources)


def points(abusive: int = 120, benign: int = 400, each: int = 6, seed: int = 1) -> Points:
    """Points of the accounts of `votes`, in order of time, the first of each a registration."""
    rng, keys = np.random.default_rng(seed), [("", c.account) for c in votes(abusive, benign)]
    account = np.tile(np.arange(len(keys)), each)
    values = np.round(rng.normal(0.0, 1.0, (len(account), len(NAMES))), 3)
    values[rng.random(values.shape) < 0.1] = np.nan
    for name, shift in SIGNAL.items():
        values[account < abusive, NAMES.index(name)] += shift
    kind = np.full(len(account), KINDS.index("sent"), np.uint8)
    kind[: len(keys)] = KINDS.index("registered")
    return Points(
        NAMES,
        values,
        account,
        1_000 * np.arange(len(account), dtype=np.int64),
        kind,
        np.zeros(len(account), np.uint8),
        np.zeros(len(account), np.int64),
        tuple(keys),
    )
