"""Which features a model may read, and in which direction it may read them; each with its reason.

What is left out: our own answers and the labels. A model that reads them learns its own decisions
back, and a label that is confirmed because we acted would then be its own proof.
"""

from __future__ import annotations

from wavebreak.features.catalog import NAMES

NOT_INPUTS: dict[str, str] = {
    "label_abusive": "the label itself",
    "label_benign": "the label itself",
    "standing": "our own answer in force",
    "strikes": "our own answers so far",
    "refused": "what our own answers refused, or would have",
    "challenges_failed": "follows from a challenge that we chose to send",
    "challenges_lapsed": "the same",
    "changes_after_answer": "follows from an answer of ours, which a replay in shadow never sent",
    "registration_suspicions": "rules that fired: it moves whenever the policy is edited",
    "score": "what a model said before",
    "registration_score": "what a model said before",
}
"""Features that no model reads, and why. Families `standing`, `labels`, `score` hold no other."""

_ANSWERED = "answers from people who were written to speak for the account"
_STRANGERS = "more strangers written to is never a sign of innocence"
_BAD = "accounts acted on where this one stands are never a sign of innocence"
_HEARD = "young accounts beside it are answered by those they write to"
_LISTS = "numbers that do not exist are in bought and made-up lists"

SIGNS: dict[str, tuple[int, str]] = {
    "first_contacts_1h": (1, _STRANGERS),
    "first_contacts_1d": (1, _STRANGERS),
    "first_contacts_7d": (1, _STRANGERS),
    "cold_share_32": (1, "recipients who do not have the sender in contacts"),
    "reply_share_7d": (-1, _ANSWERED),
    "replied_7d": (-1, _ANSWERED),
    "mutual_contacts": (-1, "chats that go both ways speak for the account"),
    "inbound_chats": (-1, "receiving never counts against the receiver"),
    "unanswered_7d": (1, "silence of those written to never speaks for the account"),
    "hunted_share_32": (1, "targets taken over from accounts that were acted on"),
    "network_bad": (1, _BAD),
    "block_bad": (1, _BAD),
    "device_bad": (1, _BAD),
    "client_bad": (1, _BAD),
    "network_answered": (-1, _HEARD),
    "block_answered": (-1, _HEARD),
    "device_answered": (-1, _HEARD),
    "attested": (-1, "a device that the platform vouches for"),
    "country_mismatch": (1, "a number of another country than its network"),
    "left_share_7d": (1, "members who leave what they were added to"),
    "undeliverable_7d": (1, _LISTS),
    "undeliverable_share_7d": (1, _LISTS),
    "report_weight_7d": (1, "reports with proof, by reporters with a record"),
    "block_weight_7d": (1, "blocks with proof, by people with a record"),
}
"""By feature: the sign in which it may move the score, all else equal, and why. Few and certain:
counts of reports have none (reports are bought), nor has age (aged accounts are bought too)."""


def inputs(names: tuple[str, ...] = NAMES) -> tuple[str, ...]:
    """Names of the features that a model reads, in catalog order.

    >>> "standing" in inputs(), "first_contacts_1h" in inputs()
    (False, True)
    """
    return tuple(name for name in names if name not in NOT_INPUTS)


def signs(names: tuple[str, ...]) -> dict[str, int]:
    """The signs of those of `names` that have one.

    >>> signs(("attested", "age_s"))
    {'attested': -1}
    """
    return {name: SIGNS[name][0] for name in names if name in SIGNS}
