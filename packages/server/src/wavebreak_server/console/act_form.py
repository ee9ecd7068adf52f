"""Forms by which a person acts on accounts and answers appeals."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from wavebreak.languages import msgid
from wavebreak.outcomes import NEEDING_HOLD, SETTABLE
from wavebreak_server.console.forms import PageForm, ReasonField
from wavebreak_server.console.pages import Console, refuse
from wavebreak_server.console.templatetags.console import hold_words
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.appeals import service as appeals
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.texts import translate, translate_values

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


def _milder_outcomes() -> list[tuple[str, str]]:
    names = [name for name in NEEDING_HOLD if name in SETTABLE]
    return [("", "–"), *((name, translate(name)) for name in names)]


class AnswerForm(PageForm):
    """The answer to an appeal."""

    id_prefix = "answer"
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    result = forms.ChoiceField(
        choices=lambda: list(translate_values(appeals.RESULTS).items()),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy(msgid("no result was chosen"))},
    )
    outcome = forms.ChoiceField(choices=_milder_outcomes, required=False)
    hold = forms.ChoiceField(
        choices=lambda: [("", "–"), *((hold, hold_words(hold)) for hold in acts.HOLDS)],
        required=False,
    )
    reason = forms.CharField(
        max_length=appeals.MAX_REASON,
        widget=forms.Textarea({"rows": 6, "class": "w-full", "id": "reason"}),
        help_text=gettext_lazy(
            msgid("The holder reads this above the notice. Name no other account and no threshold.")
        ),
        error_messages={"required": gettext_lazy(msgid("the reason is missing"))},
    )
    together = forms.BooleanField(required=False)
    answer: appeals.Answer

    def clean(self) -> dict[str, Any]:
        """Read the answer; a milder outcome counts where the decision is partially reversed."""
        values = super().clean() or {}
        outcome = hold = ""
        if values.get("result") == Appeal.PARTIALLY:
            asked = {name: values.get(name, "") for name in ("outcome", "hold")}
            try:
                act = acts.act_of({"verdict": "undetermined"} | asked)
            except ApiError as error:
                refuse(self, "outcome", error)
            else:
                outcome, hold = act.outcome, act.hold
        if not self.errors:
            reason = values["reason"].replace("\r\n", "\n")
            self.answer = appeals.Answer(values["result"], reason, outcome, hold)
        return values
