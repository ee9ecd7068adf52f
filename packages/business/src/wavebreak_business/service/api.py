"""Operations on the platform for businesses.

Who asks is the messenger, by a key with a scope of its own kind (`decide`, `ingest`, `read`,
`admin`), and then any portfolio is theirs; or a business or its provider, by a key with the scope
`business`, and then those portfolios alone that an administrator bound to the key: any other is
answered as one that there is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta

from wavebreak.schema import identifiers
from wavebreak.schema.events import TS_END, Category
from wavebreak_business.platform.events import (
    Appeal,
    Digest,
    Ground,
    Language,
    Number,
    People,
    PortfolioUpdated,
    TemplateStatus,
    TemplateUpdated,
    Text,
)
from wavebreak_business.platform.platform import Platform
from wavebreak_business.service import reporters, sends, standing, views, words
from wavebreak_business.service.apps import BUSINESS
from wavebreak_business.service.engine_numbers import register_numbers
from wavebreak_business.service.live_platform import LivePlatform, Turn, live_platform
from wavebreak_business.service.models import KeyPortfolio
from wavebreak_business.service.sends import not_found, portfolio_of
from wavebreak_business.service.standing import apply_change, change_id
from wavebreak_business.service.standing_history import Author
from wavebreak_server.errors import ApiError
from wavebreak_server.http.app_context import write_audit_entry
from wavebreak_server.http.operations import MAX_BODY, RequestContext, Router
from wavebreak_server.http.schemas import (
    NO_CONTROL,
    AccountId,
    Justification,
    Request,
    Response,
    check_account_ids,
)

MAX_ITEMS = 500
"""Sends, acts or words of one request."""
PortfolioName = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="the portfolio, as the operator names it",
    ),
]
TemplateName = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$",
        description="the template, as its portfolio names it",
    ),
]
ItemId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=NO_CONTROL,
        description="its id, of the caller's own: who repeats it gets the same answer for a day",
    ),
]
SourceName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,31}$", description="who says so")]
Time = Annotated[
    int, Meta(ge=0, lt=TS_END, description="when it was, in ms since 1970 (absent: now)")
]
KeyPrefix = Annotated[str, Meta(pattern="^[0-9a-f]{8}$", description="the key's prefix")]

T = TypeVar("T")

router = Router(BUSINESS)


class Send(Request):
    """A send that is asked about: from a number to a person, free text or by a template."""

    id: ItemId
    number: AccountId
    account: AccountId
    template: TemplateName | None = None


class SendsQuestion(Request):
    """Sends of one portfolio, in the order in which they would go out."""

    portfolio: PortfolioName
    sends: Annotated[list[Send], Meta(min_length=1, max_length=MAX_ITEMS)]

    def __post_init__(self) -> None:
        """Raise ValueError for an id that is too long."""
        for send in self.sends:
            check_account_ids((send.number, send.account))


class PersonAct(Request):
    """What a person did, or what became of a send to them.

    `account` acts, `peer` is the number; of `message.undeliverable` it is the other way round. Of
    `account.id_changed` the id before is `previous`; of `account.deleted` and `account.registered`
    there is no peer.
    """

    id: ItemId
    type: sends.ActType
    account: AccountId
    peer: AccountId | None = None
    previous: AccountId | None = None
    ts: Time | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an id that is too long, and for a field that is missing."""
        check_account_ids(each for each in (self.account, self.peer, self.previous) if each)
        renamed = self.type == "account.id_changed"
        if (self.previous is not None) != renamed:
            raise ValueError("previous: the id before, of account.id_changed alone")
        if (self.peer is None) != (renamed or self.type in sends.ALONE):
            raise ValueError(f"peer: wrong for {self.type}")


class PersonActs(Request):
    """Acts in their order; late ones count too, at their portfolio's own time."""

    events: Annotated[list[PersonAct], Meta(min_length=1, max_length=MAX_ITEMS)]


class ToldActs(Response):
    """How many acts are new, and how many were told before."""

    taken: int
    repeated: int


class PortfolioChange(Justification):
    """A portfolio to register or to change: a field that is absent stays as it is.

    `numbers` are added or changed, `removed` ones leave. `limit` -1: none. `paced`: from its first
    batch on. `owners`: a portfolio whose owner's other one is barred begins where that one is.
    """

    legal_name: Text | None = None
    verified: bool | None = None
    owners: Annotated[tuple[Text, ...], Meta(max_length=100)] | None = None
    numbers: Annotated[tuple[Number, ...], Meta(max_length=MAX_ITEMS)] = ()
    removed: Annotated[tuple[AccountId, ...], Meta(max_length=MAX_ITEMS)] = ()
    limit: People | None = None
    paced: bool | None = None


class TemplateChange(Justification):
    """A template to register or to change.

    Only the messenger sets a status but `pending`; its approval ends a pause of either kind. What
    a business changes waits for approval again.
    """

    category: Category
    language: Language
    status: TemplateStatus = "pending"


Version = Annotated[
    int,
    Meta(
        ge=0,
        lt=1 << 62,
        description="`version` of the history that was read: an act on another one is refused",
    ),
]


class StandingChange(Justification):
    """A step of the ladder by its name, on a ground; `step` null lifts what is barred."""

    version: Version
    step: Annotated[str, Meta(min_length=1, max_length=32)] | None
    ground: Ground | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a step without a ground."""
        if (self.step is None) != (self.ground is None):
            raise ValueError("ground: of a step, and of a step alone")


class AppealChange(Justification):
    """An appeal against the step that a portfolio is on: opened by who holds it, or decided.

    Who decides names the `version` of the history that they read.
    """

    appeal: Appeal
    version: Version | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a decision on a history that nobody has read."""
        if self.appeal != "opened" and self.version is None:
            raise ValueError("version: read GET /v1/business/{portfolio}/standing, then decide")


class ConsentWord(Request):
    """A word on consent: of one number or the portfolio, of one category or all.

    `proof` is the SHA-256 of the record by which it is claimed.
    """

    id: ItemId
    account: AccountId
    word: Literal["granted", "revoked"]
    source: SourceName
    number: AccountId | None = None
    category: Category | None = None
    proof: Digest | None = None
    ts: Time | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an id that is too long."""
        check_account_ids((self.account, self.number or "n"))


class ConsentWords(Request):
    """Words on consent, in the order in which they were said."""

    words: Annotated[list[ConsentWord], Meta(min_length=1, max_length=MAX_ITEMS)]


class BasisQuestion(Request):
    """On what basis a message of a category would go to a person (no number: from any)."""

    account: AccountId
    category: Category
    number: AccountId | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an id that is too long."""
        check_account_ids((self.account, self.number or "n"))


class NamesQuery(Request):
    """A page by name: what comes after one."""

    after: Annotated[str, Meta(max_length=128, pattern=NO_CONTROL)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class PortfolioNames(Response):
    """Names of portfolios, in order; `next` is the `after` of the next page (empty: the last)."""

    portfolios: list[str]
    next: str


class TemplatesPage(Response):
    """Templates by name; `next` is the `after` of the next page (empty: the last)."""

    templates: list[views.TemplateView]
    next: str


class PortfolioKeys(Response):
    """Prefixes of the first keys, whose successors too act for a portfolio."""

    keys: list[str]


# Who asks.


class _Caller:
    """Who asks: the messenger, to whom every portfolio is open, or a business with its own."""

    def __init__(self, context: RequestContext, *messenger: str) -> None:
        self._ring = context.app.key_ring
        self.key = context.key
        self.is_messenger = any(self._ring.permits(self.key, scope) for scope in messenger)
        self.live = live_platform(context.app, context.service)
        self._allow = context.service.settings.allow_identifiers

    async def check(self, portfolio: str) -> None:
        """Raise ApiError (404) for a portfolio that is not the caller's."""
        own = await self.own()
        if own is not None and portfolio not in own:
            raise not_found()

    async def own(self) -> frozenset[str] | None:
        """Return the caller's own portfolios (None: any)."""
        if self.is_messenger:
            return None
        entry = self._ring.entry(self.key)
        return await self.live.portfolios_of(entry.owner) if entry else frozenset()

    def check_ids(self, ids: Iterable[tuple[str, str]]) -> None:
        """Raise ApiError (422) for an id that is stored as it is, and looks like personal data."""
        entry = self._ring.entry(self.key)
        allow = self._allow or (entry is not None and entry.identifiers)
        for field, value in ids:
            found = identifiers.fault(field, value, allow=allow)
            if found is not None:
                raise ApiError(422, f"an id {found.name}", fix=found.fix, field=field)


def _times(context: RequestContext, given: Iterable[int | None]) -> list[int]:
    """Return the times of items; raises ApiError (422) for one ahead of the clock."""
    now_ms, ahead_ms = context.now_ms, context.service.ahead_ms
    found = [now_ms if each is None else each for each in given]
    if max(found) >= now_ms + ahead_ms:
        raise ApiError(422, "ahead of this service's clock", fix="set the sender's clock right")
    return found


# Sends and acts.


@router.operation(
    "POST",
    "/v1/business/decide",
    "Decide up to 500 sends of one portfolio: which go out, why the others do not, and when to try "
    "again. The answer is sent when it is durable; those that go out are counted as sent.",
    404,
    409,
    503,
    scopes=(BUSINESS, "decide"),
    max_body=MAX_BODY,
)
async def decide_sends(context: RequestContext, body: SendsQuestion) -> sends.SendAnswers:
    """Decide sends."""
    caller = _Caller(context, "decide")
    await caller.check(body.portfolio)
    caller.check_ids(("id", send.id) for send in body.sends)
    live = caller.live
    asked = [
        sends.AskedSend(send.id, send.number, live.person(send.account), send.template)
        for send in body.sends
    ]
    answers = await live.turn(lambda turn: sends.decide(turn, body.portfolio, asked, live))
    return sends.SendAnswers(
        portfolio=body.portfolio, answers=answers, outcomes=sends.meanings(answers, live.settings)
    )


@router.operation(
    "POST",
    "/v1/business/events",
    "Tell what people did to numbers, and what became of sends: messages, reads, blocks, reports, "
    "mutes, undeliverable ones, changed ids.",
    409,
    503,
    scopes=("ingest",),
    max_body=MAX_BODY,
)
async def tell_acts(context: RequestContext, body: PersonActs) -> ToldActs:
    """Take acts of people."""
    caller = _Caller(context, "ingest")
    caller.check_ids(("id", event.id) for event in body.events)
    person, times = caller.live.person, _times(context, (event.ts for event in body.events))
    told = []
    for event, ts in zip(body.events, times, strict=True):
        account, peer = event.account, event.peer
        if event.type == "message.undeliverable" and peer is not None:
            account, peer = peer, account
        previous = person(event.previous) if event.previous is not None else None
        told.append(
            sends.ToldAct(event.id, event.account, ts, event.type, person(account), peer, previous)
        )
    reacting = sorted({e.account for e in body.events if e.type in reporters.REACTIONS})
    found = await reporters.weights_of(context.service, reacting)
    weights = {person(account): weight for account, weight in found.items()}
    taken, repeated = await caller.live.turn(
        lambda turn: sends.tell(turn, told, caller.live, weights)
    )
    return ToldActs(taken, repeated)


# Registry.


@router.operation(
    "GET",
    "/v1/business",
    "Portfolios by name: all of them, or those of a business's key.",
    503,
    scopes=(BUSINESS, "read"),
)
async def portfolios(context: RequestContext, query: NamesQuery) -> PortfolioNames:
    """Return a page of names."""
    caller = _Caller(context, "read")
    own = await caller.own()

    def load(platform: Platform) -> list[str]:
        known = platform.registry.portfolios
        return sorted(n for n in known if n > query.after and (own is None or n in own))

    names = await caller.live.read(load)
    return PortfolioNames(*_page(names, query.limit, lambda name: name))


def _page(items: list[T], limit: int, name: Callable[[T], str]) -> tuple[list[T], str]:
    return items[:limit], name(items[limit - 1]) if len(items) > limit else ""


@router.operation(
    "GET",
    "/v1/business/{portfolio}",
    "A portfolio: numbers, limit with use, quality, pacing, and standing on the ladder.",
    404,
    503,
    scopes=(BUSINESS, "read"),
)
async def show_portfolio(context: RequestContext, portfolio: PortfolioName) -> views.PortfolioView:
    """Return a portfolio."""
    caller = _Caller(context, "read")
    await caller.check(portfolio)
    return await caller.live.read(lambda platform: _view(platform, portfolio, context.now_ms))


def _view(platform: Platform, portfolio: str, now_ms: int) -> views.PortfolioView:
    return views.portfolio_view(platform, portfolio_of(platform, portfolio), now_ms)


@router.operation(
    "PUT",
    "/v1/business/{portfolio}",
    "Register a portfolio, or change it: legal name, verification, owners, numbers, limit.",
    409,
    503,
    scopes=("admin",),
    max_body=MAX_BODY,
)
async def put_portfolio(
    context: RequestContext, portfolio: PortfolioName, body: PortfolioChange
) -> views.PortfolioView:
    """Register or change a portfolio."""
    caller = _Caller(context, "admin")
    caller.check_ids(("account", number.number) for number in body.numbers)

    author = Author(caller.key, body.reason)

    def change(turn: Turn) -> views.PortfolioView:
        event = PortfolioUpdated(
            ts=turn.now_ms, id=change_id(turn), business=portfolio, legal_name=body.legal_name,
            verified=body.verified, owners=body.owners, numbers=body.numbers,
            removed=body.removed, limit=body.limit, paced=body.paced,
        )  # fmt: skip
        apply_change(turn, event, author, "update_portfolio", portfolio)
        return _view(turn.platform, portfolio, turn.now_ms)

    view = await caller.live.turn(change)
    added = [number.number for number in body.numbers]
    await register_numbers(context, portfolio, added, body.removed)
    return view


@router.operation(
    "GET",
    "/v1/business/{portfolio}/templates",
    "A portfolio's templates by name, with status and quality.",
    404,
    503,
    scopes=(BUSINESS, "read"),
)
async def portfolio_templates(
    context: RequestContext, portfolio: PortfolioName, query: NamesQuery
) -> TemplatesPage:
    """Return a page of templates."""
    caller = _Caller(context, "read")
    await caller.check(portfolio)
    found = await caller.live.read(
        lambda platform: views.templates_page(
            platform, portfolio_of(platform, portfolio), query.after, query.limit + 1,
            context.now_ms,
        )
    )  # fmt: skip
    return TemplatesPage(*_page(found, query.limit, lambda each: each.template))


@router.operation(
    "PUT",
    "/v1/business/{portfolio}/templates/{template}",
    "Register a template, or change it. What a business registers waits for approval.",
    404,
    409,
    503,
    scopes=(BUSINESS, "admin"),
)
async def put_template(
    context: RequestContext, portfolio: PortfolioName, template: TemplateName, body: TemplateChange
) -> views.TemplateView:
    """Register or change a template."""
    caller = _Caller(context, "admin")
    await caller.check(portfolio)
    if not caller.is_messenger and body.status != "pending":
        raise ApiError(403, "only the messenger approves a template", fix="leave `status` out")

    def change(turn: Turn) -> views.TemplateView:
        known = portfolio_of(turn.platform, portfolio)
        former = known.templates.get(template)
        if former is not None and former.status == "disabled" and not caller.is_messenger:
            raise ApiError(409, "the template is disabled", fix="register one of another name")
        event = TemplateUpdated(
            ts=turn.now_ms, id=change_id(turn), business=portfolio, template=template,
            category=body.category, language=body.language, status=body.status,
        )  # fmt: skip
        author = Author(caller.key, body.reason)
        apply_change(turn, event, author, "update_template", f"{portfolio}/{template}")
        return views.template_view(turn.platform, template, known.templates[template], turn.now_ms)

    return await caller.live.turn(change)


@router.operation(
    "GET",
    "/v1/business/{portfolio}/standing",
    "Where a portfolio stands on the ladder, and how it came there: steps, lifts, appeals. By whom "
    "and why is told to the messenger alone.",
    404,
    503,
    scopes=(BUSINESS, "read"),
)
async def standing_history(
    context: RequestContext, portfolio: PortfolioName
) -> views.StandingHistory:
    """Return the history of a portfolio's standing."""
    caller = _Caller(context, "read")
    await caller.check(portfolio)
    return await caller.live.read(
        lambda platform: views.standing_history(
            platform, portfolio_of(platform, portfolio), context.now_ms,
            to_messenger=caller.is_messenger,
        )
    )  # fmt: skip


@router.operation(
    "PUT",
    "/v1/business/{portfolio}/standing",
    "Put a portfolio on a step of the ladder, or lift what its step bars, as in the console. The "
    "business is told by its webhook, and may appeal. Whose history changed meanwhile is refused.",
    404,
    409,
    503,
    scopes=("admin",),
)
async def set_standing(
    context: RequestContext, portfolio: PortfolioName, body: StandingChange
) -> views.StandingHistory:
    """Act on a portfolio's standing."""
    live = _live(context)

    def change(turn: Turn) -> views.StandingHistory:
        act = standing.Act(body.step, body.ground)
        author = Author(context.key, body.reason)
        standing.set_standing(turn, portfolio, act, author, body.version)
        known = portfolio_of(turn.platform, portfolio)
        return views.standing_history(turn.platform, known, turn.now_ms, to_messenger=True)

    return await live.turn(change)


@router.operation(
    "POST",
    "/v1/business/{portfolio}/appeal",
    "Open an appeal against the step that a portfolio is on, or decide it. A reversal gives the "
    "standing before it back at once, to its successors too.",
    404,
    409,
    503,
    scopes=(BUSINESS, "admin"),
)
async def appeal_step(
    context: RequestContext, portfolio: PortfolioName, body: AppealChange
) -> views.PortfolioView:
    """Open or decide an appeal."""
    caller = _Caller(context, "admin")
    await caller.check(portfolio)
    if not caller.is_messenger and body.appeal != "opened":
        raise ApiError(403, "only the messenger decides an appeal", fix="wait for its decision")

    def change(turn: Turn) -> views.PortfolioView:
        author = Author(caller.key, body.reason)
        standing.appeal(turn, portfolio, body.appeal, author, body.version)
        return _view(turn.platform, portfolio, turn.now_ms)

    return await caller.live.turn(change)


# Consent.


@router.operation(
    "POST",
    "/v1/business/{portfolio}/consents",
    "Put up to 500 words on consent into the ledger. A revocation binds from the next message on; "
    "a grant that a business claims counts with its proof alone, and not after the person revoked.",
    404,
    409,
    503,
    scopes=(BUSINESS, "ingest"),
    max_body=MAX_BODY,
)
async def add_consents(
    context: RequestContext, portfolio: PortfolioName, body: ConsentWords
) -> words.WordAnswers:
    """Take words on consent."""
    caller = _Caller(context, "ingest")
    await caller.check(portfolio)
    live = caller.live
    if not caller.is_messenger:
        words.refuse_trusted(
            [each.source for each in body.words], live.settings.limits.consent.trusted
        )
    caller.check_ids(("id", each.id) for each in body.words)
    times = _times(context, (each.ts for each in body.words))
    said = [
        words.SaidWord(
            each.id, ts, each.word == "granted", live.person(each.account), each.number,
            each.category, each.source, each.proof,
        )
        for each, ts in zip(body.words, times, strict=True)
    ]  # fmt: skip
    return words.WordAnswers(
        words=await live.turn(lambda turn: words.say(turn, portfolio, said, live))
    )


@router.operation(
    "POST",
    "/v1/business/{portfolio}/consents/query",
    "On what basis a message of a category would go to a person, and the words on it.",
    404,
    503,
    scopes=(BUSINESS, "read"),
)
async def query_consent(
    context: RequestContext, portfolio: PortfolioName, body: BasisQuestion
) -> views.ConsentBasis:
    """Return the basis of a message."""
    caller = _Caller(context, "read")
    await caller.check(portfolio)
    person = caller.live.person(body.account)

    def load(platform: Platform) -> views.ConsentBasis:
        known = portfolio_of(platform, portfolio)
        if body.number is not None and body.number not in known.numbers:
            raise ApiError(
                404, "it is no number of the portfolio", fix="leave it out, or register it"
            )
        who = platform.known_person(person)
        return views.consent_basis(platform, known, who, body.number, body.category)

    return await caller.live.read(load)


# Keys.


@router.operation(
    "GET", "/v1/business/{portfolio}/keys", "Keys that act for a portfolio.", 404, 503,
    scopes=("admin",),
)  # fmt: skip
async def portfolio_keys(context: RequestContext, portfolio: PortfolioName) -> PortfolioKeys:
    """Return the keys of a portfolio."""

    def load(platform: Platform) -> list[str]:
        portfolio_of(platform, portfolio)
        rows = KeyPortfolio.objects.filter(portfolio=portfolio).order_by("owner")
        return list(rows.values_list("owner", flat=True))

    return PortfolioKeys(keys=await _live(context).read(load))


@router.operation(
    "PUT",
    "/v1/business/{portfolio}/keys/{prefix}",
    "Let a key with the scope `business`, and its successors, act for a portfolio.",
    404,
    409,
    503,
    statuses=(204,),
    scopes=("admin",),
)
async def bind_key(
    context: RequestContext, portfolio: PortfolioName, prefix: KeyPrefix, body: Justification
) -> None:
    """Bind a key to a portfolio."""
    ring = context.app.key_ring
    entry = ring.entry(prefix)
    if entry is None:
        raise ApiError(404, "the key is unknown or expired")
    if not ring.permits(prefix, BUSINESS):
        raise ApiError(409, f"the key lacks the scope {BUSINESS}", fix="create one: POST /v1/keys")

    def bind(turn: Turn) -> None:
        portfolio_of(turn.platform, portfolio)
        found = {"owner": entry.owner, "portfolio": portfolio}
        if not KeyPortfolio.objects.filter(**found).exists():
            KeyPortfolio(**found).save()
            turn.forget_keys()
        target = f"{portfolio}/{entry.owner}"
        write_audit_entry(turn.now_ms, context.key, "bind_key", target, body.reason)

    await _live(context).turn(bind)


@router.operation(
    "DELETE",
    "/v1/business/{portfolio}/keys/{prefix}",
    "Let a key, and its successors, act for a portfolio no longer.",
    404,
    503,
    statuses=(204,),
    scopes=("admin",),
)
async def unbind_key(
    context: RequestContext, portfolio: PortfolioName, prefix: KeyPrefix, query: Justification
) -> None:
    """Unbind a key from a portfolio."""
    entry = context.app.key_ring.entry(prefix)
    owner = entry.owner if entry is not None else prefix

    def unbind(turn: Turn) -> None:
        rows: Any = KeyPortfolio.objects.filter(owner=owner, portfolio=portfolio)
        if not rows.exists():
            raise ApiError(404, "the key does not act for this portfolio")
        rows.delete()
        turn.forget_keys()
        target = f"{portfolio}/{owner}"
        write_audit_entry(turn.now_ms, context.key, "unbind_key", target, query.reason)

    await _live(context).turn(unbind)


def _live(context: RequestContext) -> LivePlatform:
    return live_platform(context.app, context.service)
