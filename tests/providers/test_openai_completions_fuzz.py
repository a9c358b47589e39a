"""Streams that are split anywhere, interrupted anywhere, or invalid: text or an error of ftops."""

import itertools
import json
from collections.abc import Iterator, Sequence

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.errors import ProviderError
from ftops.providers.provider import Provider
from ftops.records import Chat, Message, Prompt, Sampling
from tests.examples import examples
from tests.providers.conftest import Bench

TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\r\n\u2028\u0085😀")))
CUTS = st.lists(st.integers(0, 3000), max_size=10)
CHAT: Prompt = Chat((Message("user", "hello"),))


class SplitStream(httpx.SyncByteStream):
    """A body that arrives in chunks and may be interrupted."""

    def __init__(self, body: bytes, cuts: Sequence[int], is_interrupted: bool = False) -> None:
        edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
        self._chunks = [body[start:end] for start, end in itertools.pairwise(edges)]
        self._breaks = is_interrupted

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._breaks:
            raise httpx2.ReadError("connection reset by peer")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("completions"))
    yield bench
    bench.client.close()


@pytest.fixture(scope="module")
def provider(bench: Bench) -> Provider:
    return bench.build()


def stream_text(
    bench: Bench,
    provider: Provider,
    prompt: Prompt,
    stream: SplitStream,
    kind: str = "text/event-stream",
) -> str:
    path = "/completions" if isinstance(prompt, str) else "/chat/completions"
    response = httpx.Response(200, stream=stream, headers={"content-type": kind})
    bench.api.post(path).mock(return_value=response)
    return "".join(provider.stream("m", prompt, Sampling(max_tokens=4)))


def encode_events(text: str, end: bytes) -> bytes:
    """The events of a stream with one character each."""
    lines = []
    for character in text or [""]:
        choice = {"text": character, "delta": {"content": character}}
        chunk = json.dumps({"choices": [choice]}, ensure_ascii=False)
        lines.append(f"data: {chunk}".encode() + 2 * end)
    return b"".join(lines) + b"data: [DONE]" + 2 * end


@examples(80)
@given(TEXTS, CUTS, st.sampled_from(["b", CHAT]), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_is_read_at_any_chunk_boundaries(
    bench: Bench, provider: Provider, text: str, cuts: list[int], prompt: Prompt, end: bytes
) -> None:
    assert stream_text(bench, provider, prompt, SplitStream(encode_events(text, end), cuts)) == text


ODD = [
    b"data: {",
    b"data: null",
    b"data: 7",
    b"data: []",
    b'data: "text"',
    b"data: {}",
    b'data: {"choices": null}',
    b'data: {"choices": {}}',
    b'data: {"choices": [null]}',
    b'data: {"choices": [7]}',
    b'data: {"choices": ["a"]}',
    b'data: {"choices": [[]]}',
    b'data: {"choices": [{}]}',
    b'data: {"choices": [{"text": 7, "delta": {"content": 7}}]}',
    b'data: {"choices": [{"text": ["a"], "delta": {"content": ["a"]}}]}',
    b'data: {"choices": [{"text": {"a": 1}, "delta": 7}]}',
    b'data: {"choices": [{"text": "a", "delta": null}]}',
    b'data: {"choices": [{"text": "\\ud800", "delta": {"content": "\\ud800"}}]}',
    b'data: {"error": null}',
    b'data: {"error": "text"}',
    b'data: {"error": 7}',
    b'data: {"error": {"message": null, "type": 7, "code": [], "param": {}}}',
    b'data: {"error": {"message": "no", "type": "server_error"}}',
    b"data: " + b"[" * 100_000,
    b"data: " + b"1" * 5000,
    b"data: NaN",
    b"data: \xff",
    b"data",
    b"data:",
    b": comment",
    b"event: error\ndata: {}",
    b"event: thread.x\ndata: 7",
    b"id: \0",
    b"retry: x",
    b"data: [DONE]",
    b"\xef\xbb\xbfdata: {}",
]
ODD_EVENTS = st.sampled_from(ODD)
ENDS = st.sampled_from([b"\n", b"\n\n", b"\r\n\r\n"])
GARBAGE = st.lists(st.tuples(st.one_of(ODD_EVENTS, st.binary(max_size=30)), ENDS)).map(
    lambda events: b"".join(event + end for event, end in events)
)
KINDS = st.sampled_from(["text/event-stream", "application/json", "text/html", "", "\x7f"])


@examples(200)
@given(GARBAGE, CUTS, st.sampled_from(["b", CHAT]), st.booleans(), KINDS)
def test_invalid_streams_are_text_or_an_error_of_ftops(
    bench: Bench,
    provider: Provider,
    body: bytes,
    cuts: list[int],
    prompt: Prompt,
    is_interrupted: bool,
    kind: str,
) -> None:
    try:
        text = stream_text(bench, provider, prompt, SplitStream(body, cuts, is_interrupted), kind)
    except ProviderError as error:
        assert error.message.startswith("request a completion from m")
    else:
        text.encode()  # it can be printed


@pytest.mark.parametrize("prompt", ["b", CHAT])
@pytest.mark.parametrize("event", ODD)
def test_each_unusual_event_is_text_or_an_error_of_ftops(
    bench: Bench, provider: Provider, prompt: Prompt, event: bytes
) -> None:
    try:
        stream_text(bench, provider, prompt, SplitStream(event + b"\n\n", ())).encode()
    except ProviderError as error:
        assert error.message.startswith("request a completion from m")


@pytest.mark.parametrize("prompt", ["b", CHAT])
def test_a_character_split_between_two_chunks_is_joined(
    bench: Bench, provider: Provider, prompt: Prompt
) -> None:
    halves = [r"a\ud83d", r"\ude00b", r"\ud83d"]
    events = "".join(
        f'data: {{"choices": [{{"text": "{half}", "delta": {{"content": "{half}"}}}}]}}\n\n'
        for half in halves
    )
    events += "data: [DONE]\n\n"
    assert stream_text(bench, provider, prompt, SplitStream(events.encode(), ())) == "a😀b\ufffd"
