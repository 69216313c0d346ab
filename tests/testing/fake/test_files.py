"""Uploads and what becomes of them."""

from __future__ import annotations

import openai
import pytest


def test_a_file_is_kept_byte_by_byte_until_it_is_deleted(sdk: openai.OpenAI) -> None:
    content = bytes(range(256)) * 3 + b"\r\n--x\r\n\r\n"
    file = sdk.files.create(file=("data.bin", content), purpose="batch")
    assert (file.filename, file.bytes, file.purpose) == ("data.bin", len(content), "batch")
    assert sdk.files.content(file.id).content == content
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        sdk.files.content(file.id)


def test_an_upload_that_is_no_form_is_an_empty_file(sdk: openai.OpenAI) -> None:
    assert sdk.post("/files", cast_to=object, body={})["bytes"] == 0  # type: ignore[index]
