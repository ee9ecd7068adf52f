"""Which Matrix events are acts: all that a sender puts into a room, but for what carries nothing.

By default an event is an act, of whatever type. The exceptions are `UPKEEP`, where content has no
member beside those that are listed, an emoji under somebody's message, and changes of membership,
which `mapping.membership_event` reports.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

RINGS = frozenset(
    {
        "m.call.invite",
        "m.call.notify",
        "m.rtc.notification",
        "org.matrix.msc4075.call.notify",
        "org.matrix.msc4075.rtc.notification",
    }
)
"""What makes somebody's client ring."""
RTC_MEMBERS = frozenset(
    {
        "m.call.member",
        "m.rtc.member",
        "org.matrix.msc3401.call.member",
        "org.matrix.msc4143.rtc.member",
    }
)
"""Who takes part in a call by MatrixRTC."""
RTC_DECLINES = frozenset({"m.rtc.decline", "org.matrix.msc4310.rtc.decline"})

_RELATION = frozenset({"m.relates_to"})
_CALL = frozenset(
    {
        "call_id", "party_id", "version", "conf_id", "device_id", "dest_session_id",
        "sender_session_id", "seq", "lifetime", "capabilities", "sdp_stream_metadata",
        "org.matrix.msc3077.sdp_stream_metadata",
    }
)  # fmt: skip
_RTC_MEMBER = frozenset(
    {
        "application", "call_id", "created_ts", "device_id", "expires", "expires_ts", "foci_active",
        "foci_preferred", "focus_active", "m.call.intent", "m.calls", "member", "membershipID",
        "memberships", "msc4354_sticky_key", "rtc_transports", "scope", "slot_id", "sticky_key",
        "versions",
    }
)  # fmt: skip
_VERIFICATION = _RELATION | {
    "code", "commitment", "from_device", "hash", "hashes", "key", "key_agreement_protocol",
    "key_agreement_protocols", "keys", "mac", "message_authentication_code",
    "message_authentication_codes", "method", "methods", "reason", "secret",
    "short_authentication_string", "timestamp", "transaction_id",
}  # fmt: skip
UPKEEP: dict[str, frozenset[str]] = {
    "m.room.power_levels": frozenset(
        {
            "ban", "events", "events_default", "historical", "invite", "kick", "notifications",
            "redact", "state_default", "users", "users_default",
        }
    ),
    "m.room.join_rules": frozenset({"join_rule", "allow"}),
    "m.room.history_visibility": frozenset({"history_visibility"}),
    "m.room.guest_access": frozenset({"guest_access"}),
    "m.room.encryption": frozenset(
        {
            "algorithm", "rotation_period_ms", "rotation_period_msgs",
            "io.element.msc4362.encrypt_state_events",
        }
    ),
    "m.room.server_acl": frozenset({"allow", "allow_ip_literals", "deny"}),
    "m.room.pinned_events": frozenset({"pinned"}),
    "m.room.retention": frozenset({"min_lifetime", "max_lifetime"}),
    "m.room.redaction": frozenset({"redacts"}),
    "m.poll.response": _RELATION | {"m.selections", "m.poll.response"},
    "org.matrix.msc3381.poll.response": _RELATION | {"org.matrix.msc3381.poll.response"},
    "m.call.answer": _CALL | {"answer"},
    "m.call.candidates": _CALL | {"candidates"},
    "m.call.hangup": _CALL | {"reason"},
    "m.call.negotiate": _CALL | {"description"},
    "m.call.reject": _CALL | {"reason"},
    "m.call.sdp_stream_metadata_changed": _CALL,
    "m.call.select_answer": _CALL | {"selected_party_id"},
    "org.matrix.call.sdp_stream_metadata_changed": _CALL,
    **dict.fromkeys(RTC_MEMBERS, _RTC_MEMBER),
    **dict.fromkeys(RTC_DECLINES, _RELATION),
    **{
        f"m.key.verification.{step}": _VERIFICATION
        for step in ("accept", "cancel", "done", "key", "mac", "ready", "start")
    },
}  # fmt: skip
"""Types that show nothing that a sender could write, with the members that their content may have.

They set up a room, take part in a call or a poll, compare keys or take back a message. One more
member makes an act of such an event: a name of a type alone proves nothing."""
_REPORTED_APART = frozenset({"m.room.member", "m.room.create"})

LONGEST_EMOJI = 16
_JOINING = frozenset({"Mn", "Me", "Cf", "Sk"})
"""Categories of what an emoji has beside its signs: variants, tones of skin, tags of flags."""
_JOINT = "\u200d"
_KEYCAP = "\u20e3"
_MARKS = frozenset("\u203c\u2049\u2139\u24c2\u3030")
"""Emoji that Unicode counts among punctuation, letters and the like."""


def is_act(event_type: str, content: Mapping[str, Any], state_key: str | None) -> bool:
    """Return whether an event reaches the people of its room with something of its sender's.

    Whether an edit is of the sender's own message is another question: see `edited_event`.

    >>> is_act("m.room.power_levels", {"users": {}}, ""), is_act("m.room.topic", {"topic": "x"}, "")
    (False, True)
    >>> is_act("org.example.unheard_of", {}, None)
    True
    """
    if event_type in _REPORTED_APART and state_key is not None:
        return False
    if event_type == "m.reaction":
        return not _is_emoji_reaction(content)
    allowed = UPKEEP.get(event_type)
    return allowed is None or not allowed.issuperset(content)


def edited_event(event_type: str, content: Mapping[str, Any]) -> str | None:
    """Return the id of the event that an event says it replaces.

    >>> edit = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$1"}}
    >>> edited_event("m.room.message", edit)
    '$1'
    """
    relation = content.get("m.relates_to")
    if not isinstance(relation, Mapping) or relation.get("rel_type") != "m.replace":
        return None
    edited = relation.get("event_id")
    return edited if isinstance(edited, str) and event_type not in UPKEEP else None


def is_emoji(text: str) -> bool:
    """Return whether a text is one emoji.

    >>> [is_emoji(text) for text in ("👍🏽", "👩‍👩‍👧‍👦", "🇮🇱", "3️⃣", "❤️", "‼️")]
    [True, True, True, True, True, True]
    >>> [is_emoji(text) for text in ("", "lol", "👍👍", "👍 buy coins", "3", "$", "mxc://x/y")]
    [False, False, False, False, False, False, False]
    """
    if not text or len(text) > LONGEST_EMOJI:
        return False
    if text.endswith(_KEYCAP):
        return text[0] in "0123456789#*" and text[1:].replace("\ufe0f", "") == _KEYCAP
    parts = [
        [char for char in part if unicodedata.category(char) not in _JOINING]
        for part in text.split(_JOINT)
    ]
    if not all(_is_sign(char) for part in parts for char in part):
        return False
    flag = len(parts) == 1 and len(parts[0]) == 2 and all(map(_is_flag_letter, parts[0]))
    return flag or all(len(part) == 1 for part in parts)


def _is_sign(char: str) -> bool:
    return char in _MARKS or unicodedata.category(char) in ("So", "Sm")


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _is_emoji_reaction(content: Mapping[str, Any]) -> bool:
    relation = content.get("m.relates_to")
    if not isinstance(relation, Mapping) or not _RELATION.issuperset(content):
        return False
    key = relation.get("key")
    named = {"rel_type", "event_id", "key"}.issuperset(relation)
    return named and isinstance(key, str) and is_emoji(key)
