"""What an image costs: its size in pixels, read from the file's first bytes, in tiles or patches."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Final

from llmkit.tokens.families import Family, Patches, Tiles

_HEADER_CHARACTERS: Final = (64, 1 << 16, 1 << 24)  # of base64: JPEG puts the size behind its metadata
_JPEG_SIZE_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_tokens(url: object, detail: object, family: Family) -> tuple[int, bool]:
    """Return the tokens of an image given as a URL, and whether its size is known.

    A data URL of a PNG, JPEG, GIF or WebP is measured; any other image counts as the largest one there can be.
    """
    model = family.image or Tiles(85, 170)
    if detail == "low" and isinstance(model, Tiles):
        return model.base, family.image is not None
    size = data_url_size(url) if isinstance(url, str) else None
    if size is None:
        return largest(model), False
    return size_tokens(*size, model), family.image is not None


def size_tokens(width: int, height: int, model: Tiles | Patches) -> int:
    """Return the tokens of an image of `width` times `height` pixels."""
    if isinstance(model, Patches):
        return math.ceil(model.multiplier * _patches(width, height, model.cap)) + 1
    scale = min(1, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    across, down = (math.ceil(round(side * scale, 6) / 512) for side in (width, height))
    return model.base + model.tile * across * down


def largest(model: Tiles | Patches) -> int:
    """Return what the most expensive image costs: 2048 by 768 pixels in tiles, `cap` patches."""
    if isinstance(model, Patches):
        return math.ceil(model.multiplier * model.cap) + 1
    return model.base + 8 * model.tile


def _patches(width: int, height: int, cap: int) -> int:
    """The squares of an image, shrunk to `cap` if it has more; the documentation's formula."""
    count = math.ceil(width / 32) * math.ceil(height / 32)
    if count <= cap:
        return count
    shrink = math.sqrt(32 * 32 * cap / (width * height))
    across, down = width * shrink / 32, height * shrink / 32
    shrink *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down)
    return min(cap, math.ceil(round(width * shrink / 32, 6)) * math.ceil(round(height * shrink / 32, 6)))


def data_url_size(url: str) -> tuple[int, int] | None:
    """Return the width and height of the image in a base64 data URL, or None if it cannot be told."""
    head, found, _ = url[:256].partition(";base64,")
    if not found or not head.startswith("data:"):
        return None
    start = len(head) + len(found)
    for characters in _HEADER_CHARACTERS:
        try:
            size = _size(base64.b64decode(url[start : start + characters].rstrip("=") + "=="))
        except (binascii.Error, ValueError, struct.error, IndexError):
            continue
        return size if size is not None and min(size) > 0 else None
    return None


def _size(data: bytes) -> tuple[int, int] | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data.startswith((b"GIF87a", b"GIF89a")):
        width, height = struct.unpack("<HH", data[6:10])
        return width, height
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while data[at + 1] not in _JPEG_SIZE_MARKERS:
        at += 1 if data[at + 1] == 0xFF else 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    height, width = struct.unpack(">HH", data[at + 5 : at + 9])
    return width, height


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
