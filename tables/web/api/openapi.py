"""The OpenAPI document of ``/api/``: paths by hand, records from their types."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streams.severities import SEVERITIES
from tables.web.api.handlers import DEFAULT_ALERTS, FORMATS, MAX_ALERTS, SCOPES
from tables.web.api.params import MAX_UNIX_SECONDS, NAME_PATTERN
from tables.web.api.rows import MarketRow, Panes, Spark, WindowRow
from tables.web.cluster.replicas import NOTES
from tables.web.cluster.workers import Workers
from tables.web.stream.handler import Hello
from tables.web.stream.hub import Status

TEXT: Final = {"type": "string"}
REF: Final = "#/components/schemas/{name}"

DESCRIPTION: Final = """Rolling windows, panes and alerts of every market, from any worker.

Read-only. Amounts are USD with six decimals (whole micro-USD), prices are in the quote currency, times are unix seconds
UTC of the trades themselves unless a name says otherwise. Windows end with the newest pane of their market."""


class Problem(msgspec.Struct):
    """What was wrong with a request, or why it cannot be answered now."""

    error: str


def _name(name: str, description: str, *, required: bool = False, example: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": NAME_PATTERN}
    if example is not None:
        schema["examples"] = [example]
    return _parameter(name, description, schema, required=required)


def _integer(name: str, description: str, low: int, high: int) -> dict[str, Any]:
    return _parameter(name, description, {"type": "integer", "minimum": low, "maximum": high})


def _choice(name: str, description: str, choices: Sequence[str]) -> dict[str, Any]:
    return _parameter(name, description, {"type": "string", "enum": list(choices), "default": choices[0]})


def _choices(name: str, description: str, choices: Sequence[str]) -> dict[str, Any]:
    schema = {"type": "array", "items": {"type": "string", "enum": list(choices)}, "minItems": 1}
    return _parameter(name, description, schema) | {"style": "form", "explode": False}


def _parameter(name: str, description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "required": required, "schema": schema}


SCOPE: Final = _choice("scope", "all replicas, or only what the worker that answers serves itself", SCOPES)
FROM: Final = _integer("from", "first moment, unix seconds, inclusive", 0, MAX_UNIX_SECONDS)
TO: Final = _integer("to", "last moment, unix seconds, exclusive", 0, MAX_UNIX_SECONDS)
FORMAT: Final = _choice("format", "csv is a download with the same columns", FORMATS)


def document(alert_type: type[msgspec.Struct], rules: Sequence[str], windows: Sequence[int]) -> dict[str, Any]:
    """Return the document. ``alert_type`` is the record of an alert, ``rules`` names all, in force or not.

    ``windows`` are the lengths of this worker's windows, in seconds.
    """
    records = [WindowRow, Panes, Workers, MarketRow, Spark, Hello, Status, Problem, alert_type]
    _, components = msgspec.json.schema_components(records, ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Liquidation Monitor", "version": "1", "description": DESCRIPTION},
        "paths": {
            "/api/windows": _get(
                "Every market and window",
                [_name("venue", "only this venue"), _name("symbol", "only this symbol", example="BTC/USD"),
                 _parameter("window_seconds", "only windows of this length, or of one that another worker has",
                            {"type": "integer", "enum": list(windows)}), SCOPE],
                {"type": "array", "items": _ref("WindowRow")},
                f"What could not be had is missing from the list, and the header {NOTES} says what and why.",
                headers={NOTES: {"description": "what is missing", "schema": {"type": "string"}}},
            ),
            "/api/panes": _get(
                "The panes of one market",
                [_name("venue", "the venue", required=True), _name("symbol", "the symbol", required=True),
                 FROM, TO, FORMAT, SCOPE],
                _ref("Panes"),
                "Without `from` the panes of the rules' window. Answered by the worker that serves the market.",
                csv=True, missing=True,
            ),
            "/api/alerts": _get(
                "Alerts, newest first",
                [_name("venue", "only this venue"), _name("symbol", "only this symbol"),
                 _name("market", "only markets whose venue or symbol has each of these words, in any case; XBT is BTC"),
                 _choices("rule", "only these rules", rules), _choices("severity", "only these severities", SEVERITIES),
                 FROM, TO, _integer("limit", f"at most so many, {DEFAULT_ALERTS} by default", 1, MAX_ALERTS), FORMAT],
                {"type": "array", "items": _ref(alert_type.__name__)},
                "Each with the window as it was and the state of its delivery.",
                csv=True, unavailable=True,
            ),
            "/api/workers": _get("Workers and producers", [SCOPE], _ref("Workers"), "Who serves what, and how far."),
            "/api/stream": {
                "get": {
                    "summary": "Changes as server-sent events",
                    "description": (
                        "`hello` (Hello) comes first, then `rows` (list of MarketRow), `sparks` (list of Spark), "
                        "`alerts` (list of alerts) and `status` (Status) as they change, `beat` when nothing does. "
                        "A reader that is slow is sent the latest state, not every one."
                    ),
                    "operationId": "stream",
                    "parameters": [SCOPE],
                    "responses": {
                        "200": {"description": "events", "content": {"text/event-stream": {"schema": TEXT}}},
                        **_errors(unavailable=True),
                    },
                }
            },
            "/api/openapi.json": _get("This document", [], {"type": "object"}, "OpenAPI 3.1."),
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "WEB_TOKEN"}},
        },
        "security": [{}, {"token": []}],
    }  # fmt: skip


def _get(
    summary: str,
    parameters: list[dict[str, Any]],
    schema: dict[str, Any],
    description: str,
    *,
    csv: bool = False,
    missing: bool = False,
    unavailable: bool = False,
    headers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if csv:
        content["text/csv"] = {"schema": TEXT}
    answer: dict[str, Any] = {"description": description, "content": content}
    if headers:
        answer["headers"] = headers
    return {
        "get": {
            "summary": summary,
            "description": description,
            "operationId": summary.lower().replace(" ", "_").replace(",", ""),
            "parameters": parameters,
            "responses": {"200": answer, **_errors(missing=missing, unavailable=unavailable or missing)},
        }
    }


def _errors(*, missing: bool = False, unavailable: bool = False) -> dict[str, Any]:
    texts = {"400": "a parameter is wrong", "401": "the token is missing or wrong"}
    if missing:
        texts["404"] = "no such market"
    if unavailable:
        texts["503"] = "what is needed for the answer does not answer now"
    content = {"application/json": {"schema": _ref("Problem")}}
    return {status: {"description": text, "content": content} for status, text in texts.items()}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": REF.format(name=name)}
