from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.runtime import ASYNC, SYNC, AsyncRuntime, Runtime
from llmkit.testing import virtual_time
from llmkit.tokens import count_text
from llmkit.tools import caps
from llmkit.tools.caps import capped
from llmkit.tools.parts import ImagePart, Part, TextPart

IMAGE = ImagePart(url="data:image/png;base64,AAAA")


def texts(*texts: str) -> tuple[Part, ...]:
    return tuple(TextPart(text=text) for text in texts)


def tokens(parts: tuple[Part, ...]) -> int:
    return sum(count_text(part.text, model="gpt-4o") for part in parts if isinstance(part, TextPart))


class Never(AsyncRuntime):
    async def run_blocking(self, work: Any) -> Any:
        raise AssertionError("nothing is to be counted here")


@pytest.mark.parametrize(
    "parts", [texts("a" * 100), texts("ø" * 50), texts("a" * 50, "b" * 50), (IMAGE, *texts("a")), (IMAGE,), texts("")]
)
async def test_what_surely_fits_is_not_counted(parts: tuple[Part, ...]) -> None:
    assert await capped(parts, 100, Never()) == (parts, False)


async def test_what_fits_only_when_counted_comes_back_whole() -> None:
    parts = texts("hello world " * 40)
    assert await capped(parts, 100, ASYNC) == (parts, False)
    parts = (*texts("hello world " * 20), IMAGE, *texts("ø" * 40))
    assert await capped(parts, 100, ASYNC) == (parts, False)


async def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    [part], truncated = await capped(texts("first " + "middle " * 1_000 + "last"), 100, ASYNC)
    assert truncated
    assert isinstance(part, TextPart)
    assert part.text.startswith("first ")
    assert part.text.endswith(" last")
    assert "tokens cut" in part.text
    assert 60 < tokens((part,)) <= 100


async def test_of_several_texts_the_first_stay_whole_and_images_stay_all() -> None:
    long = "word " * 300
    parts, truncated = await capped((*texts("first", long, long), IMAGE, *texts(long)), 200, ASYNC)
    assert truncated
    assert parts[0] == TextPart(text="first")
    assert isinstance(parts[1], TextPart)
    assert "tokens cut" in parts[1].text
    assert parts[2:] == (IMAGE, TextPart(text="[... 2 more cut ...]"))
    assert tokens(parts) <= 200


async def test_halves_of_surrogate_pairs_are_replaced_and_pairs_joined() -> None:
    assert await capped(texts("a\ud83d\ude00b\ud800c"), 100, ASYNC) == (texts("a😀b\ufffdc"), False)
    assert await capped((IMAGE, *texts("ø")), 100, ASYNC) == ((IMAGE, *texts("ø")), False)


@pytest.mark.parametrize(
    "text", ["a" * 5_000_000, "word " * 1_000_000, " " * 5_000_000, "7" * 5_000_000, "ø😀" * 2_000_000]
)
async def test_texts_of_many_megabytes_are_not_counted_whole(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = list[int]()

    def count(text: str, *, model: str) -> int:
        counted.append(len(text))
        return count_text(text, model=model)

    monkeypatch.setattr(caps, "count_text", count)
    parts, truncated = await capped(texts(text), 1_000, ASYNC)
    assert truncated
    assert tokens(parts) <= 1_000
    assert max(counted) < 21_000
    assert sum(counted) < 300_000


async def test_cutting_is_work_for_the_runtime() -> None:
    with virtual_time() as clock:
        parts, truncated = await capped(texts("word " * 100), 50, clock)
    assert truncated
    assert tokens(parts) <= 50


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=300) | st.just("word " * 80), min_size=1, max_size=6),
    st.integers(64, 300),
)
def test_no_result_is_longer_than_its_cap(given: list[str], cap: int) -> None:
    runtime: Runtime = SYNC
    coroutine = capped(texts(*given), cap, runtime)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    parts, truncated = stopped.value.value
    assert tokens(parts) <= cap
    assert truncated == (sum(count_text(text, model="gpt-4o") for text in given) > cap)
