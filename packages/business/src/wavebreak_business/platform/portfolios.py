"""Registry of portfolios: who they are, their numbers and templates, and whose successors.

Every change is an event; what it left is an entry of the ledger. A portfolio whose owner has
another one that is barred begins on the step of the ladder where that one is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from wavebreak.errors import EventError
from wavebreak.ledger.entries import PortfolioEntry, TemplateEntry
from wavebreak.ledger.recorder import Draft
from wavebreak_business.platform import events
from wavebreak_business.platform import kernel as k
from wavebreak_business.platform.laws import CATEGORIES
from wavebreak_business.platform.state import State
from wavebreak_business.settings import Limits

MAX_NUMBERS = 10_000
"""Numbers of a portfolio."""
MAX_TEMPLATES = 100_000
"""Templates of a portfolio."""
_STATUS = {
    "pending": k.PENDING, "approved": k.APPROVED, "rejected": k.PENDING, "disabled": k.DISABLED,
}  # fmt: skip


class NumberRecord(msgspec.Struct):
    """A number: its slot, the name that people see, its throughput by name."""

    slot: int
    display_name: str
    throughput: str


class TemplateRecord(msgspec.Struct):
    """A template: its slot, and what the registry says of it."""

    slot: int
    category: str
    language: str
    status: str


class Portfolio(msgspec.Struct):
    """A portfolio as the registry has it.

    Attributes:
        name: Its id.
        legal_name: Of the business.
        verified: Whether the platform verified it.
        owners: Parties of cases.
        numbers: By account id.
        templates: By id.
        linked: Portfolios of the same owners that were barred when it came.
        appeal: State of the appeal against its step: opened, unchanged, reversed ("": none).
        raised: How many steps its last one was above the one before; a person may go by several.
    """

    name: str
    slot: int
    legal_name: str = ""
    verified: bool = False
    owners: tuple[str, ...] = ()
    numbers: dict[str, NumberRecord] = {}
    templates: dict[str, TemplateRecord] = {}
    linked: tuple[str, ...] = ()
    appeal: str = ""
    raised: int = 1


class Registry:
    """Portfolios by id, over the state that has their slots."""

    def __init__(self, limits: Limits, state: State) -> None:
        self.limits, self.state = limits, state
        self.portfolios: dict[str, Portfolio] = {}
        self.slots: list[str] = []
        self.numbers: dict[str, str] = {}
        """By a number's account id: its portfolio."""
        self.template_names: list[tuple[str, str]] = []

    def update(self, event: events.PortfolioUpdated, at: int) -> Draft:
        """Take a change of a portfolio; return what the ledger keeps of it.

        Raises:
            EventError: A number belongs to another portfolio, there are too many, or an appeal is
                not possible. Nothing is changed then.
        """
        self._check_numbers(event)
        self._check_appeal(event)
        portfolio = self.portfolios.get(event.business) or self._add(event.business)
        state, slot = self.state, portfolio.slot
        portfolio.legal_name = event.legal_name or portfolio.legal_name
        if event.verified is not None:
            portfolio.verified = event.verified
            low = int(state.ports.records[slot]["limit"])
            if event.verified and 0 <= low < self.limits.limit.verified:
                state.set_limit(slot, self.limits.limit.verified)
        if event.limit is not None:
            state.set_limit(slot, event.limit)
        if event.paced is not None:
            state.set_paced(slot, event.paced)
        for gone in event.removed:
            # Let a number leave. One that comes again has a new slot: no word on it goes on.
            record = portfolio.numbers.pop(gone, None)
            if record is not None:
                self.state.move_number(record.slot, k.NONE)
                del self.numbers[gone]
        for number in event.numbers:
            self._put_number(portfolio, number)
        if event.owners is not None:
            portfolio.owners = event.owners
            self._link(portfolio, at)
        if event.appeal is not None:
            self._appeal(portfolio, event.appeal, at)
        return self._draft(portfolio, event)

    def update_template(self, event: events.TemplateUpdated, at: int) -> Draft:
        """Take a change of a template; return what the ledger keeps of it.

        Raises:
            EventError: There is no such portfolio, or there are too many templates.
        """
        portfolio = self.portfolios.get(event.business)
        if portfolio is None:
            raise EventError("the template's portfolio is not registered", fix="register it first")
        template = portfolio.templates.get(event.template)
        category = CATEGORIES.index(event.category)
        if template is None:
            if len(portfolio.templates) >= MAX_TEMPLATES:
                fix = "delete some that are not used"
                raise EventError(f"a portfolio has at most {MAX_TEMPLATES:,} templates", fix=fix)
            slot = self.state.add_template(portfolio.slot, category)
            template = TemplateRecord(slot, event.category, event.language, event.status)
            portfolio.templates[event.template] = template
            self.template_names.append((event.business, event.template))
        template.category, template.language = event.category, event.language
        template.status = event.status
        self.state.set_template(template.slot, _STATUS[event.status], category, at)
        body = TemplateEntry(
            event.business, event.template, event.category, event.language, event.status
        )
        return Draft("template", body, {"id": event.id})

    def set_standing(self, event: events.StandingSet, at: int) -> int:
        """Take a person's act on the ladder; return the step that a portfolio is on then.

        Raises:
            EventError: There is no such portfolio or step, a step has no ground, or nothing is
                barred that could be lifted. Nothing is changed then.
        """
        portfolio = self.portfolios.get(event.business)
        if portfolio is None:
            raise EventError("the portfolio is not registered", fix="register it first")
        if event.step is None:
            if self.state.bars_of(portfolio.slot, at) == k.BARS_NOTHING:
                raise EventError("nothing is barred", fix="there is nothing to lift")
            self.state.end_step(portfolio.slot, at)
        else:
            names = [step.name for step in self.limits.ladder.steps]
            if event.step not in names or event.ground is None:
                fix = f"name one of {', '.join(names)}, and a ground"
                raise EventError("no step of the ladder with a ground", fix=fix)
            step, before = names.index(event.step) + 1, self._step_of(portfolio)
            self.state.take_step(portfolio.slot, step, at)
            portfolio.appeal, portfolio.raised = "", max(step - before, 1)
        return self._step_of(portfolio)

    def note_step(self, name: str) -> None:
        """Note that the rules took a portfolio a step up: an appeal was against the one before."""
        portfolio = self.portfolios[name]
        portfolio.appeal, portfolio.raised = "", 1

    def _step_of(self, portfolio: Portfolio) -> int:
        return int(self.state.ports.records[portfolio.slot]["step"])

    def portfolio_of(self, number: str) -> Portfolio | None:
        """Return the portfolio of a number's account; None where it is no business."""
        name = self.numbers.get(number)
        return self.portfolios[name] if name is not None else None

    def linked_to(self, name: str) -> Iterator[Portfolio]:
        """Iterate over the portfolios that succeed another."""
        return (p for p in self.portfolios.values() if name in p.linked)

    def _add(self, name: str) -> Portfolio:
        slot = self.state.add_portfolio(self.limits.limit.steps[0], paced=True)
        portfolio = Portfolio(name, slot, numbers={}, templates={})
        self.portfolios[name] = portfolio
        self.slots.append(name)
        return portfolio

    def _check_numbers(self, event: events.PortfolioUpdated) -> None:
        for number in event.numbers:
            if self.numbers.get(number.number, event.business) != event.business:
                raise EventError(
                    "a number belongs to another portfolio",
                    fix="let that portfolio remove it first",
                )
        known = self.portfolios.get(event.business)
        if len(known.numbers if known else ()) + len(event.numbers) > MAX_NUMBERS:
            raise EventError(f"a portfolio has at most {MAX_NUMBERS:,} numbers", fix="remove some")

    def _put_number(self, portfolio: Portfolio, number: events.Number) -> None:
        rates = self.limits.throughput
        rate = {"default": rates.default, "upgraded": rates.upgraded, "shared": rates.shared}
        known = portfolio.numbers.get(number.number)
        if known is None:
            slot = self.state.add_number(portfolio.slot, rate[number.throughput])
            known = NumberRecord(slot, number.display_name, number.throughput)
            portfolio.numbers[number.number] = known
            self.numbers[number.number] = portfolio.name
        known.display_name, known.throughput = number.display_name, number.throughput
        self.state.set_rate(known.slot, rate[number.throughput])

    def _link(self, portfolio: Portfolio, at: int) -> None:
        """Put a portfolio that never stood on the ladder where its owners' barred one stands."""
        owners, worst = set(portfolio.owners), None
        ports = self.state.ports.records
        for other in self.portfolios.values():
            if other is portfolio or not owners & set(other.owners):
                continue
            if (
                self.state.bars_of(other.slot, at) == k.BARS_NOTHING
                or other.name in portfolio.linked
            ):
                continue
            if self._step_of(portfolio) == 0 and portfolio.name not in other.linked:
                portfolio.linked = (*portfolio.linked, other.name)
                if worst is None or ports[other.slot]["step"] > ports[worst.slot]["step"]:
                    worst = other
        if worst is not None:
            self.state.inherit_step(portfolio.slot, worst.slot)

    def _check_appeal(self, event: events.PortfolioUpdated) -> None:
        if event.appeal is None:
            return
        known = self.portfolios.get(event.business)
        if known is None or self._step_of(known) == 0:
            fix = "there is nothing to appeal against"
            raise EventError("the portfolio is on no step", fix=fix)
        if event.appeal == "opened" and known.appeal == "opened":
            raise EventError("an appeal is open already", fix="decide it first")
        if event.appeal != "opened" and known.appeal != "opened":
            raise EventError("no appeal is open", fix="open one first")

    def _appeal(self, portfolio: Portfolio, appeal: str, at: int) -> None:
        """Note an appeal; one that succeeds gives the earlier standing back at once."""
        portfolio.appeal = appeal
        if appeal == "reversed":
            for each in (portfolio, *self.linked_to(portfolio.name)):
                self.state.reverse_step(each.slot, at, portfolio.raised)

    def _draft(self, portfolio: Portfolio, event: events.PortfolioUpdated) -> Draft:
        p = self.state.ports.records[portfolio.slot]
        body = PortfolioEntry(
            portfolio=portfolio.name,
            verified=portfolio.verified,
            limit=int(p["limit"]),
            numbers=len(portfolio.numbers),
            linked=portfolio.linked,
            step=int(p["step"]),
            appeal=portfolio.appeal,
        )
        record = msgspec.to_builtins(portfolio)
        record.pop("templates")
        return Draft("portfolio", body, {"id": event.id, "record": record})

    def dump(self) -> bytes:
        """Return the registry as JSON."""
        return msgspec.json.encode(list(self.portfolios.values()))

    def load(self, text: bytes) -> None:
        """Restore the registry from a dump; the state is restored apart."""
        portfolios = msgspec.json.decode(text, type=list[Portfolio])
        self.portfolios = {p.name: p for p in portfolios}
        self.slots = [p.name for p in portfolios]
        self.numbers = {number: p.name for p in portfolios for number in p.numbers}
        named = sorted(
            (t.slot, p.name, name) for p in portfolios for name, t in p.templates.items()
        )
        self.template_names = [(portfolio, template) for _, portfolio, template in named]


def status_of(template: Any) -> str:
    """Return the status of a template's record in words, as it is by the rules."""
    words = ("pending", "approved", "paused", "paused_by_pacing", "disabled")
    return words[int(template["status"])]
