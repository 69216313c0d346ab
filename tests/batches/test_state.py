from __future__ import annotations

from pathlib import Path

import pytest

from llmkit.batches.state import JobState, PartState, check_same_job, load_state, save_state


def state(fingerprint: str = "f") -> JobState:
    parts = [PartState(file_id="file-1", asked=True), PartState()]
    return JobState(fingerprint=fingerprint, endpoint="/v1/responses", requests=2, parts=parts)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    saved = state()
    save_state(tmp_path / "job.json", saved)
    assert load_state(tmp_path / "job.json") == saved
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_each_job_and_each_part_has_a_tag_of_its_own() -> None:
    one, other = state(), state()
    assert len({one.tag(0), one.tag(1), other.tag(0), other.tag(1)}) == 4
    assert len(one.tag(100)) < 512


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert load_state(tmp_path / "job.json") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "parts": [], "x": 1}', "7"])
def test_another_file_is_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"notes.txt' is not the state of a batch job; give another path"):
        load_state(path)
    assert path.read_text() == text


def test_other_requests_are_another_job() -> None:
    check_same_job(state("f"), state("f"), Path("job.json"))
    with pytest.raises(ValueError, match=r"state='job.json' belongs to another job \(2 requests to /v1/responses\)"):
        check_same_job(state("f"), state("g"), Path("job.json"))
