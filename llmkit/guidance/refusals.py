"""Requests that the API refused for what is in them: 400, 413, 422."""

from __future__ import annotations

import re
from collections.abc import Callable

from llmkit.guidance.explanation import Advice
from llmkit.guidance.failure import Failure
from llmkit.guidance.pairing import Unpaired, unpaired

_PLACE = re.compile(r"(messages|input)\.?\[(\d+)\]")
"""How OpenAI names a message: "messages.[3].role", "input[2]"."""
_DEFAULTS_ONLY = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias", "n"}
)


def _context_length(failure: Failure) -> Advice:
    return Advice(
        "context_length",
        f"The request is longer than the context window of {failure.model or 'the model'}.",
        "Messages, tools, response format and the room for the answer share that window.",
        'Shorten or drop old messages, ask for less output, or use Context(on_overflow="trim"); '
        "llmkit.count_tokens tells the size beforehand.",
    )


def _bad_schema(failure: Failure) -> Advice:
    return Advice(
        "bad_schema",
        f"The API refused the JSON schema{_at(failure.param)}.",
        "Strict mode takes a part of JSON Schema only: each object needs additionalProperties: false and all of its "
        "properties in `required`.",
        "Let @llmkit.tool or `.parse(..., response_format=YourModel)` write the schema, or leave strict mode off.",
    )


def _tool_history(failure: Failure) -> Advice:
    found = unpaired(failure.sent) or _named(failure.param)
    field, index = (found.field, found.place) if found else ("messages", None)
    what = "The tool calls and results of the history do not belong together."
    if found is not None:
        what = f"{field}[{index}] breaks the pairing of tool calls and results."
    if found is not None and found.is_result:
        return Advice(
            "tool_history",
            what,
            "It is the result of a tool call that no message before it makes.",
            "Put the assistant message with that call back in front of it, or remove the result. llmkit.trim_messages "
            "keeps both together.",
        )
    return Advice(
        "tool_history",
        what,
        "An assistant message makes tool calls of which some have no result right after it.",
        "Append one result for each call id, failed calls too, before any other message, or remove the call; "
        "llmkit.run_tools does it by itself.",
    )


def _named(param: str | None) -> Unpaired | None:
    """The message that the API itself names; it names results only."""
    found = _PLACE.match(param or "")
    return Unpaired(found[1], int(found[2]), is_result=True) if found else None


def _unsupported(failure: Failure) -> Advice:
    param, model = failure.param, failure.model or "this model"
    if param == "max_tokens":
        todo = "Send max_completion_tokens instead; it counts the reasoning, too."
    elif param in _DEFAULTS_ONLY:
        todo = f"Leave {param} out: reasoning models take its default only."
    else:
        todo = f"Leave {param or 'it'} out, or ask a model that takes it."
    return Advice(
        "unsupported_parameter",
        f"{model} does not take {param or 'one of the parameters'}, or not this value of it.",
        "Models differ in the parameters they take, reasoning models most of all.",
        todo,
    )


def _unknown(failure: Failure) -> Advice:
    return Advice(
        "unknown_parameter",
        f"{failure.host} does not know the parameter{_quoted(failure.param)}.",
        "It is misspelt, belongs to another endpoint, or is newer than the server.",
        "Correct or remove it. What other servers take beyond OpenAI's parameters goes into extra_body.",
    )


def _empty_messages(failure: Failure) -> Advice:
    return Advice(
        "empty_messages",
        f"The request has nothing in {failure.param or 'messages'}.",
        "A list that a loop or a filter should have filled stayed empty.",
        "Send at least one message.",
    )


def _filtered(_: Failure) -> Advice:
    return Advice(
        "content_filter",
        "The provider's content filter stopped the request.",
        "It looks at prompts, images and answers; on Azure each deployment has a filter of its own.",
        "Reword the prompt; sending it again does not help. On Azure, the deployment's filter can be changed.",
    )


def _too_large(failure: Failure) -> Advice:
    return Advice(
        "too_large",
        f"The request has more bytes than {failure.host} takes.",
        "Images and files inside the JSON grow by a third, and servers and proxies limit the size of a body.",
        "Send images by URL and files by the id of client.files.create, scale images down, or split the request.",
    )


def _unprocessable(failure: Failure) -> Advice:
    return Advice(
        "unprocessable",
        f"{failure.host} cannot make sense of the request{_at(failure.param)}.",
        "The JSON is well formed, but a value has the wrong type, or the server does not know this feature.",
        "Correct that value; with a server that is not OpenAI's, see which parameters it takes.",
    )


def _bad_request(failure: Failure) -> Advice:
    return Advice(
        "bad_request",
        f"The API refused the request{_at(failure.param)} ({failure.label or 'no code'}).",
        "A value is missing, malformed or not allowed; the error's message says which.",
        "Correct the request: sending it again gives the same answer.",
    )


def _at(param: str | None) -> str:
    return f" at {param}" if param else ""


def _quoted(param: str | None) -> str:
    return f" {param}" if param else ""


Reading = Callable[[Failure], Advice]

REFUSALS: tuple[tuple[frozenset[str], tuple[str, ...], Reading], ...] = (
    (
        frozenset({"context_length_exceeded"}),
        ("maximum context length", "context window", "available context size", "prompt is too long"),
        _context_length,
    ),
    (
        frozenset({"invalid_json_schema", "invalid_function_parameters"}),
        ("invalid schema for", "invalid json schema"),
        _bad_schema,
    ),
    (
        frozenset(),
        (
            "must be followed by tool messages",
            "must be a response to a preceding message",
            "no tool output found for",
            "no tool call found for",
        ),
        _tool_history,
    ),
    (
        frozenset({"unsupported_parameter", "unsupported_value"}),
        ("unsupported parameter", "unsupported value"),
        _unsupported,
    ),
    (
        frozenset({"unknown_parameter"}),
        ("unknown parameter", "unrecognized request argument", "extra inputs are not permitted"),
        _unknown,
    ),
    (frozenset({"empty_array"}), (), _empty_messages),
    (
        frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"}),
        ("content management policy",),
        _filtered,
    ),
)
"""Codes (in lower case), pieces of messages, and what both mean; the first that fits counts."""

BY_STATUS: dict[int, Reading] = {400: _bad_request, 413: _too_large, 422: _unprocessable}
