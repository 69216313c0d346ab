"""The mistakes in a request's body that the fake API rejects, as the real one does."""

from __future__ import annotations

from typing import Any

from llmkit.testing.fake.records import ApiError, JSONObject, as_list, as_object

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def missing_field(body: JSONObject, names: tuple[str, ...]) -> ApiError | None:
    """The first of `names` that `body` does not give."""
    for name in names:
        if body.get(name) is None:
            message = f"Missing required parameter: '{name}'."
            return _bad(message, param=name, code="missing_required_parameter")
    return None


def chat_problem(body: JSONObject) -> ApiError | None:
    """What is wrong with the messages of a chat request, if anything."""
    messages = as_list(body["messages"])
    if not isinstance(body["messages"], list):
        return _wrong_type("messages", "an array of objects")
    if not messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        return _bad(message, param="messages", code="empty_array")
    return _role_problem(messages) or _tool_problem(messages)


def responses_problem(body: JSONObject) -> ApiError | None:
    """What is wrong with the input of a Responses request, if anything."""
    return None if isinstance(body["input"], str | list) else _wrong_type("input", "a string or an array")


def embeddings_problem(body: JSONObject) -> ApiError | None:
    """What is wrong with the input or the dimensions of an embeddings request, if anything."""
    value, dimensions = body["input"], body.get("dimensions")
    texts = as_list(value)
    if not isinstance(value, str | list):
        return _wrong_type("input", "a string or an array")
    if not value or "" in texts:
        return _bad("'$.input' is invalid: it must not be empty.", param="input")
    if dimensions is not None and (not isinstance(dimensions, int) or dimensions < 1):
        return _bad("'dimensions' must be an integer of at least 1.", param="dimensions", code="invalid_value")
    return None


def _role_problem(messages: list[Any]) -> ApiError | None:
    for index, message in enumerate(messages):
        role = as_object(message).get("role")
        if role not in _ROLES:
            allowed = ", ".join(f"'{name}'" for name in _ROLES)
            text = f"Invalid value: '{role}'. Supported values are: {allowed}."
            return _bad(text, param=f"messages[{index}].role", code="invalid_value")
    return None


def _tool_problem(messages: list[Any]) -> ApiError | None:
    """Every tool call is answered by the tool messages right behind it, and no tool message stands alone."""
    waiting: list[str] = []
    called: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in called:
                return _stray_result(index)
            waiting = [call_id for call_id in waiting if call_id != message["tool_call_id"]]
            continue
        if waiting:
            break
        called = [as_object(call).get("id", "") for call in as_list(message.get("tool_calls"))]
        waiting = called
    return _missing_results(waiting) if waiting else None


def _stray_result(index: int) -> ApiError:
    message = (
        "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
    )
    return _bad(message, param=f"messages.[{index}].role")


def _missing_results(call_ids: list[str]) -> ApiError:
    message = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: "
    )
    return _bad(message + ", ".join(call_ids), param="messages")


def _wrong_type(param: str, expected: str) -> ApiError:
    return _bad(f"Invalid type for '{param}': expected {expected}.", param=param, code="invalid_type")


def _bad(message: str, *, param: str, code: str | None = None) -> ApiError:
    return ApiError(status=400, message=message, param=param, code=code)
