"""Answers to requests for a function that the API does not have."""

from starlette.requests import Request
from starlette.responses import JSONResponse

_CALLS = ("/call/", "/run/", "/api/", "/queue/join")


async def no_such_function(request: Request, error: Exception) -> JSONResponse:
    """404 with a sentence, for Gradio's error about an unknown name or number. Raises other errors again."""
    if not any(part in request.url.path for part in _CALLS):
        raise error
    return JSONResponse({"detail": "The studio's API has no such function. /gradio_api/info lists those it has."}, 404)
