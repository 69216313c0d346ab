from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseInputFile, ResponseInputImage, ResponseInputText, ResponseOutputText

from llmkit.tools.parts import FilePart, ImagePart, Part, TextPart, written_part

URL = "https://x/a.png"


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ({"type": "text", "text": "a"}, TextPart(text="a")),
        ({"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}, TextPart(text="a")),
        ({"type": "output_text", "text": "a", "annotations": []}, TextPart(text="a")),
        (ResponseInputText(type="input_text", text="a"), TextPart(text="a")),
        (ResponseOutputText(type="output_text", text="a", annotations=[]), TextPart(text="a")),
        ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, ImagePart(url=URL, detail="low")),
        ({"type": "image_url", "image_url": URL}, ImagePart(url=URL)),
        ({"type": "input_image", "image_url": URL, "detail": "high"}, ImagePart(url=URL, detail="high")),
        ({"type": "input_image", "file_id": "f"}, ImagePart(file_id="f")),
        (ResponseInputImage(type="input_image", detail="auto", image_url=URL), ImagePart(url=URL, detail="auto")),
        ({"type": "file", "file": {"file_id": "f"}}, FilePart(file_id="f")),
        ({"type": "input_file", "file_data": "AA", "filename": "a.pdf"}, FilePart(file_data="AA", filename="a.pdf")),
        (ResponseInputFile(type="input_file", file_url=URL), FilePart(file_url=URL)),
        (TextPart(text="a"), TextPart(text="a")),
        (ImagePart(url=URL), ImagePart(url=URL)),
        (FilePart(file_id="f"), FilePart(file_id="f")),
    ],
)
def test_a_part_is_read_in_either_apis_shape(written: object, part: Part) -> None:
    assert written_part(written) == part


class Unhashable:
    def __init__(self) -> None:
        self.type: Any = ["text"]


class Lookalike:
    type = "text"
    text = "a"


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text", "text": "a", "language": "en"},
        {"type": "text", "text": 7},
        {"type": "text"},
        {"type": "image_url", "image_url": {"url": 7}},
        {"type": "image_url", "image_url": {}},
        {"type": "input_image", "image_url": None},
        {"type": "file", "file": {"filename": "a.pdf"}},
        {"type": "file", "file": "a.pdf"},
        {"type": "input_file", "file_id": 7},
        {"type": "city", "name": "Oslo"},
        {"type": ["text"], "text": "a"},
        {7: "type"},
        {},
        "text",
        7,
        None,
        Unhashable(),
        Lookalike(),
    ],
)
def test_data_that_only_looks_like_a_part_is_data(value: object) -> None:
    assert written_part(value) is None
