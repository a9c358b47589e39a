"""Reads an upload form as it arrives, and writes the file to the disk in chunks.

The form parser of Starlette would write it to a temporary folder first, which on many machines is
memory.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ftops.engine.api.errors import ApiError

_MAX_FIELD_BYTES = 4096
_MAX_PARTS = 20
_WRITE_BYTES = 1 << 20
_MANY_LINES = 1000


@dataclass(slots=True)
class UploadForm:
    """The other fields of a form, and the file's name and size; `filename` None: without a file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    size: int = 0


class Sink(Protocol):
    """The target of the file."""

    def writelines(self, pieces: Iterable[bytes], /) -> None: ...


async def read_upload(
    content_type: str, pieces: AsyncIterator[bytes], target: Sink, *, name: str = "file"
) -> UploadForm:
    """Write the part `name` to `target`, return the rest; ApiError 400 or 415 for invalid forms."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        message = "Send files as a form: content type multipart/form-data with a boundary."
        raise ApiError(415, message, code="unsupported_media_type")
    reader = _Reader(name)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.begin_part,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.end_header,
                "on_headers_finished": reader.end_headers,
                "on_part_data": reader.part_data,
                "on_part_end": reader.end_part,
                "on_end": reader.end,
            },
        )
        async for piece in pieces:
            if piece.count(b"\r") > _MANY_LINES:  # each may start a boundary: slow to parse
                await to_thread.run_sync(parser.write, piece)
            else:
                parser.write(piece)
            if reader.waiting_bytes >= _WRITE_BYTES:
                await to_thread.run_sync(target.writelines, reader.take())
        parser.finalize()
    except FormParserError as error:
        raise ApiError(400, f"The form cannot be read: {error}", code="invalid_form") from error
    if not reader.ended:
        raise ApiError(400, "The form ends before its last boundary.", code="invalid_form")
    await to_thread.run_sync(target.writelines, reader.take())
    return reader.form


class _Reader:
    """The parser's callbacks; chunks of the file are buffered until they are taken."""

    def __init__(self, file_name: str) -> None:
        self._file_name = file_name
        self.form = UploadForm()
        self.waiting_bytes = 0
        self._waiting: list[bytes] = []
        self.ended = False
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._header = (bytearray(), bytearray())
        self._name = ""
        self._value = bytearray()
        self._is_file = False

    def take(self) -> list[bytes]:
        pieces, self._waiting, self.waiting_bytes = self._waiting, [], 0
        return pieces

    def begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise ApiError(400, f"The form has more than {_MAX_PARTS} parts.", code="invalid_form")
        self._headers = {}
        self._value = bytearray()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode(errors="replace")
        self._is_file = self._name == self._file_name
        if self._is_file:
            if self.form.filename is not None:
                message = "The form has two files."
                raise ApiError(400, message, param=self._name, code="invalid_form")
            self.form.filename = options.get(b"filename", b"upload").decode(errors="replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._waiting.append(data[start:end])
            self.waiting_bytes += end - start
            self.form.size += end - start
            return
        self._value += data[start:end]
        if len(self._value) > _MAX_FIELD_BYTES:
            raise ApiError(400, f"The field {self._name!r} is too long.", param=self._name)

    def end_part(self) -> None:
        if not self._is_file:
            self.form.fields[self._name] = self._value.decode(errors="replace")

    def end(self) -> None:
        self.ended = True
