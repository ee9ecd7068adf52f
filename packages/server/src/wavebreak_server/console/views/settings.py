"""Settings: people, API keys, webhooks, the audit log, and one's own preferences."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from wavebreak.engine.outside_lists import LEAST_RECORD
from wavebreak.outcomes import RefusingOutcome
from wavebreak.schema.events import TYPES
from wavebreak_server.console.pages import (
    PAGE_SIZE,
    console_of,
    csv_response,
    keyset,
    number_of,
    page,
    page_before,
    reason_of,
    say,
    show,
)
from wavebreak_server.console.translations import console_languages
from wavebreak_server.errors import ApiError
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.http.schemas import Justification, padded_reason
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.slices.lists import service as list_service
from wavebreak_server.slices.queue import routing
from wavebreak_server.slices.sources import service as source_service
from wavebreak_server.slices.sources.overview import sources_overview
from wavebreak_server.slices.users import service as users
from wavebreak_server.slices.users.permissions import PERMISSIONS, ROLE_DUTIES, ROLE_NAMES
from wavebreak_server.slices.webhooks import api as webhooks
from wavebreak_server.slices.webhooks.api import NewWebhook
from wavebreak_server.storage.models import DECISIONS, STATES, AuditEntry, Webhook
from wavebreak_server.texts import translate

MAX_KEY_MAP = 60


@page("view_settings")
def settings(request: HttpRequest) -> HttpResponse:
    """Show people, keys and webhooks."""
    people = [{"user": user, "second_factor": secured} for user, secured in users.people()]
    return show(
        request,
        "console/settings.html",
        people=people,
        keys=api_keys.list_keys(),
        refusing=get_args(RefusingOutcome),
        webhooks=list(Webhook.objects.order_by("created_ms")),
        webhook_kinds=[kind for kind in webhooks.WEBHOOK_KINDS if kind not in (DECISIONS, STATES)],
        roles=[(name, ROLE_NAMES[name], ROLE_DUTIES[name]) for name in ROLE_NAMES],
        permissions=sorted(PERMISSIONS.items()),
        scopes=SCOPES,
        now=console_of(request).now_ms,
        platform=console_of(request).context.app.holder_notices.platform,
        appeals=settings_of(console_of(request).context.app).appeals,
    )


@page("view_settings")
def sources(request: HttpRequest) -> HttpResponse:
    """Show what feeds the service, and which rules lack what they read."""
    service = console_of(request).service
    found = sources_overview(service.responder.policy, service.measured)
    return show(
        request,
        "console/sources.html",
        found=found,
        types=[name for name in found.lacks if name in TYPES],
        fields=[name for name in found.lacks if name not in TYPES],
        late_ms=service.skews.lateness_ms,
    )


@page("view_settings")
def outside_lists(request: HttpRequest) -> HttpResponse:
    """Show what each outside list does here, what its word has been worth, and its pauses."""
    console = console_of(request)
    terms = console.service.responder.lists
    found = console.ask(lambda engine: list_service.overview(engine.lists.lists, terms))
    return show(request, "console/lists.html", lists=found, least=LEAST_RECORD)


@page("manage_keys", "POST")
def approve_source(request: HttpRequest, name: str) -> HttpResponse:
    """Let the declaration decide that a source has asked for, as it was read."""
    console, reason = console_of(request), reason_of(request)
    asked_ms = number_of(request.POST.get("asked_ms"), 0, 1 << 62, 0)
    with transaction.atomic():
        source_service.approve(name, console.now_ms, console.user.actor, reason, asked_ms)
    applied = async_to_sync(source_service.apply)(console.service).applied
    console.service.waiting = source_service.waiting_sources()
    when = (
        translate("once the service can be switched")
        if applied == "pending"
        else translate("from now on")
    )
    say(
        request,
        translate(
            "The declaration of {name} is approved, and decides {when}.", name=name, when=when
        ),
    )
    return redirect("sources")


@page("manage_users", "POST")
def add_user(request: HttpRequest) -> HttpResponse:
    """Create a person's account; its first password is shown once."""
    console, reason = console_of(request), reason_of(request)
    name, role = request.POST.get("username", "").strip(), request.POST.get("role", "")
    password = users.add_user(console, name, role, reason)
    return show(
        request,
        "console/shown_once.html",
        what=translate("The first password of {name}", name=name),
        secret=password,
        back="settings",
    )


@page("manage_users", "POST")
def change_user(request: HttpRequest, user_id: int) -> HttpResponse:
    """Change a person's role, or switch the account off; open sessions end."""
    console, reason = console_of(request), reason_of(request)
    role, active = request.POST.get("role", ""), request.POST.get("active") == "yes"
    version = request.POST.get("version", "")
    what = users.change_user(console, user_id, version, role, reason, active=active)
    say(request, translate("{what}. Open sessions have ended.", what=what))
    return redirect("settings")


@page("manage_users", "POST")
def reset_user(request: HttpRequest, user_id: int) -> HttpResponse:
    """Give a person a new password and remove their second factors; sessions end."""
    console, reason = console_of(request), reason_of(request)
    version = request.POST.get("version", "")
    user, password = users.reset_user(console, user_id, version, reason)
    return show(
        request,
        "console/shown_once.html",
        what=translate("The new password of {username}", username=user.username),
        secret=password,
        back="settings",
    )


@page("manage_keys", "POST")
def add_key(request: HttpRequest) -> HttpResponse:
    """Create an API key; its text is shown once."""
    console, reason = console_of(request), reason_of(request)
    name = request.POST.get("name", "").strip()
    scopes = [scope for scope in SCOPES if scope in request.POST.getlist("scope")]
    if not 0 < len(name) <= 100 or not scopes:
        raise ApiError(
            422, translate("a key needs a name and a scope"), fix=translate("fill in both")
        )
    with transaction.atomic():
        _, text = api_keys.create_key(name, scopes, console.now_ms, console.user.actor, reason)
    async_to_sync(console.context.app.refresh)()
    return show(
        request,
        "console/shown_once.html",
        what=translate("The API key {name}", name=name),
        secret=text,
        back="settings",
    )


@page("manage_keys", "POST")
def revoke_key(request: HttpRequest, prefix: str) -> HttpResponse:
    """Revoke an API key at once."""
    console, reason = console_of(request), reason_of(request)
    with transaction.atomic():
        api_keys.revoke_key(prefix, console.now_ms, console.user.actor, reason)
    async_to_sync(console.context.app.refresh)()
    say(request, translate("The key {prefix} is revoked.", prefix=prefix))
    return redirect("settings")


@page("manage_keys", "POST")
def add_webhook(request: HttpRequest) -> HttpResponse:
    """Create a webhook; its secret is shown once."""
    console, said = console_of(request), padded_reason(reason_of(request))
    given = {
        "url": request.POST.get("url", "").strip(),
        "min_outcome": request.POST.get("min_outcome", ""),
        "kinds": request.POST.getlist("kinds"),
        "reason": said,
    }
    try:
        wanted = msgspec.convert(given, NewWebhook)
    except msgspec.ValidationError as error:
        fix = "give an https address, an outcome, and what to send"
        raise ApiError(
            422, translate("the webhook cannot be made: {error}", error=error), fix=fix
        ) from None
    made = async_to_sync(webhooks.add_webhook)(console.context, wanted)
    return show(
        request,
        "console/shown_once.html",
        what=translate("The secret of {id}", id=made.id),
        secret=made.secret,
        back="settings",
    )


@page("manage_keys", "POST")
def remove_webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Remove a webhook and what it has not delivered."""
    console, why = console_of(request), Justification(padded_reason(reason_of(request)))
    async_to_sync(webhooks.remove_webhook)(console.context, webhook_id, why)
    say(
        request,
        translate(
            "{webhook_id} is removed; nothing is sent to it any more.", webhook_id=webhook_id
        ),
    )
    return redirect("settings")


@page("manage_keys", "POST")
def enable_webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Enable a webhook that was disabled since it had failed for too long."""
    console, why = console_of(request), Justification(padded_reason(reason_of(request)))
    async_to_sync(webhooks.enable_webhook)(console.context, webhook_id, why)
    say(
        request,
        translate("{webhook_id} is enabled; what it has missed is sent.", webhook_id=webhook_id),
    )
    return redirect("settings")


@page("view_settings")
def audit(request: HttpRequest) -> HttpResponse:
    """Show the audit log, newest first."""
    rows = AuditEntry.objects.order_by("-number")
    if request.GET.get("format") == "csv":
        header = ("number", "at_ms", "key", "action", "object", "reason", "outcome")
        return csv_response("audit", header, rows.values_list(*header).iterator())
    if after := number_of(request.GET.get("after"), 0, 2**62, 0):
        rows = rows.filter(number__lt=after)
    found = list(rows[: PAGE_SIZE + 1])
    return show(request, "console/audit.html", rows=keyset(request, found, lambda row: row.number))


@page("use_console", "GET", "POST")
def profile(request: HttpRequest) -> HttpResponse:
    """Show and change one's own preferences; show who changed one's account."""
    console = console_of(request)
    user = console.user
    if request.method == "POST":
        users.rename(console, request.POST.get("display_name", ""))
        user.keys_off = request.POST.get("keys_off") == "yes"
        user.key_map = _key_map(request.POST.get("key_map", ""))
        policy = console.service.responder.policy
        user.kinds = routing.read_kinds(request.POST.getlist("kinds"), policy)
        user.save(update_fields=["keys_off", "key_map", "kinds"])
        say(request, translate("Saved."))
        return redirect("profile")
    pairs = "\n".join(f"{old} = {new}" for old, new in user.key_map.items())
    return show(
        request,
        "console/profile.html",
        pairs=pairs,
        duties=ROLE_DUTIES[user.role],
        changes=users.account_changes(user).filter(action__in=users.CHANGES)[:10],
        kinds=routing.kinds_of_policy(console.service.responder.policy),
    )


@page("use_console", "POST")
def language(request: HttpRequest) -> HttpResponse:
    """Choose the language of one's own pages, and show the page before in it."""
    console, chosen = console_of(request), request.POST.get("language", "")
    if chosen not in console_languages():
        raise ApiError(
            422,
            translate("the console has no such language"),
            fix=translate("choose one of: {codes}", codes=", ".join(console_languages())),
        )
    users.set_language(console, chosen)
    return redirect(page_before(request) or reverse("overview"))


def _key_map(text: str) -> dict[str, str]:
    """Return shortcuts from lines `j = n`; raises ApiError (422) for another form.

    >>> _key_map("j = n")
    {'j': 'n'}
    """
    found: dict[str, str] = {}
    for line in text.splitlines()[:MAX_KEY_MAP]:
        if not line.strip():
            continue
        old, equals, new = (part.strip() for part in line.partition("="))
        if not equals or not 0 < len(old) <= 8 or not 0 < len(new) <= 8:
            raise ApiError(
                422,
                translate("a shortcut is unclear: {line}", line=json.dumps(line[:20])),
                fix=translate("write lines like: j = n"),
            )
        found[old] = new
    return found
