"""The models that the fake API lists; a call may name any other."""

from __future__ import annotations

from llmkit.testing.fake.records import CREATED, JSONObject, Turn

MODELS = (
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "text-embedding-3-large",
    "text-embedding-3-small",
)


def models_body(turn: Turn) -> JSONObject:
    """The list of models."""
    return {"object": "list", "data": [_model(name) for name in MODELS]}


def model_body(turn: Turn) -> JSONObject:
    """The model that the path names."""
    return _model(turn.body["model"])


def _model(name: str) -> JSONObject:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "openai"}
