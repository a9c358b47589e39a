"""Server-sent events are read line by line, at any chunk boundaries."""

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.errors import InvalidResponse
from ftops.http.response import MAX_LINE_BYTES, read_event_data

MESSAGES = ["Created fine-tune: ft-1", "Epoch — fünf 🎉", "Fine-tune succeeded"]
DATA = [json.dumps({"message": message}, ensure_ascii=False).encode() for message in MESSAGES]
STREAM = (
    b": still there\n\n"
    + b"data: %b\n\n" % DATA[0]
    + b"event: message\r\nid: 7\r\ndata:%b\r\n\r\n" % DATA[1]
    + b"retry: 10\n: data: not this one\n\n"
    + b"data: %b\n\ndata: [DONE]\n\n" % DATA[2]
)
EVENTS = [*DATA, b"[DONE]"]


def split_bytes(content: bytes) -> Iterator[bytes]:
    return (content[index : index + 1] for index in range(len(content)))


def test_each_data_line_is_an_event_and_other_lines_are_ignored() -> None:
    assert list(read_event_data([STREAM])) == EVENTS
    assert list(read_event_data(split_bytes(STREAM))) == EVENTS


@pytest.mark.parametrize("end", range(len(STREAM) + 1))
def test_a_truncated_stream_has_the_events_of_its_complete_lines(end: int) -> None:
    received = STREAM[:end]
    expected = [data for data in EVENTS if data in received]
    if expected and not received[received.rindex(expected[-1]) + len(expected[-1]) :]:
        expected.pop()  # all of its bytes arrived, but not the end of its line
    assert list(read_event_data([received])) == expected


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_chunk_boundaries_do_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert list(read_event_data(chunks)) == EVENTS


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(content: bytes) -> None:
    for data in read_event_data([content]):
        assert b"\n" not in data


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert list(read_event_data([b"\xef\xbb\xbf" + STREAM])) == EVENTS


def test_an_event_is_returned_before_the_next_bytes_are_read() -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in (1, 2):
            read.append(number)
            yield b"data: %d\n" % number

    events = read_event_data(chunks())
    assert (next(events), read) == (b"1", [1])


def test_an_endless_line_is_an_error() -> None:
    with pytest.raises(InvalidResponse, match="longer than"):
        list(read_event_data([b"data: 1\n", b"x" * MAX_LINE_BYTES, b"x" * MAX_LINE_BYTES]))
