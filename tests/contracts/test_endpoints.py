"""What holds for every declared endpoint: who may, what is documented, what is audited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.checks import positive_data_acceptance

from support import service_harness
from support.service_harness import Running
from wavebreak.service.api.openapi import ENDPOINTS, PATHS, Endpoint, document
from wavebreak.service.api.routes import VIEWS
from wavebreak.service.auth import SCOPES

SHAPED = {e.path for e in ENDPOINTS if e.hot} | {"/v1/webhooks"}
BECAUSE = "because a test asks for it"
HOW_MANY = 28
NAMED = {"account": "ann", "webhook": "hook_0", "prefix": "00000000", "decision": "0" * 32}


def path_of(endpoint: Endpoint) -> str:
    path = endpoint.path.format(**NAMED)
    return f"{path}?reason={BECAUSE}" if endpoint.method == "DELETE" else path


@pytest.fixture(scope="module", params=service_harness.DATABASES)
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("service")
    with service_harness.migrated(request.param, made):
        yield made


def test_every_endpoint_is_declared_answered_and_documented_once() -> None:
    assert len(ENDPOINTS) == HOW_MANY
    assert len({e.name for e in ENDPOINTS}) == HOW_MANY
    assert {e.name for e in ENDPOINTS if not e.hot} == set(VIEWS)
    paths = document()["paths"]
    assert set(paths) == set(PATHS)
    documented = {(m.upper(), p) for p, methods in paths.items() for m in methods}
    assert documented == {(e.method, e.path) for e in ENDPOINTS}


def test_whatever_changes_something_is_audited_and_asks_why() -> None:
    changing = [e for e in ENDPOINTS if e.method != "GET" and not e.hot]
    assert len(changing) == 11
    for endpoint in changing:
        assert endpoint.audited
        told = endpoint.body or endpoint.query
        assert "reason" in told.__struct_fields__, endpoint.name
        assert endpoint.scope in ("override", "admin"), endpoint.name


def test_every_schema_of_the_document_is_one() -> None:
    made = document()
    assert made["openapi"] == "3.1.0"
    schemas = made["components"]["schemas"]
    assert len(schemas) > 25
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_no_endpoint_answers_without_a_key_that_has_its_scope(home: Path) -> None:
    async def live() -> int:
        async with service_harness.running(home) as made:
            return sum([await _asked(made, endpoint) for endpoint in ENDPOINTS])

    asked = asyncio.run(live())
    # Each with no key, a wrong one, and one of each scope.
    assert asked == HOW_MANY * (len(SCOPES) + 2)


async def _asked(made: Running, endpoint: Endpoint) -> int:
    keys = {"": "", "wrong": "wb_00000000_" + "0" * 64, **made.keys}
    for scope, key in keys.items():
        if endpoint.name == "follow_decisions" and scope == "read":
            # It would not end; the test of streams shows that it is let in.
            continue
        answer = await made.ask(endpoint.method, path_of(endpoint), key, content=b"")
        may = endpoint.scope is None or scope == endpoint.scope
        refused = 403 if scope in SCOPES else 401
        assert (answer.status_code == refused) is not may, (endpoint.name, scope, answer.text)
        assert may or answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code != 500, (endpoint.name, scope)
    return len(keys)


def test_nothing_is_answered_that_is_not_in_the_document(home: Path) -> None:
    examples: list[int] = []

    async def live() -> None:
        async with service_harness.running(home) as made:
            loop = asyncio.get_running_loop()
            schema = schemathesis.openapi.from_dict(_finite(document()))
            await asyncio.to_thread(_hammer, schema, made, loop, examples)

    asyncio.run(live())
    assert len(examples) >= 90


def _finite(made: dict[str, Any]) -> dict[str, Any]:
    """The document without the stream, which does not end; keys have a test of their own."""
    paths = {
        path: {method: told | {"security": []} for method, told in methods.items()}
        for path, methods in made["paths"].items()
        if path != _STREAM
    }
    return made | {"paths": paths}


_STREAM = "/v1/decisions/stream"


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
