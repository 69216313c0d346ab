"""The JSON of a request, with what is remembered of the messages of an earlier one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from llmkit import _sdk
from llmkit.tokens.prefix import PREFIXES, Prefix

_FIELDS: Final = ("messages", "input")
_PLACE: Final = secrets.token_hex(16)
"""Stands for the messages until they are put in; nobody else can know it."""


def body_json(body: Mapping[str, Any]) -> bytes | None:
    """The JSON of `body` as the SDK writes it; None when nothing of it is known or the SDK has to say what is wrong."""
    try:
        for field in _FIELDS:
            prefix = PREFIXES.grown(body.get(field))
            if prefix is not None:
                return _json(body, field, prefix)
    except (TypeError, ValueError, RecursionError):
        pass
    return None


def _json(body: Mapping[str, Any], field: str, prefix: Prefix) -> bytes | None:
    messages: list[Any] = body[field]
    known = prefix.json(messages)
    if known is None:
        PREFIXES.drop(prefix)
        return None
    rest = _sdk.dumps(messages[len(prefix.messages) :])[1:-1]
    frame = _sdk.dumps({**body, field: _PLACE})
    return frame.replace(f'"{_PLACE}"'.encode(), b"[%b%b%b]" % (known, b"," if rest else b"", rest), 1)


def send_remembered(client: Any, options: _sdk.Options) -> _sdk.Options:
    """`options` with its JSON as bytes, where that saves writing it again; else as it is."""
    body: Any = options.json_data
    content = body_json(body) if options.extra_json is None and not options.files and body.__class__ is dict else None
    if content is None or not _is_json(client, options):
        return options
    return options.model_copy(update={"content": content, "json_data": None})


def _is_json(client: Any, options: _sdk.Options) -> bool:
    """Whether nobody has asked for another content type, such as a form's."""
    headers: dict[str, Any] = {**client.default_headers, **(options.headers or {})}
    return all(value == "application/json" for name, value in headers.items() if name.lower() == "content-type")
