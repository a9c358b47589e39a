"""Streams of answers cut anywhere, broken off anywhere, or not streams at all: pieces of text or an
error of ftops' own, never anything else."""

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


class Cut(httpx.SyncByteStream):
    """A body that arrives cut at these places, and may break off."""

    def __init__(self, body: bytes, cuts: Sequence[int], breaks: bool = False) -> None:
        places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
        self._pieces = [body[begin:end] for begin, end in itertools.pairwise(places)]
        self._breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._breaks:
            raise httpx2.ReadError("connection reset by peer")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("answers"))
    yield made
    made.client.close()


@pytest.fixture(scope="module")
def provider(bench: Bench) -> Provider:
    return bench.build()


def ask(
    bench: Bench, provider: Provider, prompt: Prompt, stream: Cut, kind: str = "text/event-stream"
) -> str:
    path = "/completions" if isinstance(prompt, str) else "/chat/completions"
    answer = httpx.Response(200, stream=stream, headers={"content-type": kind})
    bench.api.post(path).mock(return_value=answer)
    return "".join(provider.stream("m", prompt, Sampling(max_tokens=4)))


def written(text: str, end: bytes) -> bytes:
    """A server's events for an answer that comes a character at a time."""
    lines = []
    for character in text or [""]:
        choice = {"text": character, "delta": {"content": character}}
        chunk = json.dumps({"choices": [choice]}, ensure_ascii=False)
        lines.append(f"data: {chunk}".encode() + 2 * end)
    return b"".join(lines) + b"data: [DONE]" + 2 * end


@examples(80)
@given(TEXTS, CUTS, st.sampled_from(["b", CHAT]), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_is_read_however_it_is_cut(
    bench: Bench, provider: Provider, text: str, cuts: list[int], prompt: Prompt, end: bytes
) -> None:
    assert ask(bench, provider, prompt, Cut(written(text, end), cuts)) == text


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
def test_garbage_is_text_or_an_error_of_our_own(
    bench: Bench,
    provider: Provider,
    body: bytes,
    cuts: list[int],
    prompt: Prompt,
    breaks: bool,
    kind: str,
) -> None:
    try:
        text = ask(bench, provider, prompt, Cut(body, cuts, breaks), kind)
    except ProviderError as error:
        assert error.message.startswith("request a completion from m")
    else:
        text.encode()  # what can be shown


@pytest.mark.parametrize("prompt", ["b", CHAT])
@pytest.mark.parametrize("event", ODD)
def test_each_odd_event_is_text_or_an_error_of_our_own(
    bench: Bench, provider: Provider, prompt: Prompt, event: bytes
) -> None:
    try:
        ask(bench, provider, prompt, Cut(event + b"\n\n", ())).encode()
    except ProviderError as error:
        assert error.message.startswith("request a completion from m")


@pytest.mark.parametrize("prompt", ["b", CHAT])
def test_halves_of_a_character_in_two_pieces_become_one(
    bench: Bench, provider: Provider, prompt: Prompt
) -> None:
    halves = [r"a\ud83d", r"\ude00b", r"\ud83d"]
    events = "".join(
        f'data: {{"choices": [{{"text": "{half}", "delta": {{"content": "{half}"}}}}]}}\n\n'
        for half in halves
    )
    events += "data: [DONE]\n\n"
    assert ask(bench, provider, prompt, Cut(events.encode(), ())) == "a😀b\ufffd"
