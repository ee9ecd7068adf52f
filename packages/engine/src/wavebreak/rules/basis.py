"""Basis of a rule: what an outcome may rest on. Doubt slows, evidence silences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wavebreak.errors import PolicyError
from wavebreak.outcomes import rank_of
from wavebreak.rules.conditions import AnyOf, When
from wavebreak.rules.model import BASES, Rule

LEAST_EVIDENCE = 20
"""Least e-value that counts as evidence: at most one honest account in twenty ever reaches it."""
COMPLAINTS = (
    "unwanted_evidence", "reaction_evidence", "later_complaint_evidence", "complaint_evidence",
)  # fmt: skip
"""The tests of complaints: the greatest of them, and each."""
EVIDENCE = (*COMPLAINTS, "leave_evidence", "undeliverable_evidence")
STRANGER_RATES = ("strangers_written_15s", "strangers_added_1d")
RATES = (
    *STRANGER_RATES, "sends_15s", "sends_5m", "groups_created_1d",
)  # fmt: skip
"""Features of which a great number is an act that no person can do; of the first ones a client does
not do it for a person towards contacts either."""
TRAPS, LEAST_TRAPS = "trap_contacts_28d", 2
"""Traps from which on they are evidence: who makes the set of traps states how rarely an honest
account meets two (rule `recipients_gone`)."""
LEAST_STRIKES = 2
"""Earlier restrictions from which on evidence may ban."""

_FIXES = {
    "doubt": 'choose limit or less, or rest it on evidence: basis = "evidence"',
    "takeover": "choose challenge or less: the owner is a victim",
    "evidence": f"compare one of {', '.join(EVIDENCE)} with at least {LEAST_EVIDENCE} in every "
    f"alternative, or {TRAPS} with at least {LEAST_TRAPS}",
    "tie": f"compare one of {', '.join(EVIDENCE)} with at least {LEAST_EVIDENCE} in every "
    "alternative: a tie silences only beside evidence of the account's own",
    "impossible": f"compare one of {', '.join(RATES)} with at least 20 in every alternative",
    "person": "read label_abusive",
}
_NO_END = (
    'no rule alone bans without end: choose suspend or less with an end (for = "24h"), or evidence '
    f"with strikes >= {LEAST_STRIKES} and a second kind of evidence in every alternative: "
    f"label_unconfirmed == 1, {TRAPS} >= {LEAST_TRAPS}, or one of {', '.join(STRANGER_RATES)} "
    "with at least 20"
)


def check_basis(rule: Rule, where: str) -> None:
    """Check that a rule's outcome may rest on its basis, and that its conditions hold that basis.

    Raises:
        PolicyError: A rule restricts on doubt, or says that it rests on evidence and can fire
            without any.
    """
    if rule.outcome is None:
        return
    most = BASES[rule.basis]
    if rank_of(rule.outcome) > rank_of(most):
        raise PolicyError(
            f"{where}: {rule.outcome} rests on {rule.basis}, which leads to {most} at most",
            fix=_NO_END if most == "suspend" else _FIXES[rule.basis],
        )
    if rule.basis in _HOLDS and not in_every_case(rule.when, _HOLDS[rule.basis]):
        raise PolicyError(
            f"{where}, basis: it can fire without {rule.basis}", fix=_FIXES[rule.basis]
        )
    _check_severity(rule, where)


def _check_severity(rule: Rule, where: str) -> None:
    """Check what a ban on evidence and a restriction on the impossible need beside their basis."""
    if rule.outcome == "ban" and rule.basis == "evidence":
        if not in_every_case(rule.when, lambda c: _at_least(c, ("strikes",), LEAST_STRIKES)):
            raise PolicyError(f"{where}: it can ban without earlier restrictions", fix=_NO_END)
        if not in_every_case(rule.when, _is_beside_complaints):
            raise PolicyError(f"{where}: it can ban on complaints alone", fix=_NO_END)
    if (
        rule.basis == "impossible"
        and rank_of(str(rule.outcome)) > rank_of("limit")
        and not in_every_case(rule.when, lambda c: _at_least(c, STRANGER_RATES, 20))
    ):
        raise PolicyError(
            f"{where}: {rule.outcome} on acts that may be towards contacts, whom a client tells of "
            "a new number all at once",
            fix=f"compare one of {', '.join(STRANGER_RATES)} with at least 20 in every "
            "alternative, or choose challenge",
        )


def _is_beside_complaints(condition: str) -> bool:
    """Whether a condition is evidence of another kind than what recipients say.

    An honest organiser with opponents is complained of by many. The other kinds: an impossible
    rate, a label by a honeypot, a partner or a sample, and two traps.
    """
    is_label = condition.replace(" ", "") == "label_unconfirmed==1"
    is_trapped = _at_least(condition, (TRAPS,), LEAST_TRAPS)
    return is_label or is_trapped or _at_least(condition, STRANGER_RATES, 20)


def in_every_case(when: When, holds: Callable[[str], bool]) -> bool:
    """Whether every way in which a rule's conditions can hold needs a condition that `holds`.

    >>> in_every_case(("a > 1", AnyOf(("b > 1", ("c > 1", "b > 2")))), lambda c: c.startswith("b"))
    True
    >>> in_every_case((AnyOf(("b > 1", "c > 1")),), lambda c: c.startswith("b"))
    False
    """
    conditions: Sequence[str | AnyOf] = (when,) if isinstance(when, str) else when
    if isinstance(when, str) and (" or " in when or " and " in when):
        return False
    return any(
        holds(entry)
        if isinstance(entry, str)
        else all(in_every_case(alternative, holds) for alternative in entry.any_of)
        for entry in conditions
    )


def _at_least(condition: str, names: Sequence[str], least: float) -> bool:
    """Whether a condition says that one of `names` is at least `least` or more."""
    name, _, number = condition.partition(">")
    try:
        return name.strip() in names and float(number.lstrip("= ").replace("_", "")) >= least
    except ValueError:
        return False


_HOLDS: dict[str, Callable[[str], bool]] = {
    "evidence": lambda condition: (
        _at_least(condition, EVIDENCE, LEAST_EVIDENCE)
        or _at_least(condition, (TRAPS,), LEAST_TRAPS)
    ),
    "tie": lambda condition: _at_least(condition, EVIDENCE, LEAST_EVIDENCE),
    "impossible": lambda condition: _at_least(condition, RATES, 20),
    "person": lambda condition: condition.replace(" ", "") == "label_abusive==1",
}
