"""The API, declared once: routes, scopes, the OpenAPI document and tests read this table.

The OpenAPI 3.1 document and its page, made from the declared endpoints and their types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec import Struct

from wavebreak import __version__
from wavebreak.reports.html import html_table, join_html, page
from wavebreak.reports.tables import Table
from wavebreak.schema.events import AnyEvent
from wavebreak.service.api import schemas
from wavebreak.service.api.schemas import AccountId, DecisionId
from wavebreak.service.auth import Scope
from wavebreak.service.decide import Answer, Quota
from wavebreak.service.errors import MEDIA_TYPE, TITLES, Problem

JSON, TEXT, STREAM, PAGE = "application/json", "text/plain", "text/event-stream", "text/html"
EVENT_BODIES = (
    "application/json", "application/x-ndjson", "application/cloudevents+json",
    "application/cloudevents-batch+json", "application/vnd.apache.arrow.stream",
)  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be asked.

    `scope` is what the key must have (None: no key is asked for). `body` and `query` are types of
    what is sent, `answer` that of what is given with `status`; without a type it is of `media`.
    `hot` ones are answered before Django; `audited` ones change something. `says` are the
    refusals beside those of keys, bodies and queries.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Scope | None
    about: str
    answer: Any = None
    body: Any = None
    query: Any = None
    status: int = 200
    media: str = JSON
    bodies: tuple[str, ...] = (JSON,)
    says: tuple[int, ...] = ()
    hot: bool = False
    audited: bool = field(default=False)

    @property
    def refusals(self) -> tuple[int, ...]:
        """Every status of a problem that may be answered."""
        keyed = (401, 403, 429) if self.scope else ()
        sent = (400, 413, 415, 422) if self.body or self.hot else ()
        asked = (422,) if self.query or "{" in self.path else ()
        return tuple(sorted({*keyed, *sent, *asked, *self.says}))


_ACCOUNT, _HOOK = "/v1/accounts/{account}", "/v1/webhooks/{webhook}"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("take_events", "POST", "/v1/events", "ingest",
             "Put events into the log. Answered when they are durable.", schemas.Accepted,
             list[AnyEvent], status=202, bodies=EVENT_BODIES, says=(409, 503), hot=True),
    Endpoint("decide", "POST", "/v1/decide", "decide",
             "Ask what to answer to one event, before it happens (`mode=ask`) or with it "
             "(`mode=record`).", Answer, AnyEvent, schemas.Asking, says=(503,), hot=True),
    Endpoint("account", "GET", _ACCOUNT, "read",
             "How an account stands: outcome, quota, restrictions with their ends, decisions.",
             schemas.Account, says=(404, 503)),
    Endpoint("override", "POST", f"{_ACCOUNT}/override", "override",
             "Overrule what was decided on an account: a label in the log, so that a replay comes "
             "to the same.", schemas.Overridden, schemas.Override, says=(503,), audited=True),
    Endpoint("extend_quota", "POST", f"{_ACCOUNT}/extension", "override",
             "Give an account more new chats, once a cycle.", Quota, schemas.Because,
             says=(404, 409, 503), audited=True),
    Endpoint("erase_personal", "DELETE", f"{_ACCOUNT}/personal", "admin",
             "Cut the pseudonyms of an account's number and addresses, and what opens the ledger's "
             "entries about it. Counts that others rely on remain, those of its devices too.",
             schemas.Erased, query=schemas.Because, says=(503,), audited=True),
    Endpoint("label", "POST", "/v1/labels", "override", "Put labels of accounts into the log.",
             schemas.Taken, schemas.Labels, status=202, says=(503,), audited=True),
    Endpoint("decisions", "GET", "/v1/decisions", "read",
             "Decisions after a number, in the log's order.", schemas.Decisions,
             query=schemas.Since),
    Endpoint("follow_decisions", "GET", "/v1/decisions/stream", "read",
             "Decisions as they are made, as server-sent events; their ids are numbers.",
             query=schemas.Following, media=STREAM),
    Endpoint("checkpoint", "GET", "/v1/ledger/checkpoint", "read",
             "The ledger's last checkpoint, a signed note: keep it, and nothing before it can be "
             "changed unseen.", media=TEXT),
    Endpoint("sealed_decision", "GET", "/v1/ledger/decisions/{decision}", "read",
             "A decision's entry in the ledger, with its openings and the proof that it is under "
             "the last checkpoint.", schemas.Sealed, says=(404,)),
    Endpoint("continued", "GET", "/v1/ledger/consistency", "read",
             "The proof that the ledger goes on from what it was with so many entries.",
             schemas.Continued, query=schemas.Sizes, says=(404,)),
    Endpoint("webhooks", "GET", "/v1/webhooks", "admin", "All webhooks.", schemas.Webhooks),
    Endpoint("add_webhook", "POST", "/v1/webhooks", "admin",
             "Have decisions sent to a URL, signed. The secret is told once.", schemas.Webhook,
             schemas.NewWebhook, status=201, says=(409,), audited=True),
    Endpoint("remove_webhook", "DELETE", _HOOK, "admin", "Send nothing to a webhook any more.",
             query=schemas.Because, status=204, says=(404,), audited=True),
    Endpoint("rotate_webhook", "POST", f"{_HOOK}/rotate", "admin",
             "Give a webhook a new secret; for a time both sign.", schemas.Webhook,
             schemas.Rotation, says=(404,), audited=True),
    Endpoint("dead_letters", "GET", f"{_HOOK}/dead", "admin",
             "What could not be delivered.", schemas.Deliveries, says=(404,)),
    Endpoint("replay_webhook", "POST", f"{_HOOK}/replay", "admin",
             "Send dead letters, or every decision after a number, again.", schemas.Replayed,
             schemas.Replay, says=(404,), audited=True),
    Endpoint("keys", "GET", "/v1/keys", "admin", "All keys, without their secrets.", schemas.Keys),
    Endpoint("add_key", "POST", "/v1/keys", "admin", "Make a key. Its text is told once.",
             schemas.Key, schemas.NewKey, status=201, audited=True),
    Endpoint("rotate_key", "POST", "/v1/keys/{prefix}/rotate", "admin",
             "Make a key's successor; the former goes on for a time.", schemas.Key,
             schemas.Rotation, status=201, says=(404, 409), audited=True),
    Endpoint("revoke_key", "DELETE", "/v1/keys/{prefix}", "admin", "End a key at once.",
             query=schemas.Because, status=204, says=(404,), audited=True),
    Endpoint("audit", "GET", "/v1/audit", "admin", "What was changed, by whom, and why.",
             schemas.Audit, query=schemas.Since),
    Endpoint("metrics", "GET", "/metrics", "read", "Numbers for Prometheus.", media=TEXT),
    Endpoint("healthz", "GET", "/healthz", None, "Whether the process answers.", media=TEXT),
    Endpoint("readyz", "GET", "/readyz", None, "Whether it takes events and decides.",
             media=TEXT, says=(503,)),
    Endpoint("openapi", "GET", "/api/openapi.json", None, "This document.", media=JSON),
    Endpoint("docs", "GET", "/api/docs", None, "This document, to read.", media=PAGE),
)  # fmt: skip
"""Every endpoint, in the order in which the documentation tells them."""

PATHS: tuple[str, ...] = tuple(dict.fromkeys(e.path for e in ENDPOINTS))
"""Every path once."""

_REF = "#/components/schemas/{name}"
_PARAMETERS: dict[str, Any] = {
    "account": (AccountId, "the account, as the platform names it"),
    "webhook": (str, "the webhook's id"),
    "prefix": (str, "the key's prefix"),
    "decision": (DecisionId, "the decision's id"),
}
_INTRODUCTION = (
    "Events in, answers, standings and decisions out. Message content is never accepted; phone "
    "numbers, addresses and devices become pseudonyms before anything is kept. Errors are problem "
    "details (RFC 9457) and repeat no value that was sent."
)


def _types() -> list[Any]:
    told = (t for e in ENDPOINTS for t in (e.body, e.answer) if t is not None)
    return list(dict.fromkeys([Problem, *told]))


@cache
def document() -> dict[str, Any]:
    """Make the document: a JSON value.

    >>> document()["openapi"], "/v1/events" in document()["paths"]
    ('3.1.0', True)
    """
    types = _types()
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    known = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    bearer = {"type": "http", "scheme": "bearer", "description": "a key: wb_PREFIX_SECRET"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wavebreak", "version": __version__, "description": _INTRODUCTION,
                 "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": bearer}},
    }  # fmt: skip


def _operation(endpoint: Endpoint, known: dict[Any, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, known),
        # The scope is told in words: an HTTP bearer scheme has none of its own.
        "security": [{"key": []}] if endpoint.scope else [],
    }
    if endpoint.scope:
        made["description"] = f"Needs a key with the scope `{endpoint.scope}`."
    if endpoint.body is not None:
        content = {media: {"schema": _sent(media, known[endpoint.body])}
                   for media in endpoint.bodies}  # fmt: skip
        made["requestBody"] = {"required": True, "content": content}
    return made


def _sent(media: str, schema: Any) -> Any:
    """The schema of a body; lines, columns and envelopes are told in docs/concepts.md."""
    return schema if media == JSON else {}


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for name in re.findall(r"{(\w+)}", endpoint.path):
        kind, about = _PARAMETERS[name]
        made.append({"name": name, "in": "path", "required": True, "description": about,
                     "schema": msgspec.json.schema(kind)})  # fmt: skip
    if endpoint.query is not None:
        made += _asked(endpoint.query)
    if endpoint.name == "take_events":
        made.append({"name": "Idempotency-Key", "in": "header", "required": False,
                     "description": "the same key and body are answered once; empty: no key",
                     "schema": {"type": "string", "maxLength": 255}})  # fmt: skip
    return made


def _asked(query: type[Struct]) -> list[dict[str, Any]]:
    schema = msgspec.json.schema(query)["$defs"][query.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": told}
        for name, told in schema["properties"].items()
    ]


def _responses(endpoint: Endpoint, known: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": endpoint.about}
    if endpoint.status != 204:
        schema = known[endpoint.answer] if endpoint.answer is not None else {}
        good["content"] = {endpoint.media: {"schema": schema}}
    told = {str(endpoint.status): good}
    for status in endpoint.refusals:
        problem: dict[str, Any] = {
            "description": TITLES[status],
            "content": {MEDIA_TYPE: {"schema": known[Problem]}},
        }
        if status in (429, 503):
            seconds = {"description": "seconds to wait", "schema": {"type": "integer"}}
            problem["headers"] = {"Retry-After": seconds}
        told[str(status)] = problem
    return told


def docs_page() -> str:
    """The document as one page that loads nothing."""
    rows = [
        (e.name, f"{e.method} {e.path}", e.scope or "no key", e.about,
         ", ".join(map(str, (e.status, *e.refusals))))
        for e in ENDPOINTS
    ]  # fmt: skip
    columns = ("name", "request", "scope", "what it does", "statuses")
    table = Table("Endpoints", columns, rows, words=frozenset({0, 1, 2, 3, 4}))
    components = document()["components"]["schemas"].items()
    types = [(name, schema) for name, schema in components if "properties" in schema]
    fields = join_html(html_table(_fields(name, schema)) for name, schema in types)
    lead = (_INTRODUCTION, "The whole document: /api/openapi.json.")
    return page("Wavebreak API", lead, [("Endpoints", html_table(table)), ("Types", fields)])


def _fields(name: str, schema: dict[str, Any]) -> Table:
    required = schema.get("required", ())
    rows = [
        (field, _kind(told), "" if field in required else "optional", told.get("description", ""))
        for field, told in schema["properties"].items()
    ]
    about = schema.get("description", "").split("\n")[0]
    return Table(f"{name}: {about}", ("field", "type", "", "meaning"), rows,
                 words=frozenset({0, 1, 2, 3}))  # fmt: skip


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("type", "any"))
