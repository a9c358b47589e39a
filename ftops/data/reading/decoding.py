"""The bytes of a source (a file or standard input), decompressed, and as UTF-8 if it is text.

A decompression bomb is refused while it is read, not afterwards.
"""

import codecs
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, cast

from ftops.errors import DatasetError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 1 << 16  # fits in the processor cache
_HEAD_BYTES = 1 << 16
_BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FREE_BYTES = 64 << 20  # up to this size, any ratio is allowed
_MAX_RATIO = 200
_UTF_16 = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Readable(Protocol):
    """A reader of bytes; b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class Stream:
    """A stream of bytes with a peek; `name` is for messages."""

    def __init__(self, name: str, readable: Readable, close: Callable[[], None]) -> None:
        self.name = name
        self._readable = readable
        self._ahead = b""
        self.close = close

    def peek(self, size: int = _HEAD_BYTES) -> bytes:
        """The next bytes, up to `size`, without reading them; fewer only at the end."""
        while len(self._ahead) < size and (piece := self._read(size - len(self._ahead))):
            self._ahead += piece
        return self._ahead[:size]

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" at the end."""
        if self._ahead:
            piece, self._ahead = self._ahead[:size], self._ahead[size:]
            return piece
        return self._read(size)

    def pieces(self) -> Iterator[bytes]:
        """The rest of the stream."""
        while piece := self.read(PIECE_BYTES):
            yield piece

    def _read(self, size: int) -> bytes:
        try:
            return self._readable.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
            raise DatasetError(
                f"{self.name}: the compressed file is truncated or damaged: {error}",
                hint="Download or compress it again.",
            ) from error
        except OSError as error:
            raise DatasetError(f"{self.name}: cannot be read: {error.strerror or error}") from error


class _CountingReader:
    """Counts the compressed bytes."""

    def __init__(self, readable: Readable) -> None:
        self._readable = readable
        self.bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._readable.read(size if size >= 0 else PIECE_BYTES)
        self.bytes += len(piece)
        return piece


def check_ratio(name: str, uncompressed_bytes: int, compressed_bytes: int) -> None:
    """Raise DatasetError if the data expands far more than usual."""
    if uncompressed_bytes > _FREE_BYTES and uncompressed_bytes > _MAX_RATIO * compressed_bytes:
        raise DatasetError(
            f"{name}: it decompresses to more than {_MAX_RATIO} times its size,"
            " like a decompression bomb",
            hint="If this is intended, decompress it first.",
        )


class _RatioLimiter:
    """Stops at a high compression ratio."""

    def __init__(self, name: str, inner: Readable, packed: _CountingReader) -> None:
        self._name = name
        self._inner = inner
        self._packed = packed
        self._bytes = 0

    def read(self, size: int, /) -> bytes:
        piece = self._inner.read(size)
        self._bytes += len(piece)
        check_ratio(self._name, self._bytes, self._packed.bytes)
        return piece


def open_stream(path: Path | None, stdin: BinaryIO | None = None) -> tuple[Stream, str]:
    """The decompressed bytes of the file (None: of standard input), and "gzip", "zstd" or "".

    Raises DatasetError if the file cannot be read.
    """
    if path is None:
        if stdin is None:
            raise DatasetError("standard input is not available here", hint="Name a file.")
        stream = Stream("standard input", cast(Readable, stdin), lambda: None)
    else:
        opened = _open_file(path)
        stream = Stream(str(path), opened, opened.close)
    try:
        head = stream.peek(4)
        packing = "gzip" if head.startswith(_GZIP) else "zstd" if head == _ZSTD else ""
        return (_decompress(stream, packing) if packing else stream), packing
    except BaseException:
        stream.close()
        raise


def _open_file(path: Path) -> BinaryIO:
    try:
        if path.exists() and not path.is_file():
            raise DatasetError(
                f"{path}: not a regular file",
                hint="Save it as a file, or pipe it to standard input with `-`.",
            )
        return path.open("rb")
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: there is no such file",
            hint="Check the path; in a job file it is relative to the folder of the job file.",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: cannot be read: {reason}") from error


def _decompress(stream: Stream, packing: str) -> Stream:
    packed = _CountingReader(stream)
    source = cast(BinaryIO, packed)
    inner: Readable = (
        gzip.GzipFile(fileobj=source, mode="rb") if packing == "gzip" else zstd.ZstdFile(source)
    )
    unpacked = Stream(stream.name, _RatioLimiter(stream.name, inner, packed), stream.close)
    if unpacked.peek(4).startswith((_GZIP, _ZSTD)):
        raise DatasetError(f"{stream.name}: it is compressed twice", hint="Decompress it once.")
    return unpacked


def detect_encoding(head: bytes, wanted: str | None) -> str:
    """The encoding of a text from its start: the requested one, UTF-16, or UTF-8."""
    if wanted is not None:
        return _check_encoding(wanted)
    for mark, name in _UTF_16:
        if head.startswith(mark):
            return name
    sample = head[:400]
    if len(sample) >= 4 and sample.isascii():  # plain text in UTF-16 without a byte order mark
        for name, blank in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
            if blank.count(0) == len(blank):
                return name
    return "utf-8"


def _check_encoding(name: str) -> str:
    try:
        "".encode(name)  # refuses codecs that do not encode text to bytes
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise DatasetError(
            f"unknown encoding {name!r}", hint="Examples: utf-8, utf-16, cp1252, shift_jis."
        ) from None


Pieces: TypeAlias = Iterator[bytes]


def read_text(stream: Stream, encoding: str) -> Pieces:
    """The text of `stream` as UTF-8 without a byte order mark.

    UTF-8 input is passed on unchecked: the reader that parses it reports the line of an error.
    """
    pieces = stream.pieces() if encoding == "utf-8" else _transcode(stream, encoding)
    first = True
    for piece in pieces:
        if first:
            piece = piece.removeprefix(_BOM)
            first = False
        yield piece


def _transcode(stream: Stream, encoding: str) -> Pieces:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    done = False
    while not done:
        piece = stream.read(PIECE_BYTES)
        done = not piece
        try:
            text = decoder.decode(piece, done)
            data = text.encode()
        except UnicodeError as error:
            before = piece[: getattr(error, "start", 0)].decode(encoding, "replace")
            raise DatasetError(
                f"{stream.name}:{line + before.count(chr(10))}: this is not {encoding} text:"
                f" {getattr(error, 'reason', error)}",
                hint="Name its encoding with --encoding, or save it as UTF-8.",
            ) from error
        line += text.count("\n")
        if data:
            yield data
