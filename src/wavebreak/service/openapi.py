"""The OpenAPI 3.1 document and its page, made from the declared endpoints and their types."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from wavebreak import __version__
from wavebreak.pages import Table, html_table, page
from wavebreak.service.declared import ENDPOINTS, JSON, Endpoint
from wavebreak.service.problems import MEDIA_TYPE, TITLES, Problem
from wavebreak.service.shapes import AccountId, DecisionId

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
    fields = "\n".join(html_table(_fields(name, schema)) for name, schema in types)
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
