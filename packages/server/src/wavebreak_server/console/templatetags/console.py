"""Tags and filters: assets with their version, times, numbers, outcomes, permissions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from wavebreak.explain.narrative import format_value
from wavebreak.languages import SOURCE_LANGUAGE, msgid
from wavebreak.linking.operators import evidence_words
from wavebreak.outcomes import OUTCOMES, row_of
from wavebreak.reports.tables import span
from wavebreak_server.console import plugins
from wavebreak_server.console.assets import asset_url
from wavebreak_server.slices.accounts.story import RULE_TITLES
from wavebreak_server.slices.acts.service import hold_words
from wavebreak_server.slices.queue.campaigns import OTHERS
from wavebreak_server.texts import page_language, translate

register = template.Library()
ABUSE_KINDS = {
    "automation": msgid("automation"),
    "bulk": msgid("bulk messages"),
    "feedback": msgid("reactions of recipients"),
    "groups": msgid("groups"),
    "norms": msgid("allowances"),
    "operator": msgid("operators"),
    "registration": msgid("registration"),
    "review": msgid("review"),
    "takeover": msgid("takeover"),
}
"""What the `abuse` of a shipped rule is called."""

SHAPES = {
    "none": msgid("nothing sent to strangers yet"),
    "few": msgid("few first messages yet"),
    "unwelcome": msgid("strangers complain"),
    "answered": msgid("strangers reply"),
    "unanswered": msgid("strangers do not reply"),
}
"""What a shape of sending is called (`slices.queue.campaigns.shape_of`)."""
CAMPAIGN_KINDS = {
    "op": msgid("one operator"),
    "list": msgid("one list of recipients"),
    "network": msgid("one network"),
    "alike": msgid("alike, not linked"),
    "new": msgid("new, not grouped yet"),
}
"""By what the accounts of a campaign are connected."""
ODDITIES = {"shape": msgid("sends unlike the others"), "outcome": msgid("another outcome")}


@register.simple_tag
def asset(name: str) -> str:
    """Return the URL of a static file of the console, with its version."""
    return asset_url(name)


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return an icon of the sprite; it says nothing to a screen reader."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        asset("icons.svg"),
        name,
    )


@register.filter
def moment(ms: int | None) -> SafeString | str:
    """Return an instant (ms) as UTC text that the page turns into a relative time on hover."""
    if ms is None:
        return "–"
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return format_html(
        '<time dir="ltr" datetime="{}">{}</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M")
    )


@register.filter
def ago(ms: int | None) -> SafeString | str:
    """Return an instant (ms) as a relative time, which the script keeps current."""
    if ms is None:
        return "–"
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return format_html(
        '<time data-relative datetime="{}" title="{} UTC">{}</time>',
        at.isoformat(),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        at.strftime("%Y-%m-%d %H:%M"),
    )


@register.filter
def duration(ms: float | None) -> str:
    """Return a duration (ms) in words."""
    return "–" if ms is None else span(ms, page_language())


@register.filter
def tie_words(evidence: Sequence[str]) -> str:
    """Return what a tie between two accounts rests on.

    >>> tie_words(("used one device",))
    'used one device'
    """
    return evidence_words(evidence, page_language())


@register.filter
def outcome(name: str) -> SafeString:
    """Return an outcome as a pill, which says on hover what it does."""
    meaning = translate(row_of(name).refusal_words) if name in OUTCOMES else ""
    return format_html(
        '<span class="pill pill-{}" title="{}">{}</span>', tone(name), meaning, outcome_name(name)
    )


@register.filter
def outcome_name(name: str) -> str:
    """Return the name of an outcome in the language of the page.

    >>> outcome_name("ban")
    'ban'
    """
    return translate(name) if name in OUTCOMES else name


@register.filter
def tone(name: str) -> str:
    """Return the colour of an outcome.

    >>> tone("ban")
    'ban'
    """
    return row_of(name).tone if name in OUTCOMES else name


@register.filter
def verdict(name: str) -> str:
    """Return a verdict as people call it.

    >>> verdict("undetermined"), verdict("benign")
    ('another outcome', 'benign')
    """
    return translate(msgid("another outcome") if name == "undetermined" else str(name or ""))


@register.filter
def translated(name: Any) -> str:
    """Return a word of the code, or a text of a table, in the language of the page.

    >>> translated("messaging")
    'messaging'
    """
    return translate(str(name)) if name else ""


@register.filter
def policy_text(text: str) -> SafeString:
    """Return a text of the policy in the language of the page, marked where it is English still.

    >>> policy_text("Sixty strangers & more")
    'Sixty strangers &amp; more'
    """
    said = translate(str(text))
    if said != text or page_language().code == SOURCE_LANGUAGE:
        return format_html("{}", said)
    return format_html('<span lang="en" dir="ltr">{}</span>', said)


@register.filter
def kind_name(kind: str) -> str:
    """Return a kind of abuse as people call it; one of a policy's own as it is written.

    >>> kind_name("takeover"), kind_name("our_own")
    ('takeover', 'our own')
    """
    return translate(ABUSE_KINDS.get(kind, kind.replace("_", " ")))


@register.filter
def rule_title(rule: str) -> SafeString:
    """Return what a rule is called; one of a policy's own as its id is written, in English.

    >>> rule_title("strangers_complain"), rule_title("our_own")
    ('Complaints of strangers', 'our own')
    """
    return policy_text(RULE_TITLES.get(rule, rule.replace("_", " ")))


@register.filter
def shape_words(shape: str) -> str:
    """Return what a shape of sending is called; "" where it is not known yet."""
    return translate(SHAPES[shape]) if shape in SHAPES else ""


@register.filter
def campaign_kind(campaign: Any) -> str:
    """Return by what the accounts of a campaign are connected."""
    if campaign.key == OTHERS:
        return translate("others, not alike")
    return translate(CAMPAIGN_KINDS[campaign.kind])


@register.filter
def oddity(name: str) -> str:
    """Return in what a case is unlike the others of its campaign."""
    return translate(ODDITIES[name])


register.filter("hold_words", hold_words)


@register.filter
def feature_value(value: float | None, name: str) -> str:
    """Return a feature's value with its unit."""
    return format_value(name, value, language=page_language())


@register.filter
def percent(share: float | None) -> str:
    """Return a share as a percentage."""
    return "–" if share is None else page_language().gettext("{n} %", n=f"{100 * share:.1f}")


@register.filter
def thousands(value: float | None) -> str:
    """Return a number with separators."""
    return "–" if value is None else f"{value:,.0f}"


@register.filter
def measure(value: float | None) -> str:
    """Return a number as it is written in a condition, with separators.

    >>> measure(1200.0), measure(0.25)
    ('1,200', '0.25')
    """
    return "–" if value is None else f"{value:,.12g}"


@register.simple_tag
def task_text(task: Any) -> str:
    """Return a task of the demonstration in the language of the page."""
    return translate(task.text, **task.values)


@register.simple_tag(takes_context=True)
def allowed(context: Any, permission: str) -> bool:
    """Whether the person has a permission: `{% allowed "review" as can_review %}`."""
    may = getattr(context["request"].user, "may", None)
    return bool(may and may(permission))


@register.filter
def at(mapping: Any, key: Any) -> Any:
    """Return a member of a mapping."""
    return mapping.get(key)


@register.simple_tag(takes_context=True)
def account_panels(context: Any, accounts: Any) -> SafeString:
    """Return what plug-ins show on the page of an account, or of an operator's accounts."""
    return plugins.account_panels(context["request"], accounts)


@register.simple_tag(takes_context=True)
def waiting_panels(context: Any) -> SafeString:
    """Return what plug-ins show of what waits for the person."""
    return plugins.waiting_panels(context["request"])


@register.simple_tag(takes_context=True)
def party_panels(context: Any, names: Any) -> SafeString:
    """Return what plug-ins show on the page of a firm, by its names."""
    return plugins.party_panels(context["request"], names)
