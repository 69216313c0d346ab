from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.tokens.families import Patches, Tiles, family_of
from llmkit.tokens.images import data_url_size, image_tokens, largest, size_tokens

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480)
GIF = b"GIF89a" + struct.pack("<HH", 640, 480) + b"\0" * 8
FRAME = b"\xff\xc2\0\x11\x08" + struct.pack(">HH", 480, 640)
JPEG = b"\xff\xd8\xff\xe0\0\x10" + b"JFIF".ljust(14, b"\0") + b"\xff" + FRAME
BIG_JPEG = b"\xff\xd8" + (b"\xff\xe1\xff\xff" + b"x" * 65533) * 2 + FRAME
WEBP = b"RIFF\0\0\0\0WEBP"
VP8X = WEBP + b"VP8X".ljust(12, b"\0") + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")
VP8L = WEBP + b"VP8L\0\0\0\0\x2f" + (639 | 479 << 14).to_bytes(4, "little")
VP8 = WEBP + b"VP8 ".ljust(14, b"\0") + struct.pack("<HH", 640, 480)


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("data", [PNG, GIF, JPEG, BIG_JPEG, VP8X, VP8L, VP8])
def test_the_size_is_read_from_the_files_first_bytes(data: bytes) -> None:
    assert data_url_size(url(data)) == (640, 480)
    assert data_url_size(url(data).rstrip("=")) == (640, 480)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://example.com/a.png",
        "data:image/png,abc",
        "image;base64,abcd",
        "data:image/png;base64,!",
        "data:image/png;base64,é",
        url(b"not an image"),
        url(PNG[:20]),
        url(JPEG[:20]),
        url(b"\xff\xd8\xff"),
        url(WEBP + b"ALPH" + b"\0" * 20),
        url(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(8)),
    ],
)
def test_what_cannot_be_measured_counts_as_the_largest(address: str) -> None:
    assert data_url_size(address) is None
    assert image_tokens(address, None, family_of("gpt-4o")) == (85 + 8 * 170, False)


@given(st.binary(max_size=200), st.sampled_from([b"", PNG[:16], b"\xff\xd8", WEBP, b"GIF89a"]))
def test_nonsense_never_crashes(data: bytes, start: bytes) -> None:
    size = data_url_size(url(start + data))
    assert size is None or min(size) > 0


@pytest.mark.parametrize(
    ("size", "model", "tokens"),
    [
        ((640, 480), Tiles(85, 170), 85 + 2 * 170),
        ((1024, 1024), Tiles(85, 170), 85 + 4 * 170),
        ((4096, 8192), Tiles(85, 170), 85 + 6 * 170),
        ((1, 1), Tiles(2833, 5667), 2833 + 5667),
        ((640, 480), Patches(1.2), 361),
        ((1024, 1024), Patches(1.62), 1660),
        ((1800, 2400), Patches(1.0), 1453),
        ((10_000, 1), Patches(1.2), 377),
        ((100_000, 100), Patches(1.0), 1001),
    ],
)
def test_a_size_becomes_tiles_or_patches(size: tuple[int, int], model: Tiles | Patches, tokens: int) -> None:
    assert size_tokens(*size, model) == tokens


@given(
    st.integers(1, 60_000), st.integers(1, 60_000), st.sampled_from([Tiles(85, 170), Patches(1.62), Patches(1.2, 2500)])
)
def test_no_size_costs_more_than_the_largest(width: int, height: int, model: Tiles | Patches) -> None:
    assert 0 < size_tokens(width, height, model) <= largest(model)


def test_low_detail_costs_the_base_and_a_model_without_images_is_a_guess() -> None:
    assert image_tokens("https://example.com/a.png", "low", family_of("gpt-4o")) == (85, True)
    assert image_tokens(url(PNG), "low", family_of("gpt-5-mini")) == (361, True)
    assert image_tokens(url(PNG), None, family_of("o3-mini")) == (85 + 2 * 170, False)
    assert image_tokens(None, None, family_of("gpt-5-nano")) == (2305, False)
