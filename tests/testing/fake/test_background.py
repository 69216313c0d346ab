"""Responses that are stored, retrieved, made in the background and streamed again."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from llmkit.testing import FakeOpenAI
from llmkit.testing.fake.stored import KEPT

TEXT = "Hello there, you."


def texts(events: Any) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_a_response_can_be_retrieved_until_it_is_forgotten(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    made = sdk.responses.create(model="m", input="x")
    assert sdk.responses.retrieve(made.id).to_dict() == made.to_dict()
    for _ in range(KEPT - 1):
        sdk.responses.create(model="m", input="x")
    assert sdk.responses.retrieve(made.id).id == made.id
    sdk.responses.create(model="m", input="x")
    with pytest.raises(openai.NotFoundError, match="Response with id 'resp_fake_1' not found"):
        sdk.responses.retrieve(made.id)


def test_a_streamed_response_can_be_retrieved_whole(sdk: openai.OpenAI) -> None:
    *_, last = sdk.responses.create(model="m", input="x", stream=True)
    assert sdk.responses.retrieve(last.response.id).to_dict() == last.response.to_dict()


def test_what_must_not_be_stored_is_not(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    made = sdk.responses.create(model="m", input="x", store=False)
    fake.drop(TEXT, after=3)
    with pytest.raises(openai.APIConnectionError):
        list(sdk.responses.create(model="m", input="x", stream=True))
    for response_id in (made.id, "resp_fake_2", "resp_other"):
        with pytest.raises(openai.NotFoundError):
            sdk.responses.retrieve(response_id)


def test_a_background_response_is_queued_and_then_finished(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(TEXT)
    queued = sdk.responses.create(model="m", input="x", background=True)
    assert (queued.status, queued.background, queued.output, queued.usage) == ("queued", True, [], None)
    done = sdk.responses.retrieve(queued.id)
    assert (done.status, done.background, done.output_text) == ("completed", True, TEXT)


def test_a_background_stream_says_what_it_is(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(TEXT)
    events = list(sdk.responses.create(model="m", input="x", background=True, stream=True))
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert [event.response.status for event in events[:3]] == ["queued", "queued", "in_progress"]
    assert all(event.response.background for event in [*events[:3], events[-1]])
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("after", [-1, 0, 5, 100])
def test_it_streams_again_from_any_event_on(fake: FakeOpenAI, sdk: openai.OpenAI, after: int) -> None:
    fake.reply(TEXT)
    events = list(sdk.responses.create(model="m", input="x", background=True, stream=True))
    again = list(sdk.responses.retrieve("resp_fake_1", stream=True, starting_after=after))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events[after + 1 :]]


def test_it_streams_again_from_the_start(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply(TEXT)
    list(sdk.responses.create(model="m", input="x", background=True, stream=True))
    assert texts(sdk.responses.retrieve("resp_fake_1", stream=True)) == TEXT


def test_a_drop_breaks_the_first_stream_or_the_one_that_goes_on(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.drop(TEXT, after=6).drop(after=2).reply("Next.")
    with pytest.raises(openai.APIConnectionError):
        list(sdk.responses.create(model="m", input="x", background=True, stream=True))
    second = sdk.responses.retrieve("resp_fake_1", stream=True, starting_after=5)
    assert [next(second).sequence_number, next(second).sequence_number] == [6, 7]
    with pytest.raises(openai.APIConnectionError):
        next(second)
    rest = list(sdk.responses.retrieve("resp_fake_1", stream=True, starting_after=7))
    assert rest[-1].response.output_text == TEXT
    assert sdk.responses.create(model="m", input="x").output_text == "Next."
    assert fake.pending == 0


@pytest.mark.parametrize("planned", [{"text": "Next."}, {"text": "Next.", "after": 1}])
def test_what_has_a_text_waits_for_a_request_that_generates(
    fake: FakeOpenAI, sdk: openai.OpenAI, planned: dict[str, Any]
) -> None:
    fake.reply(TEXT)
    list(sdk.responses.create(model="m", input="x", background=True, stream=True))
    (fake.drop if "after" in planned else fake.reply)(**planned)
    assert texts(sdk.responses.retrieve("resp_fake_1", stream=True)) == TEXT
    assert fake.pending == 1


def test_a_drop_leaves_a_retrieval_without_stream_alone(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    sdk.responses.create(model="m", input="x")
    fake.drop(after=1)
    assert sdk.responses.retrieve("resp_fake_1").output_text == "You said: x"
    assert fake.pending == 1


def test_errors_answer_a_retrieval_like_any_request(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    sdk.responses.create(model="m", input="x")
    fake.error(500)
    with pytest.raises(openai.InternalServerError):
        sdk.responses.retrieve("resp_fake_1")


@pytest.mark.parametrize("options", [{}, {"background": True}, {"stream": True}])
def test_only_a_background_stream_can_be_streamed_again(sdk: openai.OpenAI, options: dict[str, Any]) -> None:
    made = sdk.responses.create(model="m", input="x", **options)
    if "stream" in options:
        list(made)
    with pytest.raises(openai.BadRequestError, match="background=true and stream=true"):
        sdk.responses.retrieve("resp_fake_1", stream=True)


def test_an_event_that_is_no_number_is_refused(sdk: openai.OpenAI) -> None:
    list(sdk.responses.create(model="m", input="x", background=True, stream=True))
    with pytest.raises(openai.BadRequestError, match="starting_after is 'x', not an integer"):
        sdk.responses.retrieve("resp_fake_1", stream=True, extra_query={"starting_after": "x"})


def test_other_methods_on_a_response_are_not_allowed(sdk: openai.OpenAI) -> None:
    made = sdk.responses.create(model="m", input="x")
    with pytest.raises(openai.APIStatusError, match="Not allowed to DELETE"):
        sdk.responses.delete(made.id)
