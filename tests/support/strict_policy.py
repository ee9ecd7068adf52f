"""A policy that decides on calm logs too."""

from __future__ import annotations

import dataclasses

import msgspec

from wavebreak import rules


def strict_policy() -> rules.Policy:
    """The shipped policy, one of its rules made to fire often, so that a calm trace decides too.

    Any model's score acts in it.
    """
    policy = rules.load_policy()
    score = msgspec.structs.replace(policy.score, mode="enforce")
    often = msgspec.structs.replace(
        policy.rules[0], id="often", stage="messaging", on=("sent", "received"),
        when="sends_1h >= 6 and peers_1d >= 2", outcome="restrict", label=None, hold="1h",
        mode="enforce",
    )  # fmt: skip
    return dataclasses.replace(policy, rules=(often, *policy.rules[1:]), score=score)
