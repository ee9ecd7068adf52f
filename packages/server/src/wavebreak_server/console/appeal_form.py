"""The form by which a person answers an appeal: filled in, shown with its effect, then sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from wavebreak.languages import Language, msgid
from wavebreak.outcomes import NEEDING_HOLD, SETTABLE
from wavebreak_server.console.forms import PageForm
from wavebreak_server.console.pages import refuse
from wavebreak_server.errors import ApiError
from wavebreak_server.slices.acts import service as acts
from wavebreak_server.slices.appeals import answers
from wavebreak_server.slices.appeals.models import Appeal
from wavebreak_server.texts import page_language, translate, translate_values


def _milder_outcomes() -> list[tuple[str, str]]:
    names = [name for name in NEEDING_HOLD if name in SETTABLE]
    return [("", "–"), *((name, translate(name)) for name in names)]


class AnswerForm(PageForm):
    """The answer to an appeal.

    Args:
        language: The holder's language, in which the grounds are written.
        others: Other decisions that stand on the account, each of which may be lifted as well.
    """

    id_prefix = "answer"
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    result = forms.ChoiceField(
        choices=lambda: list(translate_values(answers.RESULTS).items()),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy(msgid("no result was chosen"))},
    )
    outcome = forms.ChoiceField(choices=_milder_outcomes, required=False)
    hold = forms.ChoiceField(
        choices=lambda: [("", "–"), *((hold, acts.hold_words(hold)) for hold in acts.HOLDS)],
        required=False,
    )
    grounds = forms.MultipleChoiceField(
        choices=list(answers.GROUNDS.items()), required=False, widget=forms.CheckboxSelectMultiple
    )
    lift = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    reason = forms.CharField(
        required=False,
        max_length=answers.MAX_REASON,
        widget=forms.Textarea({"rows": 4, "class": "w-full", "id": "reason"}),
        help_text=gettext_lazy(
            msgid("The holder reads this above the notice. Name no other account and no threshold.")
        ),
    )
    together = forms.BooleanField(required=False)
    answer: answers.Answer

    def __init__(
        self,
        data: Any = None,
        *,
        language: Language,
        others: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> None:
        super().__init__(data, **options)
        self.language = language
        self.fields["reason"].widget.attrs |= {"lang": language.code, "dir": language.direction}
        self.fields["lift"].choices = [(each["id"], each["id"]) for each in others]

    def clean(self) -> dict[str, Any]:
        """Read the answer; a milder outcome counts where the decision is partially reversed."""
        values = super().clean() or {}
        result, grounds = values.get("result", ""), tuple(values.get("grounds", ()))
        outcome = hold = ""
        if result == Appeal.PARTIALLY:
            asked = {name: values.get(name, "") for name in ("outcome", "hold")}
            try:
                act = acts.act_of({"verdict": "undetermined"} | asked)
            except ApiError as error:
                refuse(self, "outcome", error)
            else:
                outcome, hold = act.outcome, act.hold
        if result and any(not name.startswith(f"{result}.") for name in grounds):
            self.add_error("grounds", translate("a reason belongs to another result"))
        text = values.get("reason", "").replace("\r\n", "\n").strip()
        if not grounds and not text and "reason" not in self.errors:
            self.add_error("grounds", translate("the reason is missing"))
        if not self.errors:
            lifted = tuple(values["lift"])
            self.answer = answers.Answer(result, grounds, text, outcome, hold, lifted)
            if len(self.answer.reason(self.language)) > answers.MAX_REASON:
                self.add_error("reason", translate("the reason is too long"))
        return values

    def results(self) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
        """Yield each result with its numbered grounds, in the holder's and the page's language."""
        page, grounds = page_language(), list(enumerate(self["grounds"], 1))
        for option in self["result"]:
            result = option.data["value"]
            yield (
                option,
                [
                    {
                        "number": number,
                        "widget": ground,
                        "text": self.language.gettext(ground.choice_label),
                        "meaning": page.gettext(ground.choice_label) * (page != self.language),
                    }
                    for number, ground in grounds
                    if ground.data["value"].startswith(f"{result}.")
                ],
            )
