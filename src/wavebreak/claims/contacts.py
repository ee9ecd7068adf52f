"""Ways to reach a seller, as the page gives them: they belong to a business, and are public."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[a-z]{2,24}(?![\w@])", re.I)
_PHONE = re.compile(r"(?<![\w.,])(?:\+|00)?\(?\d[\d\-\s().]{6,18}\d(?![\w%])")
_HANDLE = re.compile(r"(?<![\w@./])@[A-Za-z][\w.]{3,31}(?![\w@])")
_SITE = re.compile(
    r"(?<![\w@.])(?:https?://)?((?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24})(?:/[^\s<>\"']{0,200})?", re.I
)
_DIRECT = re.compile(
    r"(?:wa\.me/|api\.whatsapp\.com/send|t\.me/|m\.me/|mailto:|tel:|viber://)[^\s<>\"']{2,120}",
    re.I,
)
_ENDINGS = {
    "com", "net", "org", "io", "app", "shop", "store", "me", "co", "br", "in", "id", "il", "es",
    "mx", "example", "online", "site", "xyz", "info", "ai", "pro", "cc", "ru",
}  # fmt: skip
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_CHATS = {"t.me", "wa.me", "m.me"}
_MOST = 50


def contacts(text: str, links: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Find mails, phones, handles, sites and direct links, each once, in the order of the page.

    >>> contacts("Write to sales@shop.example or +55 (11) 95555-0123, Telegram @bulk_shop")
    {'mails': ('sales@shop.example',), 'phones': ('+5511955550123',), 'handles': ('@bulk_shop',)}
    """
    text, joined = _HIDDEN.sub("", text), "\n".join(links)
    direct = [m[0] for m in _DIRECT.finditer(f"{text}\n{joined}")]
    mails = [m[0].lower() for m in _MAIL.finditer(f"{text}\n{joined}")]
    phones = [_phone(m[0]) for m in _PHONE.finditer(text)]
    sites = [
        m[1].lower() for m in _SITE.finditer(text) if m[1].rpartition(".")[2].lower() in _ENDINGS
    ]
    sites = [site for site in sites if site not in _CHATS]
    found = {
        "mails": mails,
        "phones": [p for p in phones if p],
        "handles": [m[0] for m in _HANDLE.finditer(text)],
        "sites": [s for s in sites if not any(m.endswith(f"@{s}") for m in mails)],
        "direct": direct,
    }
    return {name: tuple(dict.fromkeys(v))[:_MOST] for name, v in found.items() if v}


def _phone(raw: str) -> str:
    """Digits of what is a phone number by its look: an international prefix, or 9 to 12 digits."""
    if re.match(r"\d{4}-\d\d-\d\d|\d\d?[./-]\d\d?[./-]\d{4}", raw):  # a date
        return ""
    digits = re.sub(r"\D", "", raw)
    if raw.startswith(("+", "00")):
        return f"+{digits.removeprefix('00')}" if 8 <= len(digits) <= 17 else ""
    apart = re.search(r"[\s\-()]", raw) or raw.startswith("0")
    return digits if apart and 9 <= len(digits) <= 12 else ""
