"""What a cassette keeps of a request and a response, and when two requests ask the same thing."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any, Protocol, cast

from llmkit.testing.cassettes.secrets import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

_MOST_DIFFERENCES = 5
_ABSENT = object()
_PRIVATE_REQUEST = re.compile(
    r"(?i)cookie|host|connection|user-agent|openai-organization|openai-project|x-stainless-.*"
    r"|.*(?:api-?key|token|secret).*"
)
_PRIVATE_RESPONSE = re.compile(
    r"(?i)set-cookie|openai-organization|openai-project|cf-.*|server|date|connection|keep-alive|via|alt-svc"
)


class RecordedRequest(Protocol):
    """The part of vcrpy's request that is read here."""

    headers: MutableMapping[str, str]

    @property
    def body_bytes(self) -> bytes | None:
        """The whole body."""
        ...


def scrub_request(request: RecordedRequest) -> RecordedRequest:
    """Drop the headers that identify a person or a machine; keep that a key was sent, not which."""
    for name in [name for name in request.headers if _PRIVATE_REQUEST.fullmatch(name)]:
        del request.headers[name]
    if "authorization" in request.headers:
        request.headers["authorization"] = f"Bearer {PLACEHOLDER}"
    return request


def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    """Drop the headers that identify an account or change with every recording."""
    headers: dict[str, list[str]] = response["headers"]
    kept = {name: values for name, values in headers.items() if not _PRIVATE_RESPONSE.fullmatch(name)}
    return {**response, "headers": kept}


def json_body(sent: RecordedRequest, recorded: RecordedRequest) -> None:
    """Match bodies by meaning: JSON whatever its key order, multipart whatever its boundary."""
    found = list(itertools.islice(differences(_meaning(sent), _meaning(recorded)), _MOST_DIFFERENCES + 1))
    if not found:
        return
    names = [*found[:_MOST_DIFFERENCES], *(["…"] if len(found) > _MOST_DIFFERENCES else [])]
    raise AssertionError(", ".join(names))


def body_differences(sent: RecordedRequest, recorded: RecordedRequest) -> int:
    """In how many keys two bodies differ."""
    return sum(1 for _ in differences(_meaning(sent), _meaning(recorded)))


def differences(sent: object, recorded: object, path: str = "") -> Iterator[str]:
    """Name the keys in which two JSON values differ; never their values, which may be private."""
    if sent is _ABSENT:
        yield f"{path} (only in the cassette)"
    elif recorded is _ABSENT:
        yield f"{path} (not in the cassette)"
    elif (ours := _parts(sent)) and (theirs := _parts(recorded)) and type(sent) is type(recorded):
        for key in {**ours, **theirs}:
            yield from differences(ours.get(key, _ABSENT), theirs.get(key, _ABSENT), f"{path}{key}".lstrip("."))
    elif _canonical(sent) != _canonical(recorded):
        yield path or "the whole body"


def _parts(value: object) -> dict[str, object]:
    """The members of an object or a list, each under the end of its path."""
    if isinstance(value, dict):
        return {f".{key}": member for key, member in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return {f"[{index}]": member for index, member in enumerate(cast("list[object]", value))}
    return {}


def _canonical(value: object) -> str | bytes:
    """Equal exactly for equal JSON: in Python `1 == True`, in a request it is not."""
    return value if isinstance(value, bytes) else json.dumps(value, sort_keys=True)


def _meaning(request: RecordedRequest) -> object:
    body = request.body_bytes or b""
    content_type = request.headers.get("content-type", "")
    if boundary := re.search(r'boundary="?([^";]+)', content_type):
        return body.replace(boundary[1].encode(), b"boundary")
    if "json" not in content_type:
        return body
    try:
        return json.loads(body)
    except ValueError:
        return body
