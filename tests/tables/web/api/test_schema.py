"""The OpenAPI document holds against generated requests: no server error, and nothing accepted that it forbids."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema

from agents.alerts.history import AlertRow
from tables.web.api.openapi import document
from tests.faults.processes import Process
from tests.view import HOST

RULES = ("volume", "liquidation")

# A stream does not end by itself; its parameters are read by the same code as the others'.
PATHS = {
    path: item["get"]
    for path, item in document(AlertRow, RULES, (60, 300, 900, 3600))["paths"].items()
    if path != "/api/stream"
}
CASES = [(path, GenerationMode.POSITIVE) for path in PATHS]
CASES += [(path, GenerationMode.NEGATIVE) for path, item in PATHS.items() if item["parameters"]]


@pytest.fixture(scope="session")
def api(worker: Process) -> BaseSchema:
    """Give the document as the worker serves it."""
    return schemathesis.openapi.from_url(f"http://{HOST}:{worker.port}/api/openapi.json")


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_the_document_holds(api: BaseSchema, path: str, mode: GenerationMode) -> None:
    """Whatever the request: an answer as described, and 4xx for what the document does not allow."""

    @given(api[path]["GET"].as_strategy(generation_mode=mode))
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    def holds(case: "Case[Any]") -> None:
        case.call_and_validate()

    holds()
