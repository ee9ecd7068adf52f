"""Forms by which a person acts on accounts."""

from __future__ import annotations

from typing import Any

from django import forms

from wavebreak.outcomes import SETTABLE
from wavebreak_server.console.forms import PageForm, ReasonField
from wavebreak_server.console.pages import Console, refuse
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.texts import translate

ACT_FIELDS = ("verdict", "outcome", "hold")


def act_form(console: Console, form: ActForm | None = None) -> dict[str, Any]:
    """Return the values that the templates `act_fields` and `reason` read."""
    return {
        "choices": acts.CHOICES,
        "settable": SETTABLE,
        "holds": acts.HOLDS,
        "form": form or ActForm(),
    }


def effect_of(console: Console, applied: acts.AppliedAct) -> str:
    """Return what an act changed, and what it did not."""
    return acts.effect_words(applied.act, enforced=console.deciding.enforce)


class ActForm(PageForm):
    """An act on one account; a benign verdict needs no reason."""

    id_prefix = "act"
    verdict = forms.CharField(required=False)
    outcome = forms.CharField(required=False)
    hold = forms.CharField(required=False)
    reason = ReasonField(required=False)
    act: acts.Act

    def clean(self) -> dict[str, Any]:
        """Read the act, and ask for a reason where the act needs one."""
        values = super().clean() or {}
        try:
            self.act = acts.act_of({name: values.get(name, "") for name in ACT_FIELDS})
        except ApiError as error:
            refuse(self, "verdict", error)
        if "reason" not in self.errors and not values["reason"]:
            if values.get("verdict") == "benign":
                values["reason"] = acts.NO_REASON
            else:
                self.add_error("reason", translate("a reason is missing"))
        return values

    @property
    def written(self) -> dict[str, str]:
        """The values that were sent, by field."""
        return {name: self.data.get(name, "") for name in self.fields}


class BulkForm(ActForm):
    """An act on many accounts: those that are selected, or that a query lists."""

    id_prefix = "bulk"
    reason = ReasonField()
    query = forms.CharField(required=False)
    criteria = forms.CharField(required=False, max_length=2_000)
    outcome_is = forms.CharField(required=False)
    basis_is = forms.CharField(required=False)
    abuse_is = forms.CharField(required=False)
    source = forms.CharField(required=False, empty_value="selection")
    newest = forms.IntegerField(required=False)
    typed = forms.CharField(required=False)
