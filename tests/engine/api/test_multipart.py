"""The upload form, cut into pieces at any place."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from ftops.engine.api.multipart import UploadForm, read_upload

BOUNDARY = "b0undary"


def form(content: bytes, filename: str = "rows.jsonl") -> bytes:
    head = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
    kind = "Content-Type: application/octet-stream"
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
        f"--{BOUNDARY}\r\n{head}\r\n{kind}\r\n\r\n"
    ).encode() + (content + f"\r\n--{BOUNDARY}--\r\n".encode())


def read(pieces: list[bytes]) -> tuple[UploadForm, bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    target = io.BytesIO()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    result = asyncio.run(read_upload(kind, stream(), target))
    return result, target.getvalue()


@given(
    st.one_of(
        st.binary(max_size=300), st.sampled_from([b"\r\n--b0undar", b"\r\n--", b"--b0undary"])
    ),
    st.lists(st.integers(0, 700), max_size=12),
)
def test_any_content_arrives_whole_however_it_is_cut(content: bytes, cuts: list[int]) -> None:
    body = form(content)
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[begin:end] for begin, end in itertools.pairwise(places)]
    result, written = read(pieces)
    assert written == content
    assert (result.size, result.filename) == (len(content), "rows.jsonl")
    assert result.fields == {"purpose": "fine-tune"}


def test_a_large_file_is_written_in_pieces() -> None:
    content = b"0123456789" * 500_000
    body = form(content)
    size = 1 << 16
    _, written = read([body[n : n + size] for n in range(0, len(body), size)])
    assert written == content
