"""Compressed request bodies, never larger than allowed and in time that grows with their size alone."""

from __future__ import annotations

import zlib

SMALL = 2048  # bytes: even packed at the best ratio, 1000 to 1, they are inflated in a few milliseconds
MAX_MEMBERS = 2**16  # of one body; each costs a few microseconds however little it holds
FIRST_PIECE, LARGEST_PIECE = 256, 2**20  # bytes given to zlib at a time


class TooLarge(Exception):
    """A body that inflates beyond its bound, or of more members than anybody needs."""


def inflate(body: bytes, largest: int) -> bytes:
    """What gzip packed; empty if it is cut short or broken, which the JSON reader then refuses as the real server's.

    Raises:
        TooLarge: there is more than ``largest`` bytes of it, or it is joined of more than ``MAX_MEMBERS`` files.
    """
    whole, view, start = bytearray(), memoryview(body), 0
    try:
        for _ in range(MAX_MEMBERS):
            start = _inflate_member(view, start, whole, largest)
            if start < 0:
                return b""
            if start == len(view):
                return bytes(whole)
    except zlib.error:
        return b""
    raise TooLarge


def _inflate_member(view: memoryview, start: int, whole: bytearray, largest: int) -> int:
    """Append one of the joined files; returns where the next one begins, or -1 if this one has no end.

    zlib hands back a copy of what lies behind the file's end. Pieces start small and double, so that the copies stay
    in proportion to what was read.
    """
    stream, piece = zlib.decompressobj(31), FIRST_PIECE
    while start < len(view):
        end = min(start + piece, len(view))
        whole += stream.decompress(view[start:end], largest + 1 - len(whole))
        if len(whole) > largest:
            raise TooLarge
        if stream.eof:
            return end - len(stream.unused_data)
        start, piece = end, min(2 * piece, LARGEST_PIECE)
    return -1
