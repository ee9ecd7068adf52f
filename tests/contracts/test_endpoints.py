"""Every operation of the API: its scope, its documentation and its audit entry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.checks import positive_data_acceptance

from support import service_harness
from support.service_harness import Running
from wavebreak_server.http.auth import SCOPES
from wavebreak_server.http.ingest_app import HOT_PATHS
from wavebreak_server.slices.routes import document

SHAPED = HOT_PATHS | {
    "/v1/webhooks",
    "/v1/labels",
    "/v1/accounts/{account}/override",
    "/v1/decisions/{decision}/statement",
    "/v1/business/decide",
    "/v1/business/events",
    "/v1/business/{portfolio}",
    "/v1/business/{portfolio}/appeal",
    "/v1/business/{portfolio}/consents",
    "/v1/business/{portfolio}/standing",
}
REASON = "because a test asks for it"
OPERATION_COUNT = 61
ARGUMENTS = {"account": "ann", "webhook": "hook_0", "prefix": "00000000", "decision": "0" * 32,
             "operator": "op-000000000000", "appeal": "1", "name": "matrix",
             "server": "home.example", "callback": "ping", "portfolio": "shop",
             "template": "sale"}  # fmt: skip


class Operation(NamedTuple):
    """An operation of the OpenAPI document."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.described["operationId"])

    @property
    def scopes(self) -> set[str]:
        """The scopes of which a key needs one; empty if no key is needed."""
        return {str(one["key"][0]) for one in self.described["security"]}

    @property
    def url(self) -> str:
        path = self.path.format(**ARGUMENTS)
        return f"{path}?reason={REASON}" if self.method == "DELETE" else path


OPERATIONS = [
    Operation(method.upper(), path, described)
    for path, methods in document()["paths"].items()
    for method, described in methods.items()
]


@pytest.fixture(scope="module", params=service_harness.DATABASES)
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("service")
    with service_harness.migrated(request.param, made):
        yield made


def test_document_describes_each_operation_once() -> None:
    assert len(OPERATIONS) == OPERATION_COUNT
    assert len({operation.name for operation in OPERATIONS}) == OPERATION_COUNT
    assert {o.path for o in OPERATIONS} >= HOT_PATHS


def test_changing_operations_need_a_reason_and_a_scope() -> None:
    reading = HOT_PATHS | {
        "/v1/states/query",
        "/v1/business/{portfolio}/consents/query",
        *_OF_PEOPLE,
    }
    changing = [o for o in OPERATIONS if o.method != "GET" and o.path not in reading]
    assert len(changing) == 24
    schemas = document()["components"]["schemas"]
    for operation in changing:
        query = {p["name"] for p in operation.described["parameters"] if p.get("required")}
        body = operation.described.get("requestBody", {}).get("content", {})
        reference = body.get("application/json", {}).get("schema", {}).get("$ref", "")
        schema = schemas.get(reference.rsplit("/", 1)[-1], {})
        if operation.path in _DECLARATIONS:
            # An adapter declares itself with the key that sends its events; a reason may be given.
            assert "reason" in schema["properties"]
            continue
        assert "reason" in {*query, *schema.get("required", ())}, operation.name
        assert operation.scopes < {"override", "admin", "business"}, operation.name


def test_every_schema_is_valid_json_schema() -> None:
    made = document()
    assert made["openapi"] == "3.1.0"
    schemas = made["components"]["schemas"]
    assert len(schemas) > 25
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_operation_without_a_key_of_its_scope_is_refused(home: Path) -> None:
    async def live() -> int:
        async with service_harness.running(home) as made:
            return sum([await _request_with_each_key(made, operation) for operation in OPERATIONS])

    asked = asyncio.run(live())
    # Each with no key, a wrong one, and one of each scope.
    assert asked == OPERATION_COUNT * (len(SCOPES) + 2)


async def _request_with_each_key(made: Running, operation: Operation) -> int:
    keys = {"": "", "wrong": "wb_00000000_" + "0" * 64, **made.keys}
    for scope, key in keys.items():
        if operation.path in _STREAMS and scope in operation.scopes:
            # It would not end; the test of streams shows that it is let in.
            continue
        answer = await made.ask(operation.method, operation.url, key, content=b"")
        may = not operation.scopes or scope in operation.scopes
        refused = 403 if scope in SCOPES else 401
        assert (answer.status_code == refused) is not may, (operation.name, scope, answer.text)
        assert may or answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code != 500, (operation.name, scope)
    return len(keys)


def test_generated_requests_get_documented_responses(home: Path) -> None:
    examples: list[int] = []

    async def live() -> None:
        async with service_harness.running(home) as made:
            loop = asyncio.get_running_loop()
            schema = schemathesis.openapi.from_dict(_finite(document()))
            await asyncio.to_thread(_hammer, schema, made, loop, examples)

    asyncio.run(live())
    assert len(examples) >= 90


def _finite(made: dict[str, Any]) -> dict[str, Any]:
    """The document without streams, which do not end; keys have a test of their own."""
    paths = {
        path: {method: told | {"security": []} for method, told in methods.items()}
        for path, methods in made["paths"].items()
        if path not in _STREAMS
    }
    return made | {"paths": paths}


_OF_PEOPLE = {
    "/v1/business/decide", "/v1/business/events", "/v1/business/{portfolio}/consents",
}  # fmt: skip
"""What people and businesses do, as events are: no change by an administrator."""
_DECLARATIONS = {"/v1/sources", "/v1/sources/self"}
_STREAMS = {"/v1/decisions/stream", "/v1/states/stream"}


def _hammer(
    schema: Any, made: Running, loop: asyncio.AbstractEventLoop, examples: list[int]
) -> None:
    """Ask what the document says that can be asked, and some that it does not."""
    for found in schema.get_all_operations():
        operation = found.ok()
        _each(operation.as_strategy(), made, loop, examples)
        told = operation.definition.raw
        # Of a path that takes any text nothing is wrong.
        if "requestBody" in told or any(p["in"] == "query" for p in told["parameters"]):
            negative = schemathesis.GenerationMode.NEGATIVE
            _each(operation.as_strategy(generation_mode=negative), made, loop, examples)


def _each(
    strategy: Any, made: Running, loop: asyncio.AbstractEventLoop, examples: list[int]
) -> None:
    @settings(
        max_examples=4,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(case: Any) -> None:
        told = case.as_transport_kwargs(base_url="http://service")
        wire = requests.Request(**told).prepare()
        headers = {k: v for k, v in wire.headers.items() if k.lower() != "content-length"}
        asked = made.ask(str(wire.method), str(wire.url), content=wire.body or b"", headers=headers)
        answer = asyncio.run_coroutine_threadsafe(asked, loop).result(60)
        examples.append(answer.status_code)
        # A number, an address, a URL may be of the declared shape and yet be none.
        lenient = [positive_data_acceptance] if case.path in SHAPED else []
        case.validate_response(answer, excluded_checks=lenient)

    one()
