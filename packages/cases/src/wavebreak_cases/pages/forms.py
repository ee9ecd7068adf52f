"""Forms of the acts on a case: Django's, each made of an act's declaration.

Each act has one form, on a page of its own. What was typed is shown again with every fault beside
its field, or where the case changed meanwhile, so that nothing is lost but a file, which a browser
does not send twice: its field says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django import forms
from msgspec import UNSET, UnsetType

from wavebreak.errors import CaseError
from wavebreak.languages import msgid
from wavebreak_cases.acts.declaration import MAX_UPLOAD, Act, Choices, Field, violation_choices
from wavebreak_cases.cases.case import Case
from wavebreak_cases.cases.date_ranges import DateRange, parse_date, parse_instant
from wavebreak_cases.cases.parties import Evidence
from wavebreak_server.console.pages import MAX_REASON
from wavebreak_server.texts import translate

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")
_MISSING = msgid("It is missing: fill it in.")
_CHOOSE = msgid("Choose one of those that are offered.")


FORMS: Mapping[str, str] = {
    "case-closed": "change_state",
    "other-evidence": "prepare_determination",
    "other-rules": "prepare_determination",
    "signed-already": "prepare_determination",
    "not-current": "prepare_determination",
    "run-not-redacted": "erase_account",
    "merge-by-hand": "merge_parties",
    "other-exhibit": "add_evidence",
    "claim-rejected": "add_exhibit",
    "confirmed-apart": "review_evidence",
    "nothing-confirmed": "review_evidence",
    "signer-unknown": "name_signer",
    "party-barred": "record_bar",
    "may-be-a-minor": "merge_parties",
    "party-missing": "add_party",
    "delivery-missing": "record_delivery",
    "task-open": "finish_task",
    "notice-without-date": "send_notice",
    "tie-not-shown": "link_account",
}
"""By the code of an error, the act whose form is the way out."""


def _mismatch(declared: Field, value: str) -> str:
    """Say what is wrong with a value that does not match its field's pattern."""
    return translate(declared.fault, value=value[:40])


class LinesField(forms.CharField):
    """A value a line."""

    def __init__(self, declared: Field, **options: Any) -> None:
        super().__init__(**options)
        self.declared = declared

    def clean(self, value: Any) -> Any:
        """Return the lines; every one that does not match is named."""
        lines = tuple(line.strip() for line in super().clean(value).splitlines() if line.strip())
        pattern = self.declared.pattern
        wrong = [line for line in lines if pattern and not pattern.fullmatch(line)]
        long = [line for line in lines if len(line) > 300]
        faults = [_mismatch(self.declared, line) for line in wrong]
        faults += [
            translate("{line}… is longer than 300 characters.", line=line[:40]) for line in long
        ]
        if faults or len(lines) > 500:
            raise forms.ValidationError(faults or translate("There are more than 500 lines."))
        return lines


class MomentField(forms.CharField):
    """An instant to the minute or second, in UTC, as milliseconds."""

    def __init__(self, declared: Field, now: int, **options: Any) -> None:
        super().__init__(**options)
        self.past, self.now = declared.past, now

    def clean(self, value: Any) -> Any:
        """Return the instant (None: not given)."""
        text = super().clean(value)
        if not text:
            return None
        try:
            at = parse_instant(f"{text}Z") if _MOMENT.fullmatch(text) else None
        except CaseError:
            at = None
        if at is None:
            raise forms.ValidationError(translate("It is no date with a time: 2026-03-02T09:00."))
        if self.past and at > self.now:
            raise forms.ValidationError(
                translate("It is in the future: give the time at which it was.")
            )
        return at


class SeveralField(forms.ChoiceField):
    """A set of values, chosen as one; UNSET where it is not stated."""

    def clean(self, value: Any) -> Any:
        """Return the values."""
        chosen = super().clean(value)
        return UNSET if chosen in ("", "not_stated") else tuple(chosen.split("+"))


class UploadField(forms.FileField):
    """A file of at most `MAX_UPLOAD` bytes."""

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return the file."""
        upload = super().clean(data, initial)
        if upload and upload.size > MAX_UPLOAD:
            raise forms.ValidationError(
                translate(
                    "The file is larger than {max_upload} bytes: take it in by command.",
                    max_upload=format(MAX_UPLOAD, ","),
                )
            )
        return upload


class ActForm(forms.Form):
    """A form of an act: its fields, then the reason. Subclasses are made by `act_form`."""

    act: Act
    case: Case
    now: int
    values: dict[str, Any]

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, auto_id="f-%s", **options)

    @property
    def faults(self) -> list[tuple[forms.BoundField, str]]:
        """Every fault with its field, in their order: what stands at the top of the page."""
        return [(self[name], text) for name in self.fields for text in self.errors.get(name, ())]

    @property
    def shown_fields(self) -> list[tuple[str, forms.BoundField]]:
        """The fields but for the reason, each with its heading."""
        return [(f.section, self[f.name]) for f in self.act.fields if f.on_form]

    @property
    def hidden_values(self) -> dict[str, str]:
        """What was sent for the fields, to be sent again."""
        return {f.name: self.data.get(f.name, "") for f in self.act.fields if f.on_form}

    def clean(self) -> dict[str, Any]:
        """Let the act's guard look at the fields together."""
        fields = {k: v for k, v in self.cleaned_data.items() if k != "reason"}
        self.values = self.act.complete(fields)
        for fault in self.act.guard(self.case, self.values, self.now):
            if fault.field not in self.errors:
                message = ": ".join(each for each in (fault.what, fault.fix) if each)
                self.add_error(fault.field, f"{message[:1].upper()}{message[1:]}.")
        cleaned: dict[str, Any] = self.cleaned_data
        return cleaned

    def name_lost_files(self) -> None:
        """Ask for files again where the form is shown again: no browser sends them twice."""
        for name, file in self.files.items():
            if name in self.fields and name not in self.errors:
                message = translate(
                    "Choose the file again: {name} is not kept.", name=Path(file.name).name
                )
                self.add_error(name, message)


def _field(declared: Field, case: Case, policy: Path | None, now: int) -> forms.Field:
    common: dict[str, Any] = {
        "label": translate(declared.label),
        "required": declared.required,
        "help_text": translate(declared.hint),
        "error_messages": {"required": translate(_MISSING), "invalid_choice": translate(_CHOOSE)},
    }
    text = {"max_length": declared.limit} | common
    area = forms.Textarea(attrs={"rows": 2 if declared.kind == "lines" else 3, "dir": "auto"})
    match declared.kind:
        case "choice":
            offered = declared.offered(case, policy)
            return forms.ChoiceField(choices=_shown(offered), **common)
        case "several":
            offered = violation_choices(declared.values)
            return SeveralField(choices=_shown(offered), **common)
        case "lines":
            return LinesField(declared, widget=area, **text)
        case "area":
            return forms.CharField(widget=area, **text)
        case "moment":
            local = forms.TextInput(attrs={"type": "datetime-local", "autocomplete": "off"})
            return MomentField(declared, now, widget=local, **text)
        case "number":
            return forms.IntegerField(min_value=1, max_value=declared.limit, **common)
        case "file":
            messages = {
                "required": translate("No file was chosen."),
                "empty": translate("The file is empty."),
            }
            return UploadField(**common | {"error_messages": messages})
    line = forms.TextInput(attrs={"dir": "auto", "autocomplete": "off"})

    def check(value: str) -> None:
        if declared.pattern and not declared.pattern.fullmatch(value):
            raise forms.ValidationError(_mismatch(declared, value))

    return forms.CharField(widget=line, validators=[check], **text)


def _shown(choices: Choices) -> list[tuple[str, str]]:
    """Return the rows of a list: none yet, then the choices in the language of the page."""
    return [("", translate("Choose…")), *((value, translate(words)) for value, words in choices)]


def act_form(
    act: Act, case: Case, policy: Path | None, now: int, *, reason: str | None = None
) -> type[ActForm]:
    """Return the class of an act's form in the present state of a case.

    Args:
        act: The act.
        case: The case; one without steps is to be opened.
        policy: Directory of a local policy.
        now: The present (ms).
        reason: What the form asks as the reason (None: why; "": nothing, as it is a preview).
    """
    fields: dict[str, Any] = {
        each.name: _field(each, case, policy, now) for each in act.fields if each.on_form
    }
    if reason is None:
        reason = translate("Why")
    if reason:
        fields["reason"] = ReasonField(
            label=reason,
            max_length=MAX_REASON,
            widget=forms.TextInput(attrs={"id": "reason", "autocomplete": "off"}),
            help_text=translate("Sealed with the step, under your name."),
            error_messages={"required": translate("A reason is missing: say in a line why.")},
        )
    return type(f"{act.name}_form", (ActForm,), fields | {"act": act, "case": case, "now": now})


class ReasonField(forms.CharField):
    """Why somebody acts, in a line."""

    def to_python(self, value: Any) -> str:
        """Return it with single spaces."""
        return " ".join(super().to_python(value).split())


def first_values(act: Act, case: Case, asked: Mapping[str, str]) -> dict[str, str]:
    """Return what a form begins with: what its link named, and what is known of that."""
    names = {each.name for each in act.fields if each.on_form}
    values = {name: text[:300] for name, text in asked.items() if name in names}
    party = case.parties.get(values.get("party", ""))
    if act.name == "change_party" and party is not None:
        for name in ("kind", "name", "note", "calendar", "age"):
            values[name] = getattr(party, name)
        for name in ("aliases", "domains", "numbers", "apps", "sites"):
            values[name] = "\n".join(getattr(party, name))
    item = case.evidence.get(values.get("item", ""))
    if act.name == "correct_evidence" and item is not None:
        values = stated_values(item) | values
    return values


_ZONED = re.compile(r"(?P<said>.*) \((?P<zone>[A-Za-z_]+(?:/[\w+-]+)*)\)")


def stated_values(e: Evidence) -> dict[str, str]:
    """Return what an item states, as the fields of its correction; dates as a person wrote them.

    A date that nobody stated stays empty, as does one that the fields would not give again: left
    empty, it stays as it is.
    """
    stated = {"party": e.party, "conduct": e.conduct, "violation": "not_stated"}
    stated |= {"basis": str(e.basis), "strength": str(e.strength)}
    if not isinstance(e.violations, UnsetType):
        kinds = [kind for kind in ("bulk", "automated", "non_personal") if kind in e.violations]
        stated["violation"] = "+".join(kinds)
    for name, dates, source in (
        ("until", e.lasted, e.lasted_source),
        ("began", e.began, e.began_source),
    ):
        if isinstance(source, UnsetType) or source.kind != "person":
            continue
        zoned = _ZONED.fullmatch(dates.said)
        said, zone = zoned.group("said", "zone") if zoned else (dates.said, "")
        fields = {"zone": zone, "date_basis": source.basis}
        if all(stated.get(k, v) == v for k, v in fields.items()) and _means(said, zone, dates):
            stated |= {name: said, **fields}
    return stated


def _means(said: str, zone: str, dates: DateRange) -> bool:
    """Whether a date that is written so is these dates."""
    try:
        again = parse_date(said, zone or None)
    except CaseError:
        return False
    return (again.earliest, again.latest) == (dates.earliest, dates.latest)
