from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from llmkit.batches.parts import Limits, Parts, write_parts

ENDPOINT = "/v1/embeddings"


def write(given: Any, state: Path, **limits: int) -> Parts:
    return write_parts(given, endpoint=ENDPOINT, state=state, limits=Limits(**limits))


def request(text: object, model: str = "m") -> dict[str, object]:
    return {"model": model, "input": text}


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]


@hypothesis.given(
    st.lists(st.tuples(st.sampled_from("xy"), st.integers(1, 4))),
    st.integers(1, 5),
    st.integers(4, 9),
    st.integers(300, 900),
)
def test_every_request_is_in_one_file_of_its_model_within_the_limits(
    wanted: list[tuple[str, int]], requests: int, inputs: int, size: int
) -> None:
    wishes = [request(["a"] * count, model) for model, count in wanted]
    with tempfile.TemporaryDirectory() as folder:
        parts = write(iter(wishes), Path(folder, "job.json"), requests=requests, inputs=inputs, bytes=size)
        lines = []
        for part in parts.files:
            found = [json.loads(line) for line in part.path.read_bytes().splitlines()]
            assert [line["custom_id"] for line in found] == [f"request-{index}" for index in part.indexes]
            assert len({line["body"]["model"] for line in found}) == 1
            assert len(found) <= requests
            assert sum(len(line["body"]["input"]) for line in found) <= inputs
            assert part.path.stat().st_size <= size
            assert part.indexes == sorted(part.indexes)
            lines += found
    assert parts.requests == len(wanted)
    assert sorted(index for part in parts.files for index in part.indexes) == [*range(len(wanted))]


def test_files_are_named_after_the_state_and_for_the_owner_only(tmp_path: Path) -> None:
    parts = write([request("a"), request("b", "n")], tmp_path / "job.json")
    assert [part.path.name for part in parts.files] == ["job.json.part-0.jsonl", "job.json.part-1.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [part.path.name for part in parts.files]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert ids_in(parts.files[1].path) == ["request-1"]


def test_only_the_same_requests_in_the_same_order_have_the_same_fingerprint(tmp_path: Path) -> None:
    one, other = request("a"), request("b")
    first = write([one, other], tmp_path / "job.json").fingerprint
    assert write([one, other], tmp_path / "other.json").fingerprint == first
    assert write([other, one], tmp_path / "job.json").fingerprint != first
    assert write([one], tmp_path / "job.json").fingerprint != first


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"model": "m"}, r"requests\[1\] has no 'input'"),
        (request(["a"] * 50_001), r"requests\[1\] is larger than a batch may be: \d+ bytes and 50001 inputs"),
    ],
)
def test_a_refused_request_leaves_no_file(bad: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write([request("a"), bad], tmp_path / "job.json")
    assert list(tmp_path.iterdir()) == []


def test_a_request_larger_than_a_file_may_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"requests\[0\] is larger"):
        write([request("a" * 1000)], tmp_path / "job.json", bytes=1000)
