"""What account holders are sent: what is refused, until when, and how to object.

The texts name no rule and no threshold. A configuration may replace them, and add languages.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from wavebreak_synapse.config import Notices

TEXTS = {
    "en": {
        "limit": "Your account may start fewer new chats than usual{until}. An answer from"
        " somebody new frees a place. Chats that you have already go on.",
        "restrict": "Your account cannot start new chats or groups{until}. Chats that you have"
        " already go on.",
        "suspend": "Your account is suspended{until}. You can read, but not send.",
        "ban": "Your account is blocked.",
        "lifted": "The restriction of your account has ended.",
    },
    "he": {
        "limit": "החשבון שלך יכול לפתוח פחות שיחות חדשות מהרגיל{until}. תשובה ממישהו חדש מפנה"
        " מקום. שיחות קיימות ממשיכות.",
        "restrict": "החשבון שלך אינו יכול לפתוח שיחות או קבוצות חדשות{until}."
        " שיחות קיימות ממשיכות.",
        "suspend": "החשבון שלך מושעה{until}. אפשר לקרוא, אך לא לשלוח.",
        "ban": "החשבון שלך חסום.",
        "lifted": "ההגבלה על החשבון שלך הסתיימה.",
    },
}
QUESTIONS = {
    "en": "{sender} wants to write to you and is new to you. Do you know this person? If you do,"
    " accept the invitation; if not, decline it, or report it.",
    "he": "{sender} מבקש לכתוב לך ואינו מוכר לך. האם זה אדם מוכר? אם כן, אפשר לקבל את ההזמנה;"
    " אם לא, אפשר לדחות אותה או לדווח עליה.",
}
"""What the recipient of a request is asked."""
LEFT_OUT = {
    "en": "Your new room invited {invited} of the {wanted} people whom you chose; the others were"
    " not invited. {why}",
    "he": "לחדר החדש הוזמנו {invited} מתוך {wanted} האנשים שבחרת; האחרים לא הוזמנו. {why}",
}
"""What the maker of a room reads where not all could be invited; `why` is the refusal's text."""
MENTIONS = {
    "en": "In rooms that you have just joined you cannot mention many people at once for now."
    " Without mentioning everyone you can write there; all other chats go on.",
    "he": "בחדרים שהצטרפת אליהם זה עתה אי אפשר כרגע להזכיר אנשים רבים בבת אחת. בלי לאזכר את כולם"
    " אפשר לכתוב שם; כל יתר השיחות ממשיכות.",
}
"""What the sender of a mass mention reads that a limit refuses."""
MODERATORS = {
    "en": "{sender} is new in the room {room}, mentioned many people at once again and again or was"
    " reported for it, and now cannot for a while. Other messages of this account still arrive:"
    " whether it stays in the room is for you to decide.",
    "he": "החשבון {sender} חדש בחדר {room}, הזכיר שם אנשים רבים בבת אחת שוב ושוב או שדווח על כך,"
    " ולעת עתה אינו יכול לעשות זאת. הודעות אחרות שלו ממשיכות להגיע: ההחלטה אם יישאר בחדר היא שלך.",
}
"""What moderators of its room are told of it, at most once an hour."""
LATER = {
    "en": "This cannot be done right now. Try again later.",
    "he": "לא ניתן לבצע זאת כרגע. אפשר לנסות שוב מאוחר יותר.",
}
"""What is said of a refusal for which there is no text."""
_UNTIL = {"en": " until {time} UTC", "he": " עד {time} (UTC)"}


def text_of(
    settings: Notices, outcome: str, until_ms: int | None, language: str | None, default: str
) -> str:
    """Return a notice.

    Args:
        settings: Texts of the configuration, and how to object.
        outcome: limit, restrict, suspend, ban or lifted.
        until_ms: When it ends, where it does.
        language: The holder's language, where known.
        default: The language where the holder's is unknown, or has no text.

    >>> text_of(Notices(objection="Write to help@example.org."), "restrict", None, "fr", "en")
    'Your account cannot start new chats or groups. Chats that you have already go on. Write to \
help@example.org.'
    """
    for name in (language, default, "en"):
        text = settings.texts.get(name or "", {}).get(outcome) or TEXTS.get(name or "", {}).get(
            outcome
        )
        if text:
            break
    until = ""
    if until_ms is not None:
        moment = datetime.datetime.fromtimestamp(until_ms / 1000, datetime.timezone.utc)
        wording = _UNTIL.get(name or "", "{time} UTC")
        until = wording.format(time=moment.strftime("%Y-%m-%d %H:%M"))
    shown = str(text).format(until=until)
    if settings.objection and outcome != "lifted":
        shown = f"{shown} {settings.objection}"
    return shown


def refusal_text(
    settings: Notices,
    outcome: str,
    until_ms: int | None,
    notice: Mapping[str, str] | None,
    language: str | None,
    default: str,
) -> str:
    """Return what the sender of a refused act reads.

    That is the configuration's own text, else the service's, which says how many places a limit
    leaves and what frees one, else the built-in one.

    Args:
        settings: Texts of the configuration, and how to object.
        outcome: What refuses the act.
        until_ms: When it ends, where it does.
        notice: The service's text by language.
        language: The sender's language, where known.
        default: The language where the sender's is unknown, or has no text.

    >>> refusal_text(Notices(), "limit", None, {"en": "No place is left."}, "he", "en")
    'No place is left.'
    >>> refusal_text(Notices(), "challenge", None, None, None, "en")
    'This cannot be done right now. Try again later.'
    """
    names = [name for name in (language, default, "en") if name]
    for name in names:
        if outcome in settings.texts.get(name, {}):
            return text_of(settings, outcome, until_ms, name, default)
        if notice and notice.get(name):
            return f"{notice[name]} {settings.objection}".rstrip()
    if outcome in TEXTS["en"]:
        return text_of(settings, outcome, until_ms, language, default)
    return next(LATER[name] for name in names if name in LATER)
