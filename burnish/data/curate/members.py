"""A gzip file of several members (parts that were packed by themselves), read past members that are damaged.

    member 1 | member 2, damaged | member 3          lines of 1, the beginning of 2, lines of 3

Whoever reads gets the bytes in order. Where a member breaks (its form is wrong, its checksum is, the file ends in it),
`DamagedMember` is raised; what was read of it up to there stands, and `resync` goes on at the next place that has the
form of a header and the first `_PROVED` bytes of which can be unpacked. A damaged member may unpack to nonsense beyond
its own end before that is noticed, so the search begins directly behind its own header.

Most gzip files have one member: for them nothing changes. After `_MOST` damaged places the rest is given up, so that a
hostile file costs bounded time.
"""

from __future__ import annotations

import contextlib
import io
import zlib
from pathlib import Path
from typing import IO

_MAGIC = b"\x1f\x8b\x08"
_RESERVED = 0xE0  # of the byte of flags: always 0 (RFC 1952, 2.3.1.2)
_BLOCK = 32768
_PROVED = 16384
"""Bytes of the file after a header that are unpacked before it is believed."""

_MOST = 1000
_WINDOW = 31  # of zlib: the largest, with gzip's header and checksum


class DamagedMember(OSError):
    """A member cannot be read to its end.

    Attributes:
        start: where it begins in the file, in bytes.
    """

    def __init__(self, start: int, cause: str) -> None:
        super().__init__(f"the gzip member at byte {start} is damaged: {cause}")
        self.start = start


class GzipMembers(io.RawIOBase):
    """The unpacked bytes of all members.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("rb")
        self._start = 0
        self._left = _MOST
        self._waiting = b""
        self._broken = ""
        self._unpacker = zlib.decompressobj(_WINDOW)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Unpack some bytes; 0 at the end of the file.

        Raises:
            DamagedMember: the member breaks here; `resync` goes on behind it.
        """
        if self._broken:
            raise DamagedMember(self._start, self._broken)
        while True:
            if self._unpacker.eof and not self._next_member():
                return 0
            if not self._waiting:
                self._waiting = self._file.read(_BLOCK)
                if not self._waiting and self._file.tell() == self._start:
                    return 0
            ended = not self._waiting
            data = self._unpacked(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            if self._broken or (ended and not self._unpacker.eof):
                raise DamagedMember(self._start, self._broken or "the file ends in it")

    def _unpacked(self, size: int) -> bytes:
        """Some unpacked bytes; where the member breaks, those in front of the break."""
        before = self._unpacker.copy()
        try:
            data = self._unpacker.decompress(self._waiting, size)
            self._waiting = self._unpacker.unconsumed_tail
            return data
        except zlib.error as error:
            self._broken = str(error)
        parts: list[bytes] = []
        with contextlib.suppress(zlib.error):
            parts.extend(before.decompress(bytes([byte]), size) for byte in self._waiting)
        return b"".join(parts)

    def resync(self) -> bool:
        """Go on at the next member that can be read; whether there is one."""
        place = self._start
        while self._left and (place := self._header(place + 1)) >= 0:
            self._left -= 1
            if self._proved(place):
                self._begin(place)
                return True
        return False

    def _next_member(self) -> bool:
        """Begin the member behind one that ended; whether there is one. Zeros behind a member are padding."""
        place = self._file.tell() - len(self._unpacker.unused_data)
        self._file.seek(place)
        while data := self._file.read(_BLOCK):
            rest = data.lstrip(b"\0")
            if rest:
                self._begin(place + len(data) - len(rest))
                return True
            place += len(data)
        return False

    def _begin(self, place: int) -> None:
        self._file.seek(place)
        self._start, self._waiting, self._broken = place, b"", ""
        self._unpacker = zlib.decompressobj(_WINDOW)

    def _header(self, place: int) -> int:
        """The next place, from one on, that has the form of a header; -1 if there is none."""
        self._file.seek(place)
        window = b""
        while data := self._file.read(_BLOCK):
            window += data
            found = window.find(_MAGIC)
            while 0 <= found < len(window) - len(_MAGIC):
                if not window[found + len(_MAGIC)] & _RESERVED:
                    return place + found
                found = window.find(_MAGIC, found + 1)
            tail = window[-len(_MAGIC) :]  # a header may begin in it
            place += len(window) - len(tail)
            window = tail
        return -1

    def _proved(self, place: int) -> bool:
        """Whether what stands at a place can be unpacked, as far as is looked."""
        self._file.seek(place)
        unpacker = zlib.decompressobj(_WINDOW)
        data = self._file.read(_PROVED)
        try:
            while data and not unpacker.eof:
                unpacker.decompress(data, _BLOCK)
                data = unpacker.unconsumed_tail
        except zlib.error:
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
