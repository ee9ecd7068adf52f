"""Texts of the public pages around notices: the appeal form, its status, and help feedback."""

from __future__ import annotations

from collections.abc import Mapping

from wavebreak.languages import Language, msgid

TEXTS: Mapping[str, str] = {
    "skip": msgid("Skip to the content"),
    "languages": msgid("Language"),
    "help": msgid("About automated and bulk messaging"),
    "business": msgid("For companies"),
    "json": msgid("The same for programs (JSON)"),
    "notice": msgid("Notice about your account"),
    "nothing": msgid("There is nothing at this address"),
    "nothing_why": msgid(
        "The link may be incomplete, not valid yet or no longer valid. If you expect a notice, "
        "open it from the app, or contact us: {contact}"
    ),
    "erased": msgid("This notice was erased"),
    "erased_why": msgid(
        "The personal data of this account were erased, as was asked for, and this link ended with "
        "them. The decision itself may still apply. If you have questions, contact us: {contact}"
    ),
    "too_often": msgid("Too many requests"),
    "too_often_why": msgid("Wait a minute, then try again."),
    "appeal": msgid("Appeal against this decision"),
    "appeal_about": msgid("Your appeal is about: {title}"),
    "statement": msgid("Why do you think that the decision is wrong?"),
    "statement_hint": msgid(
        "At most {count} characters. It is stored encrypted, shown only to those who review it, "
        "and erased {time} after the answer."
    ),
    "identity": msgid(
        "So that nobody else can appeal in your name, we then send a code to your account in the "
        "app."
    ),
    "send_code": msgid("Continue and get a code"),
    "code_heading": msgid("Enter the code"),
    "code_sent": msgid(
        "We sent a code of six digits to your account. It is valid until {instant}."
    ),
    "shown_code": msgid("This is a demonstration, which has no app to bring the code: {code}"),
    "code": msgid("Code"),
    "confirm": msgid("Confirm and send the appeal"),
    "no_code": msgid("Did no code arrive?"),
    "new_code": msgid("Send a new code"),
    "received": msgid("Your appeal was received"),
    "received_on": msgid("Received on {instant}."),
    "due_by": msgid(
        "A person who took no part in the decision answers by {instant}. You need not do anything "
        "more: the answer appears on this page, and you are notified in the app."
    ),
    "late": msgid("We are late, and we are sorry. Your appeal will still be answered."),
    "answered": msgid("The answer to your appeal"),
    "back": msgid("Back to the notice"),
    "ended": msgid("The time for an appeal ended on {instant}."),
    "empty": msgid("Write a few words on why the decision is wrong."),
    "too_long": msgid("The text is longer than {count} characters. Please shorten it."),
    "wrong_code": msgid("This is not the code that we sent. Check it and try again."),
    "code_over": msgid("This code is no longer valid. Ask for a new one."),
    "codes_used": msgid("No more codes can be sent today. Please try again tomorrow."),
    "no_channel": msgid(
        "At present we cannot send a code. Your appeal was not stored; please contact us: {contact}"
    ),
    "no_channel_yet": msgid(
        "At present we cannot send a code, so that you cannot appeal on this page. Please contact "
        "us: {contact}"
    ),
    "stale": msgid("The form was out of date. Please send it again."),
    "helped": msgid("Did this answer your question?"),
    "yes": msgid("Yes"),
    "no": msgid("No"),
    "missing": msgid("If not: what was missing? (optional)"),
    "choose": msgid("Choose a reason"),
    "unclear": msgid("It is hard to understand"),
    "my_case": msgid("My case is not described"),
    "disagree": msgid("I disagree with the rules"),
    "person": msgid("I need a person to help me"),
    "send": msgid("Send"),
    "thanks": msgid("Thank you. Your answer was counted; nothing about you was stored."),
}
"""Texts in English, by a short name for templates."""

REASONS = ("unclear", "my_case", "disagree", "person")
"""Reasons that who was not helped may choose."""


def public_text(language: Language, name: str, **values: object) -> str:
    """Return a text of the public pages.

    >>> from wavebreak.languages import get_language
    >>> public_text(get_language("en"), "received")
    'Your appeal was received'
    """
    return language.gettext(TEXTS[name], **values)


def public_texts(language: Language) -> dict[str, str]:
    """Return the texts that need no value, by name.

    >>> from wavebreak.languages import get_language
    >>> public_texts(get_language("en"))["yes"]
    'Yes'
    """
    return {name: language.gettext(text) for name, text in TEXTS.items() if "{" not in text}
