"""JSON is read whole or refused by its size, whatever stands in its texts."""

import json
import random

import orjson
import pytest

from ftops.engine.bounded_json import MAX_KEYS, MAX_VALUES, TooManyValues, read_bounded

LONG = 300_000  # bytes: beyond what is read without a look


@pytest.mark.parametrize(
    "text",
    [
        "," * LONG,
        "[{:" * LONG,
        '"' * LONG,
        "\\" * LONG,
        "\\" * (LONG + 1) + '",' * LONG,
        "x\n" * LONG,
        "日本," * LONG,
    ],
)
def test_a_long_text_is_read_whatever_it_says(text: str) -> None:
    for value in ({"prompt": text}, [text, "", text, "\\"]):
        assert read_bounded(orjson.dumps(value)) == value
        assert read_bounded(json.dumps(value).encode()) == value


def test_texts_cut_anywhere_are_read() -> None:
    draw = random.Random(3)
    for _ in range(20):
        texts = ["".join(draw.choices('\\",[:x', k=draw.randrange(100_000))) for _ in range(20)]
        assert read_bounded(orjson.dumps(texts)) == texts


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"0," * LONG + b"0]",
        b"[" + b"[]," * LONG + b"0]",
        b"[" * LONG,
        b'{"a":[' + b'"x",' * LONG + b'"x"]}',
        b"{" + b",".join(b'"%d":0' % number for number in range(MAX_KEYS + 5_000)) + b"}",
        b'["' + b"," * LONG + b'",' + b"[]," * LONG + b"0]",
    ],
)
def test_too_many_values_are_refused_before_they_are_made(body: bytes) -> None:
    with pytest.raises(TooManyValues, match="more than"):
        read_bounded(body)


def test_as_many_values_as_are_allowed_are_read() -> None:
    values = ["a long text, with a comma"] * (MAX_VALUES - 1)
    assert read_bounded(orjson.dumps(values)) == values


def test_what_is_not_json_is_the_parsers_error() -> None:
    for body in (b"{", b'["' + b"x" * LONG, b'"\xff"'):
        with pytest.raises(orjson.JSONDecodeError):
            read_bounded(body)
