"""Settings: people, API keys, webhooks, the audit log, and one's own preferences."""

from __future__ import annotations

import msgspec
from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from wavebreak.schema.events import TYPES
from wavebreak_server.console import pages
from wavebreak_server.console.forms import KeyForm, PageForm, PersonForm, ProfileForm, WebhookForm
from wavebreak_server.console.translations import console_languages
from wavebreak_server.errors import ApiError
from wavebreak_server.http.schemas import Justification, padded_reason
from wavebreak_server.slices.config import settings_of
from wavebreak_server.slices.keys import service as api_keys
from wavebreak_server.slices.lists import service as list_service
from wavebreak_server.slices.sources import service as source_service
from wavebreak_server.slices.sources.overview import sources_overview
from wavebreak_server.slices.users import service as users
from wavebreak_server.slices.users.permissions import ROLE_DUTIES, ROLE_NAMES
from wavebreak_server.slices.webhooks import api as webhooks
from wavebreak_server.slices.webhooks.api import NewWebhook
from wavebreak_server.storage.models import AuditEntry, Webhook
from wavebreak_server.texts import translate


@pages.page("view_settings")
def settings(request: HttpRequest) -> HttpResponse:
    """Show people, keys and webhooks."""
    return _settings_page(request)


def _settings_page(request: HttpRequest, **refused: PageForm) -> HttpResponse:
    """Show the settings; `refused` is a form with faults, by its name in the template."""
    console = pages.console_of(request)
    forms = {"person_form": PersonForm(), "key_form": KeyForm(), "webhook_form": WebhookForm()}
    response = pages.show(
        request,
        "console/settings.html",
        people=[{"user": user, "second_factor": secured} for user, secured in users.people()],
        keys=api_keys.list_keys(),
        webhooks=list(Webhook.objects.order_by("created_ms")),
        roles=[(name, ROLE_NAMES[name], ROLE_DUTIES[name]) for name in ROLE_NAMES],
        now=console.now_ms,
        platform=console.context.app.holder_notices.platform,
        appeals=settings_of(console.context.app).appeals,
        **(forms | refused),
    )
    response.status_code = 422 if refused else 200
    return response


def _show_once(request: HttpRequest, what: str, secret: str) -> HttpResponse:
    values = {"what": what, "secret": secret, "back": "settings"}
    return pages.show(request, "console/shown_once.html", **values)


@pages.page("view_settings")
def sources(request: HttpRequest) -> HttpResponse:
    """Show what feeds the service, and which rules lack what they read."""
    service = pages.console_of(request).service
    found = sources_overview(service.responder.policy, service.coverage.measured)
    return pages.show(
        request,
        "console/sources.html",
        found=found,
        types=[name for name in found.lacks if name in TYPES],
        fields=[name for name in found.lacks if name not in TYPES],
        late_ms=service.skews.lateness_ms,
    )


@pages.page("view_settings")
def outside_lists(request: HttpRequest) -> HttpResponse:
    """Show the mode and the size of each outside list."""
    console = pages.console_of(request)
    terms = console.service.responder.lists
    overviews = console.ask(lambda engine: list_service.overview(engine.lists, terms))
    return pages.show(request, "console/lists.html", lists=overviews)


@pages.page("manage_keys", "POST")
def approve_source(request: HttpRequest, name: str) -> HttpResponse:
    """Let the declaration decide that a source has asked for, as it was read."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    asked_ms = pages.number_of(request.POST.get("asked_ms"), 0, 1 << 62, 0)
    with transaction.atomic():
        source_service.approve(name, console.now_ms, console.user.actor, reason, asked_ms)
    applied = async_to_sync(source_service.apply)(console.service).applied
    console.service.coverage.waiting = source_service.waiting_sources()
    when = (
        translate("once the service can be switched")
        if applied == "pending"
        else translate("from now on")
    )
    pages.say(
        request,
        translate(
            "The declaration of {name} is approved, and decides {when}.", name=name, when=when
        ),
    )
    return redirect("sources")


@pages.page("manage_users", "POST")
def add_user(request: HttpRequest) -> HttpResponse:
    """Create a person's account; its first password is shown once."""
    form = PersonForm(request.POST)
    if form.is_valid():
        name, role, reason = (form.cleaned_data[each] for each in ("username", "role", "reason"))
        try:
            password = users.add_user(pages.console_of(request), name, role, reason)
        except ApiError as error:
            pages.refuse(form, "username", error)
        else:
            return _show_once(
                request, translate("The first password of {name}", name=name), password
            )
    return _settings_page(request, person_form=form)


@pages.page("manage_users", "POST")
def change_user(request: HttpRequest, user_id: int) -> HttpResponse:
    """Change a person's role, or switch the account off; open sessions end."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    role, active = request.POST.get("role", ""), request.POST.get("active") == "yes"
    version = request.POST.get("version", "")
    what = users.change_user(console, user_id, version, role, reason, active=active)
    pages.say(request, translate("{what}. Open sessions have ended.", what=what))
    return redirect("settings")


@pages.page("manage_users", "POST")
def reset_user(request: HttpRequest, user_id: int) -> HttpResponse:
    """Give a person a new password and remove their second factors; sessions end."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    version = request.POST.get("version", "")
    user, password = users.reset_user(console, user_id, version, reason)
    what = translate("The new password of {username}", username=user.username)
    return _show_once(request, what, password)


@pages.page("manage_keys", "POST")
def add_key(request: HttpRequest) -> HttpResponse:
    """Create an API key; its text is shown once."""
    console, form = pages.console_of(request), KeyForm(request.POST)
    if not form.is_valid():
        return _settings_page(request, key_form=form)
    name, scopes, reason = (form.cleaned_data[each] for each in ("name", "scope", "reason"))
    with transaction.atomic():
        _, text = api_keys.create_key(name, scopes, console.now_ms, console.user.actor, reason)
    async_to_sync(console.context.app.refresh)()
    return _show_once(request, translate("The API key {name}", name=name), text)


@pages.page("manage_keys", "POST")
def revoke_key(request: HttpRequest, prefix: str) -> HttpResponse:
    """Revoke an API key at once."""
    console, reason = pages.console_of(request), pages.reason_of(request)
    with transaction.atomic():
        api_keys.revoke_key(prefix, console.now_ms, console.user.actor, reason)
    async_to_sync(console.context.app.refresh)()
    pages.say(request, translate("The key {prefix} is revoked.", prefix=prefix))
    return redirect("settings")


@pages.page("manage_keys", "POST")
def add_webhook(request: HttpRequest) -> HttpResponse:
    """Create a webhook; its secret is shown once."""
    console, form = pages.console_of(request), WebhookForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data | {"reason": padded_reason(form.cleaned_data["reason"])}
        try:
            wanted = msgspec.convert(values, NewWebhook)
            webhook = async_to_sync(webhooks.add_webhook)(console.context, wanted)
        except ApiError as error:
            pages.refuse(form, "url", error)
        else:
            secret = webhook.secret or ""
            return _show_once(request, translate("The secret of {id}", id=webhook.id), secret)
    return _settings_page(request, webhook_form=form)


@pages.page("manage_keys", "POST")
def remove_webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Remove a webhook and what it has not delivered."""
    console, why = pages.console_of(request), Justification(padded_reason(pages.reason_of(request)))
    async_to_sync(webhooks.remove_webhook)(console.context, webhook_id, why)
    pages.say(
        request,
        translate(
            "{webhook_id} is removed; nothing is sent to it any more.", webhook_id=webhook_id
        ),
    )
    return redirect("settings")


@pages.page("manage_keys", "POST")
def enable_webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Enable a webhook that was disabled since it had failed for too long."""
    console, why = pages.console_of(request), Justification(padded_reason(pages.reason_of(request)))
    async_to_sync(webhooks.enable_webhook)(console.context, webhook_id, why)
    pages.say(
        request,
        translate("{webhook_id} is enabled; what it has missed is sent.", webhook_id=webhook_id),
    )
    return redirect("settings")


@pages.page("view_settings")
def audit(request: HttpRequest) -> HttpResponse:
    """Show the audit log, newest first."""
    rows = AuditEntry.objects.order_by("-number")
    if request.GET.get("format") == "csv":
        header = ("number", "at_ms", "key", "action", "object", "reason", "outcome")
        return pages.csv_response("audit", header, rows.values_list(*header).iterator())
    if after := pages.number_of(request.GET.get("after"), 0, 2**62, 0):
        rows = rows.filter(number__lt=after)
    found = list(rows[: pages.PAGE_SIZE + 1])
    return pages.show(
        request, "console/audit.html", rows=pages.keyset(request, found, lambda row: row.number)
    )


@pages.page("use_console", "GET", "POST")
def profile(request: HttpRequest) -> HttpResponse:
    """Show and change one's own preferences; show who changed one's account."""
    console = pages.console_of(request)
    user = console.user
    form = ProfileForm(
        request.POST if request.method == "POST" else None,
        initial={
            "display_name": user.display_name,
            "keys_off": user.keys_off,
            "key_map": "\n".join(f"{key} = {target}" for key, target in user.key_map.items()),
        },
    )
    if form.is_valid():
        try:
            users.rename(console, form.cleaned_data["display_name"])
        except ApiError as error:
            pages.refuse(form, "display_name", error)
        else:
            for name in ("keys_off", "key_map"):
                setattr(user, name, form.cleaned_data[name])
            user.save(update_fields=["keys_off", "key_map"])
            pages.say(request, translate("Saved."))
            return redirect("profile")
    response = pages.show(
        request,
        "console/profile.html",
        form=form,
        duties=ROLE_DUTIES[user.role],
        changes=users.account_changes(user).filter(action__in=users.CHANGES)[:10],
    )
    response.status_code = 422 if form.errors else 200
    return response


@pages.page("use_console", "POST")
def language(request: HttpRequest) -> HttpResponse:
    """Choose the language of one's own pages, and show the page before in it."""
    console, chosen = pages.console_of(request), request.POST.get("language", "")
    if chosen not in console_languages():
        raise ApiError(
            422,
            translate("the console has no such language"),
            fix=translate("choose one of: {codes}", codes=", ".join(console_languages())),
        )
    users.set_language(console, chosen)
    return redirect(pages.page_before(request) or reverse("overview"))
