"""What two requests mean, and which headers are kept."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from llmkit.testing.cassettes.bodies import body_differences, json_body, scrub_request, scrub_response


def request(body: object, content_type: str = "application/json") -> Any:
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return SimpleNamespace(headers={"content-type": content_type}, body_bytes=sent)


@pytest.mark.parametrize(
    ("sent", "recorded", "named"),
    [
        ({"a": 1, "seed": 2}, {"a": 1}, "seed (not in the cassette)"),
        ({"a": 1}, {"a": 1, "seed": 2}, "seed (only in the cassette)"),
        ({"m": [{"content": "x"}]}, {"m": [{"content": "y"}]}, "m[0].content"),
        ({"m": [1, 2]}, {"m": [1]}, "m[1] (not in the cassette)"),
        ({"strict": True}, {"strict": 1}, "strict"),
        ({"m": {"0": 1}}, {"m": [1]}, "m"),
        ({"m": {}}, {"m": []}, "m"),
        ([1], [], "the whole body"),
        (b"{", b"}", "the whole body"),
        (b"{", {}, "the whole body"),
        ({str(n): 1 for n in range(7)}, {str(n): 2 for n in range(7)}, "0, 1, 2, 3, 4, …"),
    ],
)
def test_a_difference_is_named_by_its_keys(sent: object, recorded: object, named: str) -> None:
    with pytest.raises(AssertionError) as caught:
        json_body(request(sent), request(recorded))
    assert str(caught.value) == named


def test_equal_meaning_matches() -> None:
    json_body(request(b'{"a":1,"b":[null]}'), request(b'{ "b": [null], "a": 1 }'))
    json_body(request(None, ""), request(b"", "text/plain"))
    json_body(
        request(b"--xyz\r\nfile\r\n--xyz--", "multipart/form-data; boundary=xyz"),
        request(b"--0123\r\nfile\r\n--0123--", 'multipart/form-data; boundary="0123"'),
    )
    with pytest.raises(AssertionError, match="the whole body"):
        json_body(request(b"--x--a", "multipart/form-data; boundary=x"), request(b"--y--b", "m; boundary=y"))


def test_only_harmless_headers_are_kept() -> None:
    sent = {"accept": "*/*", "authorization": "Bearer x", "api-key": "x", "X-Goog-Api-Key": "x", "Cookie": "x"}
    scrubbed = scrub_request(SimpleNamespace(headers=sent, body_bytes=b""))  # type: ignore[arg-type]
    assert scrubbed.headers == {"accept": "*/*", "authorization": "Bearer sk-redacted"}
    assert scrub_request(request({})).headers == {"content-type": "application/json"}
    answered = {"headers": {"Set-Cookie": ["x"], "CF-Ray": ["x"], "Date": ["x"], "retry-after": ["1"]}, "body": {}}
    assert scrub_response(answered) == {"headers": {"retry-after": ["1"]}, "body": {}}


def test_every_key_that_differs_counts() -> None:
    assert body_differences(request({"a": 1, "m": [1, 2]}), request({"a": 2, "m": [1]})) == 2
    assert body_differences(request({"a": 1}), request(b'{ "a": 1 }')) == 0
