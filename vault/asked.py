"""What a request asks for: its JSON body, read once it is known who asks, and held against its schema."""

from typing import Any, Final, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from vault.problems import MEDIA_TYPE, invalid, problem_response

JSON: Final = "application/json"
_COMPONENT: Final = "#/components/schemas/{model}"
Asked = TypeVar("Asked", bound=BaseModel)


def media_type(request: Request) -> str:
    """The media type of a request's body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_asked(request: Request, schema: type[Asked]) -> Asked | Response:
    """The body of a request, or the problem it is answered with."""
    if media_type(request) != JSON:
        return problem_response(MEDIA_TYPE, "Send application/json.")
    try:
        return schema.model_validate_json(await request.body())
    except ValidationError as error:
        return invalid([(fault["loc"], fault["type"]) for fault in error.errors(include_input=False)])


def described(schema: type[BaseModel]) -> dict[str, Any]:
    """The same body as OpenAPI describes it: FastAPI does not see what a route reads by itself."""
    content = {JSON: {"schema": schema.model_json_schema(ref_template=_COMPONENT)}}
    return {"requestBody": {"required": True, "content": content}}
