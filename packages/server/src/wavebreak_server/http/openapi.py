"""The OpenAPI 3.1 document, generated from the declared operations, and its page."""

from __future__ import annotations

import base64
import hashlib
import inspect
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from wavebreak import __version__
from wavebreak.engine.decision import Decision
from wavebreak.reports.html import render_html
from wavebreak.reports.report import Report, Section, Text
from wavebreak.reports.tables import Table
from wavebreak_server.errors import DESCRIPTIONS, MEDIA_TYPE, PROBLEMS, Problem
from wavebreak_server.http.operations import Operation
from wavebreak_server.http.responses import JSON
from wavebreak_server.http.schemas import SCHEMAS

SECURITY_SCHEME = "key"
INTRODUCTION = (
    "Events in; decisions and enforcement states out. Message content is never accepted; phone "
    "numbers, addresses and devices are pseudonymized before anything is stored. Errors are "
    "problem details (RFC 9457) and repeat no value of the request."
)
_RETRY_AFTER = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}


class _Schemas:
    """JSON Schemas of what operations take and return, and the components that they refer to."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types: list[Any] = [Problem, Decision]
        for one in operations:
            types += [*one.parameters.values(), one.query, one.body, one.response]
            types += one.hot.bodies.values() if one.hot else ()
        self._types = [kind for kind in types if kind is not None]
        made, self.components = msgspec.json.schema_components(
            self._types, ref_template=SCHEMAS + "{name}"
        )
        self._made = list(made)
        for component in self.components.values():
            if about := component.get("description"):
                component["description"] = inspect.cleandoc(about)
        for kind in self._types:
            extra = getattr(kind, "schema_extra", None)
            if extra:
                self.components[kind.__name__] |= extra

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type (None: of any value)."""
        return {} if kind is None else dict(self._made[self._types.index(kind)])

    def of_fields(self, struct: type[Struct]) -> Iterable[tuple[str, dict[str, Any], bool]]:
        """Return each field of a struct: its name, its schema, and whether it is required."""
        component = self.components[struct.__name__]
        for name, schema in component["properties"].items():
            yield name, schema, name in component["required"]


def build_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of operations, as a JSON value."""
    listed = [one for one in operations if one.listed]
    schemas = _Schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for one in listed:
        paths.setdefault(one.route, {})[one.method.lower()] = _describe(one, schemas)
    # Structs of query strings are only described as parameters.
    queries = {one.query.__name__ for one in listed if one.query is not None}
    text = msgspec.json.encode([paths, schemas.components]).decode()
    components = {
        name: schema
        for name, schema in schemas.components.items()
        if name not in queries or f'"{SCHEMAS}{name}"' in text
    }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Wavebreak",
            "version": __version__,
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                SECURITY_SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `wb_PREFIX_SECRET`. The roles of an operation are "
                    "its scope.",
                }
            },
        },
    }
    return document


def _describe(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    """Return an operation as the document has it."""
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation, schemas),
        "responses": _responses(operation, schemas),
        "security": [{SECURITY_SCHEME: [scope]} for scope in operation.scopes],
    }
    bodies = operation.hot.bodies if operation.hot else {JSON: operation.body}
    if operation.takes_body:
        content = {media: {"schema": schemas.of(kind)} for media, kind in bodies.items()}
        described["requestBody"] = {"required": True, "content": content}
    if operation.scopes:
        named = " or ".join(f"`{scope}`" for scope in operation.scopes)
        described["description"] = f"Needs a key with the scope {named}."
    return described


def _parameters(operation: Operation, schemas: _Schemas) -> list[Any]:
    parameters: list[Any] = [
        _parameter("path", name, schemas.of(kind), required=True)
        for name, kind in operation.parameters.items()
    ]
    if operation.query is not None:
        parameters += [
            _parameter("query", name, schema, required=required)
            for name, schema, required in schemas.of_fields(operation.query)
        ]
    return parameters + list(operation.hot.parameters if operation.hot else ())


def _parameter(place: str, name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    schema = dict(schema)
    about = schema.pop("description", "")
    described = {"in": place, "name": name, "required": required, "schema": schema}
    return described | ({"description": about} if about else {})


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    """Return the responses of success and the problems, in the order of their status."""
    responses: dict[int, dict[str, Any]] = {}
    for status in operation.statuses:
        responses[status] = {"description": operation.summary}
        if status != HTTPStatus.NO_CONTENT:
            content = {operation.media: {"schema": schemas.of(operation.response)}}
            responses[status]["content"] = content
    for status in operation.problem_statuses:
        content = {MEDIA_TYPE: {"schema": schemas.of(Problem)}}
        responses[status] = {"description": DESCRIPTIONS[status], "content": content}
        if status in (429, 503):
            responses[status]["headers"] = _RETRY_AFTER
    return {str(status): response for status, response in sorted(responses.items())}


def docs_page(document: dict[str, Any]) -> tuple[str, str]:
    """Return the page of a document, and the Content-Security-Policy that allows its style."""
    text = render_docs_page(document)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = hashlib.sha256((style[1] if style else "").encode()).digest()
    source = f"style-src 'sha256-{base64.b64encode(digest).decode()}'"
    return text, f"default-src 'none'; {source}; base-uri 'none'; frame-ancestors 'none'"


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
    sections = [
        Section("Operations", [table]),
        Section("Problems", [_problem_text(code) for code in PROBLEMS]),
        Section("Schemas", [_field_table(name, schema) for name, schema in objects]),
    ]
    lead = [INTRODUCTION, "The OpenAPI document: /api/openapi.json."]
    return render_html(Report("Wavebreak API", lead, sections))


def _problem_text(code: str) -> Text:
    """Describe a kind of problem, at the place that its URI names."""
    problem = PROBLEMS[code]
    text = problem.meaning + (f" Way out: {problem.fixes.api}." if problem.fixes.api else "")
    return Text([text], title=f"{code}: {problem.status} {problem.title}", anchor=code)


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
