"""What the head of a compressed image says of its size, before a decoder is trusted with it."""

from __future__ import annotations

from dataclasses import dataclass

JPEG_START = b"\xff\xd8"
JPEG_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
"""Markers of frame headers: JPEG (ITU-T T.81, table B.1) and JPEG-LS (T.87, C.1.1)."""
STANDALONE = (0x01, *range(0xD0, 0xD8))
"""Markers without a length (ITU-T T.81, table B.1)."""
JPEG_2000_START = b"\xff\x4f\xff\x51"
"""Start of codestream, and the size marker that must follow at once (ITU-T T.800, A.4.1 and A.5.1)."""


@dataclass(frozen=True)
class StreamHead:
    """Height, width, samples a pixel, and bits a sample of a compressed image."""

    height: int
    width: int
    samples: int
    bits: int


def read_head(stream: bytes) -> StreamHead | None:
    """Size of a JPEG, JPEG-LS or JPEG 2000 stream; None where it has no such head."""
    if stream.startswith(JPEG_START):
        return _jpeg_head(stream)
    if stream.startswith(JPEG_2000_START) and len(stream) >= 44:
        right, bottom, left, top = (int.from_bytes(stream[start : start + 4]) for start in (8, 12, 16, 20))
        samples = int.from_bytes(stream[40:42])
        return StreamHead(bottom - top, right - left, samples, (stream[42] & 0x7F) + 1)
    return None


def _jpeg_head(stream: bytes) -> StreamHead | None:
    """Walk from marker to marker up to the frame header."""
    place = 2
    while place + 10 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker in JPEG_FRAMES:
            height, width = (int.from_bytes(stream[start : start + 2]) for start in (place + 5, place + 7))
            return StreamHead(height, width, stream[place + 9], stream[place + 4])
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in STANDALONE:
            place += 2
        else:
            place += 2 + int.from_bytes(stream[place + 2 : place + 4])
    return None
