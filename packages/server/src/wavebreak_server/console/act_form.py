"""Forms by which a person acts on accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from wavebreak.outcomes import SETTABLE
from wavebreak_server.console.forms import PageForm, ReasonField
from wavebreak_server.console.pages import Console, refuse, say_of_account, warn
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.acts.effect_sheet import Ask, EffectSheet, effect_sheet
from wavebreak_server.slices.acts.models import PersonAct
from wavebreak_server.texts import translate

ACT_FIELDS = ("verdict", "outcome", "hold")


def act_form(form: ActForm | None = None, sheet: EffectSheet | None = None) -> dict[str, Any]:
    """Return the values that the templates of a form read that asks for an act."""
    return {
        "choices": acts.CHOICES,
        "settable": SETTABLE,
        "presets": acts.PRESETS,
        "holds": acts.HOLDS,
        "form": form or ActForm(),
        "sheet": sheet,
    }


def sheet_of(console: Console, account: str, act: acts.Act) -> EffectSheet:
    """Return the effect sheet of an act on one account; raises ApiError (404) if it is unknown."""
    sheet = effect_sheet(console, act.words, [Ask(account, act)])
    if sheet.unknown:
        raise ApiError(
            404, translate("the log has no such account"), fix=translate("search for it")
        )
    return sheet


def was_seen(request: HttpRequest, sheet: EffectSheet) -> bool:
    """Return whether a form confirms a sheet; warn where its reader has seen another one."""
    seen = str(request.POST.get("sheet", ""))
    if seen and seen != sheet.digest:
        warn(
            request,
            translate(
                "What the act would bring changed while you read it. Nothing was done: read it "
                "anew, then confirm."
            ),
        )
    return seen == sheet.digest


def say_effect(request: HttpRequest, sheet: EffectSheet, made: PersonAct) -> None:
    """Show on the next page what an act has brought, with a link to its undo."""
    effect = sheet.rows[0].done(made)
    if effect.fault:
        warn(request, effect.fault)
        return
    words, undo = effect.words(enforced=sheet.enforced), translate("To undo it, follow the link.")
    say_of_account(request, made.account, f"{words} {undo}")


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
    campaign = forms.CharField(required=False, max_length=112)
    then = forms.CharField(required=False)
    source = forms.CharField(required=False, empty_value="selection")
    newest = forms.IntegerField(required=False)
    typed = forms.CharField(required=False)
