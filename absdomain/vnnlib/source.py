"""A file's text as tokens, each of which knows its line and column."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from absdomain.errors import PropertyError

LARGEST = 1 << 28  # bytes of text: a small file may unpack to more than any memory
_BEGINNING = 100  # bytes that tell a text from other files
_MEMBERS = 100  # of a gzipped file, one after another
# comments; parentheses; indices (X[0,3] is one token); strings; words; a lone quotation mark or bracket
_TOKEN = re.compile(r';[^\n]*|[()]|[^\s()\[\]";]*\[[^\[\]()";]*\]|"(?:[^"\\]|\\.)*"|[^\s()\[\]";]+|["\[\]]', re.DOTALL)


@dataclass(frozen=True)
class Source:
    """A property's text and where it is from."""

    path: str | None
    text: str

    @staticmethod
    def of(path: str | Path) -> Source:
        """The text of a file, gzipped or not. Errors: PropertyError where it is broken; OSError without a file.

        Bytes that are no UTF-8 may stand in comments; elsewhere what they become is no word that is known.
        """
        data = _unpacked(str(path), Path(path).read_bytes())
        if any(byte < 32 and byte not in b"\t\n\r\f" for byte in data[:_BEGINNING]):
            raise PropertyError(
                "it is not text: is this the ONNX file? the network is given first, then the property", str(path)
            )
        return Source(str(path), data.decode("utf-8-sig", errors="replace"))

    @cached_property
    def tokens(self) -> list[str]:
        """The words, without comments."""
        return [token for token in _TOKEN.findall(self.text) if token[0] != ";"]

    def error(self, number: int, message: str) -> PropertyError:
        """The error at the token of this number; at the end of the text where there are fewer."""
        count = -1
        end = len(self.text.rstrip())
        for found in _TOKEN.finditer(self.text):
            count += found[0][0] != ";"
            if count == number:
                end = found.start()
                break
        line = self.text.count("\n", 0, end) + 1
        return PropertyError(message, self.path, line, end - self.text.rfind("\n", 0, end))


def _unpacked(path: str, data: bytes) -> bytes:
    """What a gzipped file holds: known by its first bytes, not by its name."""
    if len(data) > LARGEST:
        raise PropertyError(f"the file has {len(data)} bytes, more than {LARGEST}", path)
    if not data.startswith(b"\x1f\x8b"):
        return data
    parts: list[bytes] = []
    left = LARGEST
    try:
        for _ in range(_MEMBERS):
            unpacker = zlib.decompressobj(wbits=31)
            parts.append(unpacker.decompress(data, left))
            left -= len(parts[-1])
            if left <= 0 or unpacker.unconsumed_tail:
                raise PropertyError(f"the file unpacks to more than {LARGEST} bytes", path)
            if not unpacker.eof:
                raise PropertyError("the gzipped file ends in the middle; fetch it again", path)
            data = unpacker.unused_data.lstrip(b"\0")  # padding
            if not data:
                return b"".join(parts)
    except zlib.error as error:
        raise PropertyError(
            f"the file begins like a gzip file, but is not one ({error}); fetch it again", path
        ) from None
    raise PropertyError(f"the file has more than {_MEMBERS} gzipped members; unpack it", path)
