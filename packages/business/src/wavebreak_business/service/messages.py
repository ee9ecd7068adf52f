"""Messages to webhooks of the kinds that the field knows: templates, quality, standing, limits.

They are stored in the transaction of what they tell of, and sent by the service's own dispatcher:
signed, at least once. Neutral names, with the field's own beside. None names a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wavebreak.schema.events import MessageRead, MessageSent, UserBlocked, UserReported
from wavebreak_business.platform import kernel
from wavebreak_business.platform.events import PortfolioUpdated, TemplateUpdated, UserMuted
from wavebreak_business.platform.platform import Platform
from wavebreak_business.platform.portfolios import Portfolio, status_of
from wavebreak_business.service.apps import BUSINESS
from wavebreak_business.service.models import StandingRow
from wavebreak_business.service.notices import standing_notices
from wavebreak_business.service.views import QUALITY
from wavebreak_server.pipeline.platform_messages import enqueue_message
from wavebreak_server.storage.authentic_rows import authentic
from wavebreak_server.storage.models import Webhook

FIELDS = {
    "business.template_status": "message_template_status_update",
    "business.template_quality": "message_template_quality_update",
    "business.quality": "phone_number_quality_update",
    "business.standing": "account_update",
    "business.limit": "business_capability_update",
}
"""Types of messages, each with the field's own name of it."""
_ACTS = (MessageSent, MessageRead, UserBlocked, UserMuted, UserReported)


class Message(NamedTuple):
    """A message: its type, and what it says."""

    type: str
    data: dict[str, Any]


class _Seen(NamedTuple):
    """What of a portfolio messages tell of, and the records of its templates."""

    quality: str
    limit: int
    templates: Mapping[str, Any]


class Watch:
    """What events change of the portfolios that they concern."""

    def __init__(self, platform: Platform, events: Sequence[Any]) -> None:
        self._platform = platform
        self._before = {name: self._look(name) for name in _concerned(platform, events)}

    def changes(self) -> list[Message]:
        """Return what has changed, once the platform has taken them."""
        told: list[Message] = []
        for name, before in self._before.items():
            after = self._look(name)
            if after is not None:
                told += self._template_changes(name, before, after)
                told += _portfolio_changes(name, before, after) if before else []
        return told

    def _template_changes(self, name: str, before: _Seen | None, after: _Seen) -> Iterator[Message]:
        former = before.templates if before else {}
        for template, record in after.templates.items():
            known = former.get(template)
            if known is not None and known.tobytes() == record.tobytes():
                continue
            was = ("", "unknown") if known is None else self._of_template(known)
            status, quality = self._of_template(record)
            of = {"business": name, "template": template}
            if status != was[0]:
                yield _message("business.template_status", of | {"status": status})
            if quality != was[1]:
                yield _message("business.template_quality", of | {"quality": quality})

    def _look(self, name: str) -> _Seen | None:
        portfolio = self._platform.portfolio(name)
        if portfolio is None:
            return None
        state = self._platform.state
        p = state.ports.records[portfolio.slot]
        return _Seen(
            QUALITY[state.rating_of(portfolio.slot)], int(p["limit"]), self._templates(portfolio),
        )  # fmt: skip

    def _templates(self, portfolio: Portfolio) -> Mapping[str, Any]:
        slots = [record.slot for record in portfolio.templates.values()]
        records = self._platform.state.templates.records[slots]
        return dict(zip(portfolio.templates, records, strict=True))

    def _of_template(self, record: Any) -> tuple[str, str]:
        """Return status and quality of a template by a record of it."""
        return status_of(record), QUALITY[int(kernel.rating(record, self._platform.state.laws))]


def _concerned(platform: Platform, events: Iterable[Any]) -> list[str]:
    """Return the portfolios whose registry, quality or standing events may change."""
    names = dict[str, None]()
    for event in events:
        if isinstance(event, PortfolioUpdated | TemplateUpdated):
            names[event.business] = None
        elif isinstance(event, _ACTS):
            number = event.account if isinstance(event, MessageSent) else event.peer
            found = platform.registry.numbers.get(number or "")
            if found is not None:
                names[found] = None
    return list(names)


def _portfolio_changes(name: str, before: _Seen, after: _Seen) -> Iterator[Message]:
    of: dict[str, Any] = {"business": name}
    if after.quality != before.quality:
        yield _message("business.quality", of | {"quality": after.quality})
    if after.limit != before.limit:
        yield _message("business.limit", of | {"limit": None if after.limit < 0 else after.limit})


def standing_message(platform: Platform, row: StandingRow, now_ms: int) -> Message:
    """Return a change of a standing as a message, with the notice in each language."""
    portfolio = platform.registry.portfolios[row.portfolio]
    told = {
        "business": row.portfolio,
        "what": row.what,
        "step": row.step,
        "name": row.name,
        "bars": row.bars,
        "begins_ms": row.begins_ms,
        "until_ms": row.until_ms,
        "ground": row.ground,
        "appeal": portfolio.appeal,
        "at_ms": row.at_ms,
        "notices": {
            notice.language: "\n".join(notice.paragraphs)
            for notice in standing_notices(portfolio, row, now_ms)
        },
    }
    return _message("business.standing", told)


def _message(kind: str, data: dict[str, Any]) -> Message:
    return Message(kind, data | {"field": FIELDS[kind]})


def receivers() -> list[Webhook]:
    """Return the webhooks that ask for these messages."""
    return [hook for hook in authentic(Webhook.objects.all()) if BUSINESS in hook.kinds.split()]


def enqueue(told: Iterable[Message], to: Sequence[Webhook], now_ms: int) -> None:
    """Store messages for webhooks, in the open transaction."""
    for message in told:
        enqueue_message(message.type, message.data, now_ms, to=to)
