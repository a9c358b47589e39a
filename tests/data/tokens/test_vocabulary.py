"""Exact counts with tiktoken, and how its files are found without a network."""

from pathlib import Path

import pytest
import tiktoken

from ftops.data.tokens.counter import CounterFactory
from ftops.data.tokens.vocabulary import (
    SHA256,
    Vocabulary,
    find_vocabulary,
    find_vocabulary_file,
    list_vocabulary_folders,
    store_vocabulary,
)

BYTES = tiktoken.Encoding(
    "bytes",
    pat_str=r"\S+|\s",
    mergeable_ranks={bytes([byte]): byte for byte in range(256)} | {b"ab": 256, b"abab": 257},
    special_tokens={"<|end|>": 258},
)


def test_a_vocabulary_counts_and_splits() -> None:
    vocabulary = Vocabulary("bytes", BYTES)
    assert vocabulary.count(["", "ababx", "é", "ab ab"]) == [0, 2, 2, 3]
    assert vocabulary.split("ababx é") == ["abab", "x", " ", "\ufffd", "\ufffd"]
    assert (vocabulary.error, vocabulary.method) == (0.0, "counted with bytes")


def test_text_that_looks_like_a_special_token_is_text() -> None:
    assert Vocabulary("bytes", BYTES).count(["<|end|>"]) == [7]


def test_half_a_character_is_counted_like_a_question_mark() -> None:
    assert Vocabulary("bytes", BYTES).count(["a\ud800"]) == [2]


def test_long_texts_are_cut_before_blanks_and_count_the_same() -> None:
    words = "abab " * 30_000
    assert Vocabulary("bytes", BYTES).count([words]) == [60_000]
    assert Vocabulary("bytes", BYTES).count(["x" * 120_000]) == [120_000]


def test_files_are_called_as_tiktoken_calls_them() -> None:
    known = find_vocabulary_file("cl100k_base")
    assert known is not None
    assert known.filename == "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
    assert find_vocabulary_file("no_such_base") is None


@pytest.mark.parametrize("name", sorted(SHA256))
def test_a_file_that_is_cut_is_neither_taken_nor_deleted_nor_fetched(
    tmp_path: Path, name: str
) -> None:
    wanted = find_vocabulary_file(name)
    assert wanted is not None
    path = tmp_path / wanted.filename
    path.write_bytes(b"IQ== 0\n")
    assert find_vocabulary(name, [tmp_path, tmp_path / "missing"]) is None
    assert path.read_bytes() == b"IQ== 0\n"


def test_another_file_than_the_wanted_one_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "vocabularies"
    assert not store_vocabulary("cl100k_base", b"IQ== 0\n", folder)
    assert not store_vocabulary("no_such_base", b"IQ== 0\n", folder)
    assert not folder.exists()


def test_without_a_vocabulary_tokens_are_estimated(tmp_path: Path) -> None:
    counter = CounterFactory((tmp_path,)).open("o200k_base")
    assert (counter.vocabulary, counter.error) == ("o200k_base", 0.5)
    assert counter.count(["a" * 42]) == [10]


def test_vocabularies_are_looked_for_where_tiktoken_does_and_in_the_home(tmp_path: Path) -> None:
    own = tmp_path / "vocabularies"
    assert list_vocabulary_folders({"TIKTOKEN_CACHE_DIR": "/cache"}, tmp_path) == (
        Path("/cache"),
        own,
    )
    assert list_vocabulary_folders({"DATA_GYM_CACHE_DIR": "/gym"}, tmp_path) == (Path("/gym"), own)
    usual, _ = list_vocabulary_folders({}, tmp_path)
    assert usual.name == "data-gym-cache"
