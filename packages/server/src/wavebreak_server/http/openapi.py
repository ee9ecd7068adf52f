"""The OpenAPI 3.1 document, generated from the declared operations, and its page.

ninja generates operations, parameters and schemas. `ApiDocument` adds what it leaves out: problem
responses, scopes, the msgspec schemas of the hot path, and the media types of other responses.
"""

from __future__ import annotations

from typing import Any

import msgspec
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from wavebreak.engine.decision import Decision
from wavebreak.linking import Operator
from wavebreak.reports.html import html_table, join_html, page
from wavebreak.reports.tables import Table
from wavebreak.schema.events import AnyEvent
from wavebreak_server.errors import DESCRIPTIONS, MEDIA_TYPE, Problem
from wavebreak_server.http.requests import ApiKeyAuth
from wavebreak_server.pipeline.decide import MAX_EVENTS, DecideResponse, Quota
from wavebreak_server.pipeline.idempotency import IngestResponse
from wavebreak_server.pipeline.states import States, StatesPage

JSON, TEXT, STREAM, PAGE = "application/json", "text/plain", "text/event-stream", "text/html"
EVENT_MEDIA_TYPES = (
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/vnd.apache.arrow.stream",
)
STRUCT_KEY = "x-msgspec-struct"
"""Key of a schema that `ApiDocument` replaces by a reference to a msgspec struct."""
SECURITY_SCHEME = "key"
INTRODUCTION = (
    "Events in; decisions and enforcement states out. Message content is never accepted; phone "
    "numbers, addresses and devices are pseudonymized before anything is stored. Errors are "
    "problem details (RFC 9457) and repeat no value of the request."
)
_REF = "#/components/schemas/{name}"
_STRUCTS: tuple[Any, ...] = (
    Problem, AnyEvent, IngestResponse, DecideResponse, Decision, Operator, Quota, States,
    StatesPage,
)  # fmt: skip


def _struct_components() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Schemas of the msgspec structs, in their order, and the components that they refer to."""
    schemas, components = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
    return list(schemas), components


def problem_responses(*statuses: int) -> dict[int, Any]:
    """Return the responses of problems with these statuses."""
    responses: dict[int, Any] = {}
    for status in statuses:
        responses[status] = {
            "description": DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {STRUCT_KEY: "Problem"}}},
        }
        if status in (429, 503):
            seconds = {"description": "seconds to wait", "schema": {"type": "integer"}}
            responses[status]["headers"] = {"Retry-After": seconds}
    return responses


def problems(*statuses: int) -> dict[str, Any]:
    """Return the `openapi_extra` of an operation that may return these problems.

    Those of authentication, bodies and parameters are added without being declared.
    """
    return {"responses": problem_responses(*statuses)}


def media(media_type: str, *statuses: int) -> dict[str, Any]:
    """Return the `openapi_extra` of an operation whose 200 response is not a schema in JSON."""
    content: dict[int, Any] = {200: {"content": {media_type: {"schema": {}}}}}
    return {"responses": content | problem_responses(*statuses)}


def hot_path_operation(name: str) -> dict[str, Any]:
    """Return the `openapi_extra` of a hot path operation, `events` or `decide`."""
    event = _struct_components()[0][_STRUCTS.index(AnyEvent)]
    parameters: list[dict[str, Any]] = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "a request with the same key and body is processed once; empty: no key",
            "schema": {"type": "string", "maxLength": 255},
        }
    ]
    body: dict[str, Any]
    if name == "decide":
        several = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
        body = {JSON: {"schema": {"oneOf": [event, several]}}}
        success = {200: {"content": {JSON: {"schema": {STRUCT_KEY: "DecideResponse"}}}}}
        mode = {
            "name": "mode",
            "in": "query",
            "required": False,
            "description": "ask: decide without recording; record: add the events to the log; "
            "attempt: the log takes those that are refused, as acts that did not happen, and the "
            "same ids get the same answer for a day",
            "schema": {"enum": ["ask", "record", "attempt"], "default": "ask"},
        }
        parameters.insert(0, mode)
    else:
        body = {media_type: {"schema": {}} for media_type in EVENT_MEDIA_TYPES}
        body[JSON] = {"schema": {"type": "array", "items": event}}
        success = {202: {"content": {JSON: {"schema": {STRUCT_KEY: "IngestResponse"}}}}}
    return {
        "parameters": parameters,
        "requestBody": {"required": True, "content": body},
        "responses": success | problem_responses(400, 409, 413, 415, 422, 503),
    }


class ApiDocument(OpenAPISchema):
    """The OpenAPI document of an API."""

    def operation_details(self, operation: Operation) -> dict[str, Any]:
        """Describe an operation: scope, security and responses in order of their status."""
        details: dict[str, Any] = super().operation_details(operation)
        needed = [auth.scopes for auth in operation.auth_callbacks if isinstance(auth, ApiKeyAuth)]
        scopes = needed[0] if needed else ()
        details.pop("description", None)
        if scopes:
            named = " or ".join(f"`{scope}`" for scope in scopes)
            details["description"] = f"Needs a key with the scope {named}."
        details["security"] = [{SECURITY_SCHEME: [scope]} for scope in scopes]
        details["responses"] = dict(sorted(details["responses"].items()))
        return details

    def operation_security(self, operation: Operation) -> None:
        """Register the security scheme; `operation_details` names it."""
        for auth in operation.auth_callbacks:
            if isinstance(auth, ApiKeyAuth):
                self.securitySchemes[SECURITY_SCHEME] = auth.openapi_security_schema

    def responses(self, operation: Operation) -> dict[int, Any]:
        """Return the success response, and the problems that follow from the signature."""
        responses: dict[int, Any] = super().responses(operation)
        for response in responses.values():
            response["description"] = operation.summary
        sources = {model.__ninja_param_source__ for model in operation.models}
        statuses: set[int] = {401, 403, 429} if operation.auth_callbacks else set()
        statuses |= {400, 413, 415, 422} if "body" in sources else set()
        statuses |= {422} if sources & {"query", "path"} else set()
        return responses | problem_responses(*statuses)

    def get_components(self) -> dict[str, Any]:
        """Return the schemas of pydantic models and of msgspec structs."""
        components: dict[str, Any] = super().get_components()
        components["schemas"] = components["schemas"] | _struct_components()[1]
        return components


def build_document(api: Any) -> dict[str, Any]:
    """Return an API's OpenAPI document as a JSON value."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(ApiDocument(api, "")))
    del document["servers"]
    resolved: dict[str, Any] = _with_references(document)
    # Models of query strings are only described as parameters.
    text = msgspec.json.encode(resolved).decode()
    components = resolved["components"]
    components["schemas"] = {
        name: schema
        for name, schema in components["schemas"].items()
        if f'"{_REF.format(name=name)}"' in text
    }
    return resolved


def _with_references(value: Any) -> Any:
    """Return a JSON value with the placeholders of `struct_schema` as references."""
    if isinstance(value, list):
        return [_with_references(each) for each in value]
    if not isinstance(value, dict):
        return value
    if STRUCT_KEY in value:
        return {"$ref": _REF.format(name=value[STRUCT_KEY])}
    return {name: _with_references(each) for name, each in value.items()}


def render_docs_page(document: dict[str, Any]) -> str:
    """Render the document as one page that loads nothing from elsewhere."""
    rows = [
        (
            operation["operationId"],
            f"{method.upper()} {path}",
            _scope(operation),
            operation["summary"],
            ", ".join(operation["responses"]),
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    columns = ("name", "request", "scope", "description", "statuses")
    table = Table("Operations", columns, rows, words=frozenset({0, 1, 2, 3, 4}))
    schemas = document["components"]["schemas"].items()
    objects = [(name, schema) for name, schema in schemas if "properties" in schema]
    fields = join_html(html_table(_field_table(name, schema)) for name, schema in objects)
    lead = (INTRODUCTION, "The OpenAPI document: /api/openapi.json.")
    return page("Wavebreak API", lead, [("Operations", html_table(table)), ("Schemas", fields)])


def _scope(operation: dict[str, Any]) -> str:
    scopes = [scope for one in operation["security"] for scope in one[SECURITY_SCHEME]]
    return " or ".join(scopes) or "no key"


def _field_table(name: str, schema: dict[str, Any]) -> Table:
    required = schema.get("required", ())
    rows = [
        (
            field,
            _type_name(details),
            "" if field in required else "optional",
            details.get("description", ""),
        )
        for field, details in schema["properties"].items()
    ]
    about = schema.get("description", "").split("\n")[0]
    columns = ("field", "type", "", "meaning")
    return Table(f"{name}: {about}", columns, rows, words=frozenset({0, 1, 2, 3}))


def _type_name(schema: dict[str, Any]) -> str:
    """Describe a schema in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_type_name(each) for each in schema["anyOf"])
    if "items" in schema:
        return f"list of {_type_name(schema['items'])}"
    return str(schema.get("type", "any"))
