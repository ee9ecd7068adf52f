"""Numbered reasons of each verdict: the shipped ones, until a lead writes others."""

from __future__ import annotations

from collections.abc import Mapping

from wavebreak.schema.events import Label
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.slices.config import ConsoleConfig
from wavebreak_server.slices.queue.models import ReasonPresets
from wavebreak_server.slices.users.acting_user import ActingUser
from wavebreak_server.texts import translate

VERDICTS: tuple[Label, ...] = ("benign", "abusive", "undetermined")
MOST, LONGEST = 9, 120
"""Reasons of a verdict, one a digit, and characters of each."""


def reason_presets(settings: ConsoleConfig) -> dict[Label, list[str]]:
    """Return the reasons by verdict, in their order."""
    written = dict(ReasonPresets.objects.values_list("verdict", "reasons"))
    return {v: written.get(v, list(settings.reasons.get(v, ()))) for v in VERDICTS}


def read_presets(text: str) -> list[str]:
    r"""Return the reasons of a text, one a line; raises ApiError (422) for too many, or long ones.

    >>> read_presets(" one campaign \n\nfew answered")
    ['one campaign', 'few answered']
    """
    lines = [" ".join(line.split()) for line in text.splitlines()]
    reasons = list(dict.fromkeys(filter(None, lines)))
    if len(reasons) > MOST:
        raise ApiError(
            422,
            translate("more than {most} reasons", most=MOST),
            fix=translate("keep those that are used most"),
        )
    if long := [reason for reason in reasons if len(reason) > LONGEST]:
        raise ApiError(
            422,
            translate(
                "a reason exceeds {longest} characters: {value}…",
                longest=LONGEST,
                value=long[0][:40],
            ),
            fix=translate("shorten it"),
        )
    return reasons


def write_presets(acting: ActingUser, presets: Mapping[Label, list[str]], reason: str) -> None:
    """Write the reasons of verdicts, and audit it, in the open transaction."""
    for verdict, reasons in presets.items():
        ReasonPresets.objects.update_or_create(verdict=verdict, defaults={"reasons": reasons})
    counts = ", ".join(f"{verdict} {len(reasons)}" for verdict, reasons in presets.items())
    write_audit_entry(acting.now_ms, acting.user.actor, "edit_reasons", counts, reason)
