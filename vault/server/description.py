"""The OpenAPI document, where FastAPI's own would say something else than the application does."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from vault import schemas
from vault.inspection import schemas as inspection_schemas
from vault.registers import schemas as registers_schemas
from vault.schemas import ProblemOut
from vault.server.desk import schemas as desk_schemas
from vault.server.portal import schemas as own_schemas

_COMPONENTS = "#/components/schemas/"
_PROBLEM = "application/problem+json"
_DPOP = {
    "type": "http",
    "scheme": "DPoP",
    "description": "A DPoP-bound access token, and a fresh proof in the DPoP header.",
}


def describe(app: FastAPI) -> None:
    """Has the document name every security scheme, problem and schema as the routes answer them."""
    generate = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _mend(document)
            _restore_examples(document["components"]["schemas"])
        return generate()

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way


def _mend(document: dict[str, Any]) -> None:
    components = document["components"]
    components.setdefault("securitySchemes", {})["dpop"] = _DPOP
    problem = ProblemOut.model_json_schema(ref_template=_COMPONENTS + "{model}")
    components["schemas"].update(problem.pop("$defs"), ProblemOut=problem)
    for operation in _operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            # A reference is resolved against the whole document, never against the schema it stands in.
            components["schemas"].update(content["schema"].pop("$defs", {}))
        responses = operation["responses"]
        if "HTTPValidationError" in str(responses.get("422")):
            del responses["422"]
            responses.setdefault("400", {"description": "The request is not well formed", "content": {}})
            responses["400"]["content"] = {_PROBLEM: {}}
        for response in responses.values():
            if _PROBLEM in response.get("content", {}):
                response["content"] = {_PROBLEM: {"schema": {"$ref": f"{_COMPONENTS}ProblemOut"}}}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)


def _restore_examples(described: dict[str, Any]) -> None:
    """FastAPI takes null members out of examples, which then lack what their schema requires."""
    rooms = (schemas, own_schemas, inspection_schemas, desk_schemas, registers_schemas)
    described_by = {name: model for room in rooms for name, model in vars(room).items()}
    for name, model in described_by.items():
        if name in described and isinstance(model, type) and issubclass(model, BaseModel):
            extra = model.model_config.get("json_schema_extra")
            if isinstance(extra, dict):
                described[name].update(extra)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from item.values()
