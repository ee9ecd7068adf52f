"""The form by which a person acts on accounts: verdicts, outcomes, durations, numbered reasons."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from wavebreak.outcomes import SETTABLE
from wavebreak_server.console.pages import Console, reason_of
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.queue.presets import reason_presets


def act_form(console: Console) -> dict[str, Any]:
    """Return what the templates `act_fields` and `reason` read."""
    return {
        "choices": acts.CHOICES,
        "settable": SETTABLE,
        "holds": acts.HOLDS,
        "presets": reason_presets(settings_of(console.context.app)),
    }


def effect_of(console: Console, applied: acts.AppliedAct) -> str:
    """Return what an act changed, and what it did not."""
    return acts.effect_words(applied.act, enforced=console.deciding.enforce)


def reason_for(request: HttpRequest, act: acts.Act) -> str:
    """Return the reason of a form that acts on one account; a benign verdict may go without one."""
    if act.verdict == "benign" and not request.POST.get("reason", "").strip():
        return acts.NO_REASON
    return reason_of(request)
