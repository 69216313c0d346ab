from __future__ import annotations

import httpx2
import openai
import pytest
from pydantic import BaseModel, ValidationError

from llmkit.errors import copy_of


class Strict(BaseModel):
    n: int


def test_a_copy_has_all_that_the_error_has_and_shares_no_notes_with_it() -> None:
    response = httpx2.Response(429, request=httpx2.Request("POST", "https://api.test"))
    error = openai.RateLimitError("slow down", response=response, body={"code": "x"})
    error.add_note("wait")
    error.__cause__ = OSError("below")
    copied = copy_of(error)
    assert type(copied) is openai.RateLimitError
    assert copied is not error
    assert vars(copied) == vars(error)
    assert str(copied) == "slow down"
    assert copied.__cause__ is error.__cause__
    copied.add_note("more")
    assert error.__notes__ == ["wait"]


def test_an_error_that_its_class_cannot_make_again_is_handed_out_as_it_is() -> None:
    with pytest.raises(ValidationError) as raised:
        Strict(n="x")  # type: ignore[arg-type]
    assert copy_of(raised.value) is raised.value
