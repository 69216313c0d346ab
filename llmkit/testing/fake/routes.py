"""The operations of the fake API: which path means what, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from llmkit.testing.fake.batches import StoredBatches
from llmkit.testing.fake.chat import chat_body, chat_events
from llmkit.testing.fake.checks import chat_problem, embeddings_problem, missing_field, responses_problem
from llmkit.testing.fake.completions import completion_body, completion_events
from llmkit.testing.fake.embeddings import embedding_body
from llmkit.testing.fake.models import model_body, models_body
from llmkit.testing.fake.prompt import prompt_tokens
from llmkit.testing.fake.records import ApiError, FakeRequest, JSONObject, Reply, Turn
from llmkit.testing.fake.responses import created_body, response_body, response_events
from llmkit.testing.fake.stored import StoredResponses

_PATH = re.compile(r"(?:.*/v1|.*/openai)?(?:/deployments/(?P<deployment>[^/]+))?(?P<operation>/.+)")
_RESPONSE = re.compile(r"/responses/(?P<id>[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: with `events` it can stream, and takes the queued replies unless it `repeats` what was made."""

    name: str = ""
    method: str = "POST"
    prompt: str = ""
    body: Callable[[Turn], JSONObject | bytes]
    events: Callable[[Turn], Iterable[bytes]] | None = None
    problem: Callable[[JSONObject], ApiError | None] = lambda body: None
    repeats: bool = False

    def takes(self, reply: Reply) -> bool:
        """Whether a queued reply is for this operation; a stream that repeats something can only be dropped."""
        return self.events is not None and (not self.repeats or (reply.is_blank and reply.drop_error is not None))


_OPERATIONS = {
    "/chat/completions": Operation(
        name="chat.completions", prompt="messages", body=chat_body, events=chat_events, problem=chat_problem
    ),
    "/responses": Operation(
        name="responses", prompt="input", body=created_body, events=response_events, problem=responses_problem
    ),
    "/completions": Operation(name="completions", prompt="prompt", body=completion_body, events=completion_events),
    "/embeddings": Operation(name="embeddings", prompt="input", body=embedding_body, problem=embeddings_problem),
    "/models": Operation(method="GET", body=models_body),
}


def resolve(
    request: FakeRequest, *, stored: StoredResponses, batches: StoredBatches, max_prompt_tokens: int | None
) -> tuple[Operation | ApiError, JSONObject]:
    """What a request asks for, or why it cannot have it, and its body with the model an Azure path names."""
    operation, body = _named_by(request, stored, batches)
    if problem := _key_problem(request):
        return problem, body
    if operation is None:
        hint = "queue an answer for it with respond()"
        message = f"FakeOpenAI does not serve {request.method} {request.path}; {hint}"
        return ApiError(status=404, message=message), body
    if isinstance(operation, ApiError):
        return operation, body
    if request.method != operation.method:
        message = f"Not allowed to {request.method} on {request.path}. (HINT: you may need {operation.method}.)"
        return ApiError(status=405, message=message, code="method_not_supported"), body
    if not operation.prompt:
        return operation, body
    problem = _body_problem(request, operation, body) or _size_problem(operation, body, max_prompt_tokens)
    return problem or operation, body


def _named_by(
    request: FakeRequest, stored: StoredResponses, batches: StoredBatches
) -> tuple[Operation | ApiError | None, JSONObject]:
    found = _PATH.fullmatch(request.path)
    if found is None:
        return None, request.body
    path, deployment = found["operation"], found["deployment"]
    if path.startswith("/models/"):
        return Operation(method="GET", body=model_body), {"model": path.removeprefix("/models/")}
    if response := _RESPONSE.fullmatch(path):
        return _retrieval(request, stored, response["id"])
    if made := batches.serve(request, path):
        return (made if isinstance(made, ApiError) else Operation(method=request.method, body=made)), {}
    return _OPERATIONS.get(path), {"model": deployment} | request.body if deployment else request.body


def _retrieval(
    request: FakeRequest, stored: StoredResponses, response_id: str
) -> tuple[Operation | ApiError, JSONObject]:
    """A response that was made before, whole or as a stream of its events after a given one."""
    turn = stored.find(response_id)
    after = request.query.get("starting_after", "-1")
    if turn is None:
        return ApiError(status=404, message=f"Response with id '{response_id}' not found."), {}
    if request.query.get("stream") != "true":
        return Operation(method="GET", body=lambda _: response_body(turn)), {}
    if not (turn.body.get("background") and turn.body.get("stream")):
        message = "Only a response made with background=true and stream=true can be streamed again."
        return ApiError(status=400, message=message, param="stream"), {}
    if not after.removeprefix("-").isdecimal():
        return ApiError(status=400, message=f"starting_after is {after!r}, not an integer.", param="starting_after"), {}

    def events(_: Turn) -> Iterable[bytes]:
        return islice(response_events(turn), max(0, int(after) + 1), None)

    return Operation(method="GET", body=created_body, events=events, repeats=True), {"stream": True}


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
