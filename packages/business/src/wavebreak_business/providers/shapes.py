"""Shapes of payloads that no reader knows, named by fields of documented payloads alone."""

from __future__ import annotations

from typing import Any

from wavebreak_business.identities import Identities

KNOWN = frozenset(
    {
        "account_alerts", "account_settings_update", "account_update", "apiVersion", "api_version",
        "at", "body", "business_capability_update", "business_status_update", "calls", "changes",
        "code", "contacts", "createTime", "data", "datacontenttype", "dataschema", "entry", "event",
        "eventType", "event_type", "flows", "group_lifecycle_update", "groups", "history",
        "history_status", "id", "message", "message_echoes", "message_id", "messages",
        "messaging_handovers", "metadata", "object", "payload", "phone_number_name_update",
        "phone_number_quality_update", "results", "security", "smb_app_state_sync",
        "smb_message_echoes", "source", "specversion", "standby", "status", "statuses",
        "template_category_update", "time", "timestamp", "tracking_events", "type",
        "user_id_update", "value", "version",
    }
)  # fmt: skip
"""Names that may be shown: anybody may have chosen another one."""
MAX_SHOWN = 6


def describe_shape(payload: Any, identities: Identities) -> str:
    """Return a name of a shape that holds no value, and no field's name that is not known.

    >>> ids = Identities(bytes(range(16)))
    >>> describe_shape([1], ids), describe_shape("x", ids)
    ('a list', 'a text')
    >>> describe_shape({"type": 1, "dana cohen": 2}, ids).startswith("{type, 1 more} ")
    True
    """
    match payload:
        case dict():
            names = sorted(name for name in payload if name in KNOWN)[:MAX_SHOWN]
            more = len(payload) - len(names)
            shown = [*names, f"{more} more"] if more else names
            return f"{{{', '.join(shown)}}} {identities.shape(repr(sorted(payload)))}"
        case list():
            return "a list"
        case str():
            return "a text"
        case bool() | None:
            return "true, false or null"
    return "a number"


def describe_field(name: str) -> str:
    """Return the name of a kind of webhook that may be shown.

    >>> describe_field("flows"), describe_field("+15550100200")
    ('flows', 'another field')
    """
    return name if name in KNOWN else "another field"
