"""Embeddings of the fake API: hashed character trigrams, so that similar texts get near vectors."""

from __future__ import annotations

import math
from array import array
from base64 import b64encode
from collections import Counter
from hashlib import blake2b
from typing import Any

from llmkit.testing.fake.records import JSONObject, Turn, as_list

_WIDTHS = {"text-embedding-3-large": 3072}
"""Dimensions of models that do not have the usual 1536."""


def embedding_body(turn: Turn) -> JSONObject:
    """One unit vector for each input, and the tokens of all inputs."""
    texts = _inputs(turn.body["input"])
    width = turn.body.get("dimensions") or _WIDTHS.get(turn.body["model"], 1536)
    as_base64 = turn.body.get("encoding_format") == "base64"
    data: list[JSONObject] = [
        {"object": "embedding", "index": index, "embedding": _encoded(embed(text, width), as_base64=as_base64)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": turn.prompt_tokens, "total_tokens": turn.prompt_tokens}
    return {"object": "list", "data": data, "model": turn.model, "usage": usage}


def embed(text: str, width: int) -> array[float]:
    """The unit vector of `text`: how often each trigram occurs, hashed into `width` places."""
    padded = f"  {' '.join(text.casefold().split())} "
    grams = Counter(padded[start : start + 3] for start in range(len(padded) - 2))
    vector = [0.0] * width
    for gram, count in grams.items():
        digest = blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        vector[int.from_bytes(digest, "big") % width] += count
    length = math.hypot(*vector)
    return array("f", (value / length for value in vector))


def _inputs(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = as_list(value)
    if isinstance(items[0], int):
        return [_from_token_ids(items)]
    return [item if isinstance(item, str) else _from_token_ids(item) for item in items]


def _from_token_ids(ids: list[Any]) -> str:
    return " ".join(str(token) for token in ids)


def _encoded(vector: array[float], *, as_base64: bool) -> str | list[float]:
    return b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist()
