"""Reading server-sent events: whole lines alone count, wherever the bytes are cut."""

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
WHOLE = [*DATA, b"[DONE]"]


def one_by_one(content: bytes) -> Iterator[bytes]:
    return (content[at : at + 1] for at in range(len(content)))


def test_each_data_line_is_one_event_and_all_others_mean_nothing() -> None:
    assert list(read_event_data([STREAM])) == WHOLE
    assert list(read_event_data(one_by_one(STREAM))) == WHOLE


@pytest.mark.parametrize("end", range(len(STREAM) + 1))
def test_a_stream_that_is_cut_gives_the_events_whose_lines_had_ended(end: int) -> None:
    left = STREAM[:end]
    expected = [data for data in WHOLE if data in left]
    if expected and not left[left.rindex(expected[-1]) + len(expected[-1]) :]:
        expected.pop()  # all of its bytes came, but not the end of its line
    assert list(read_event_data([left])) == expected


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_where_the_pieces_begin_and_end_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    assert list(read_event_data(pieces)) == WHOLE


@given(st.binary(max_size=200))
def test_no_bytes_make_it_stumble(content: bytes) -> None:
    for data in read_event_data([content]):
        assert b"\n" not in data


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert list(read_event_data([b"\xef\xbb\xbf" + STREAM])) == WHOLE


def test_an_event_is_handed_on_before_the_next_bytes_are_asked_for() -> None:
    asked: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in (1, 2):
            asked.append(number)
            yield b"data: %d\n" % number

    events = read_event_data(pieces())
    assert (next(events), asked) == (b"1", [1])


def test_a_line_without_end_is_given_up() -> None:
    with pytest.raises(InvalidResponse, match="longer than"):
        list(read_event_data([b"data: 1\n", b"x" * MAX_LINE_BYTES, b"x" * MAX_LINE_BYTES]))
