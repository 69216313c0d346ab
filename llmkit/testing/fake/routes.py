"""The operations of the fake API: which path means what, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from llmkit.testing.fake.chat import chat_body, chat_events
from llmkit.testing.fake.checks import chat_problem, embeddings_problem, missing_field, responses_problem
from llmkit.testing.fake.completions import completion_body, completion_events
from llmkit.testing.fake.embeddings import embedding_body
from llmkit.testing.fake.models import model_body, models_body
from llmkit.testing.fake.prompt import prompt_tokens
from llmkit.testing.fake.records import ApiError, FakeRequest, JSONObject, Turn
from llmkit.testing.fake.responses import response_body, response_events

_PATH = re.compile(r"(?:.*/v1|.*/openai)?(?:/deployments/(?P<deployment>[^/]+))?(?P<operation>/.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: `events` says that it generates text, and takes the queued replies."""

    name: str = ""
    method: str = "POST"
    prompt: str = ""
    body: Callable[[Turn], JSONObject]
    events: Callable[[Turn], Iterable[bytes]] | None = None
    problem: Callable[[JSONObject], ApiError | None] = lambda body: None


_OPERATIONS = {
    "/chat/completions": Operation(
        name="chat.completions", prompt="messages", body=chat_body, events=chat_events, problem=chat_problem
    ),
    "/responses": Operation(
        name="responses", prompt="input", body=response_body, events=response_events, problem=responses_problem
    ),
    "/completions": Operation(name="completions", prompt="prompt", body=completion_body, events=completion_events),
    "/embeddings": Operation(name="embeddings", prompt="input", body=embedding_body, problem=embeddings_problem),
    "/models": Operation(method="GET", body=models_body),
}


def resolve(request: FakeRequest, *, max_prompt_tokens: int | None) -> tuple[Operation | ApiError, JSONObject]:
    """What a request asks for, or why it cannot have it, and its body with the model an Azure path names."""
    operation, body = _named_by(request)
    if problem := _key_problem(request):
        return problem, body
    if operation is None:
        hint = "queue an answer for it with respond()"
        message = f"FakeOpenAI does not serve {request.method} {request.path}; {hint}"
        return ApiError(status=404, message=message), body
    if request.method != operation.method:
        message = f"Not allowed to {request.method} on {request.path}. (HINT: you may need {operation.method}.)"
        return ApiError(status=405, message=message, code="method_not_supported"), body
    if operation.method == "GET":
        return operation, body
    problem = _body_problem(request, operation, body) or _size_problem(operation, body, max_prompt_tokens)
    return problem or operation, body


def _named_by(request: FakeRequest) -> tuple[Operation | None, JSONObject]:
    found = _PATH.fullmatch(request.path)
    if found is None:
        return None, request.body
    path, deployment = found["operation"], found["deployment"]
    if path.startswith("/models/"):
        return Operation(method="GET", body=model_body), {"model": path.removeprefix("/models/")}
    return _OPERATIONS.get(path), {"model": deployment} | request.body if deployment else request.body


def _key_problem(request: FakeRequest) -> ApiError | None:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer").strip()
    if bearer or request.headers.get("api-key", "").strip():
        return None
    message = "You didn't provide an API key. Send it in an Authorization header: 'Bearer YOUR_KEY'."
    return ApiError(status=401, message=message, code="invalid_api_key")


def _body_problem(request: FakeRequest, operation: Operation, body: JSONObject) -> ApiError | None:
    if request.content and not _is_json_object(request.content):
        return ApiError(status=400, message="We could not parse the JSON body of your request.")
    return missing_field(body, ("model", operation.prompt)) or operation.problem(body)


def _is_json_object(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def _size_problem(operation: Operation, body: JSONObject, limit: int | None) -> ApiError | None:
    if limit is None or (tokens := prompt_tokens(body, operation.name)) <= limit:
        return None
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
        f"{tokens} tokens. Please reduce the length of the messages."
    )
    return ApiError(status=400, message=message, param=operation.prompt, code="context_length_exceeded")
