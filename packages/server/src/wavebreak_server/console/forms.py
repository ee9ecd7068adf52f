"""Forms of the console's pages. A refused form is shown again with every fault at its field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, get_args

from django import forms
from django.core.validators import URLValidator
from django.utils.translation import gettext_lazy

from wavebreak.languages import msgid
from wavebreak.outcomes import RefusingOutcome
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.slices.lanes.service import LANE_WORDS
from wavebreak_server.slices.shares import service as shares
from wavebreak_server.slices.users.permissions import ROLE_DUTIES, ROLE_NAMES
from wavebreak_server.slices.webhooks.api import WEBHOOK_KINDS
from wavebreak_server.storage.models import DECISIONS, STATES
from wavebreak_server.texts import translate, translate_values

MAX_REASON = 500
MAX_ACCOUNT = 128
MAX_SHORTCUTS, MAX_SHORTCUT = 60, 8
WEBHOOK_URL = r"^https?://[^\s\x00-\x1f]+$"
_NO_AUTOCOMPLETE = {"autocomplete": "off"}


class ReasonField(forms.CharField):
    """Reason of an act: one line with single spaces."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=MAX_REASON,
            widget=forms.TextInput(_NO_AUTOCOMPLETE),
            help_text=gettext_lazy(msgid("Kept in the audit log, under your name.")),
            error_messages={"required": gettext_lazy(msgid("a reason is missing"))},
            **options,
        )

    def to_python(self, value: Any) -> str:
        """Return the reason with single spaces."""
        return " ".join(super().to_python(value).split())


class ShortcutsField(forms.CharField):
    """Shortcuts of a person, one a line: `j = n`."""

    def clean(self, value: Any) -> dict[str, str]:
        """Return the key that each key stands for; names every line of another form."""
        lines = [line for line in super().clean(value).splitlines() if line.strip()]
        pairs = [[part.strip() for part in line.split("=", 1)] for line in lines[:MAX_SHORTCUTS]]
        faults = [
            translate("a shortcut is unclear: {line}", line=json.dumps(line[:20]))
            for line, pair in zip(lines, pairs, strict=False)
            if len(pair) < 2 or not all(0 < len(key) <= MAX_SHORTCUT for key in pair)
        ]
        if faults:
            raise forms.ValidationError(faults)
        return dict(pairs)


class PageForm(forms.Form):
    """A form of a page; its fields have ids of their own, since a page has several forms."""

    id_prefix = "form"

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, auto_id=f"{self.id_prefix}-%s", **options)


class ReasonForm(PageForm):
    """A form that asks for a reason alone."""

    reason = ReasonField()


def _roles() -> Iterable[tuple[str, str]]:
    for name in ROLE_NAMES:
        yield name, f"{translate(ROLE_NAMES[name])}: {translate(ROLE_DUTIES[name])}"


class PersonForm(PageForm):
    """A new person of the console."""

    id_prefix = "add-user"
    username = forms.CharField(
        max_length=24, widget=forms.TextInput(_NO_AUTOCOMPLETE | {"pattern": r"[a-z][a-z0-9._\-]+"})
    )
    role = forms.ChoiceField(choices=_roles)
    reason = ReasonField()


class KeyForm(PageForm):
    """A new API key."""

    id_prefix = "key"
    name = forms.CharField(max_length=100)
    scope = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES], widget=forms.CheckboxSelectMultiple
    )
    reason = ReasonField()


def _webhook_kinds() -> Iterable[tuple[str, str]]:
    words = {
        DECISIONS: translate("decisions, with their notices"),
        STATES: translate("enforcement states that they leave"),
    }
    for kind in WEBHOOK_KINDS:
        yield kind, words.get(kind, kind)


class WebhookForm(PageForm):
    """A new webhook."""

    id_prefix = "webhook"
    url = forms.RegexField(
        WEBHOOK_URL,
        min_length=10,
        max_length=2000,
        error_messages={"invalid": URLValidator.message},
        widget=forms.URLInput({"placeholder": "https://chat.example/wavebreak"}),
    )
    min_outcome = forms.ChoiceField(
        choices=lambda: [(name, translate(name)) for name in get_args(RefusingOutcome)]
    )
    kinds = forms.MultipleChoiceField(
        choices=_webhook_kinds, initial=[DECISIONS], widget=forms.CheckboxSelectMultiple
    )
    reason = ReasonField()


class ProfileForm(PageForm):
    """Preferences of the person who is signed in."""

    id_prefix = "profile"
    display_name = forms.CharField(max_length=80, required=False)
    keys_off = forms.BooleanField(required=False)
    key_map = ShortcutsField(
        required=False,
        widget=forms.Textarea(
            {"rows": 5, "class": "mono", "aria-describedby": "profile-key_map_helptext"}
        ),
    )


class ShareForm(PageForm):
    """A new link to a case."""

    id_prefix = "share"
    days = forms.TypedChoiceField(choices=[(days, days) for days in shares.DAYS], coerce=int)
    reason = ReasonField()


class LaneForm(PageForm):
    """A declaration of an account, as the person who declares has seen the account."""

    id_prefix = "lane"
    account = forms.CharField(
        max_length=MAX_ACCOUNT,
        widget=forms.TextInput(_NO_AUTOCOMPLETE),
        error_messages={"required": gettext_lazy(msgid("no account is named"))},
    )
    lane = forms.ChoiceField(
        choices=lambda: [("", "–"), *translate_values(LANE_WORDS).items()],
        error_messages={
            "required": gettext_lazy(msgid("there is no such lane")),
            "invalid_choice": gettext_lazy(msgid("there is no such lane")),
        },
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = ReasonField()
