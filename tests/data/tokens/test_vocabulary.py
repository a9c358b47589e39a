"""Exact counts with tiktoken, and its files without network access."""

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


def test_an_unpaired_surrogate_is_counted_like_a_question_mark() -> None:
    assert Vocabulary("bytes", BYTES).count(["a\ud800"]) == [2]


def test_long_texts_are_split_before_spaces_with_the_same_count() -> None:
    words = "abab " * 30_000
    assert Vocabulary("bytes", BYTES).count([words]) == [60_000]
    assert Vocabulary("bytes", BYTES).count(["x" * 120_000]) == [120_000]


def test_files_have_the_names_that_tiktoken_uses() -> None:
    vocabulary_file = find_vocabulary_file("cl100k_base")
    assert vocabulary_file is not None
    assert vocabulary_file.filename == "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
    assert find_vocabulary_file("no_such_base") is None


@pytest.mark.parametrize("name", sorted(SHA256))
def test_a_damaged_file_is_not_used_deleted_or_downloaded(tmp_path: Path, name: str) -> None:
    vocabulary_file = find_vocabulary_file(name)
    assert vocabulary_file is not None
    path = tmp_path / vocabulary_file.filename
    path.write_bytes(b"IQ== 0\n")
    assert find_vocabulary(name, [tmp_path, tmp_path / "missing"]) is None
    assert path.read_bytes() == b"IQ== 0\n"


def test_a_file_with_another_hash_is_not_stored(tmp_path: Path) -> None:
    folder = tmp_path / "vocabularies"
    assert not store_vocabulary("cl100k_base", b"IQ== 0\n", folder)
    assert not store_vocabulary("no_such_base", b"IQ== 0\n", folder)
    assert not folder.exists()


def test_without_a_vocabulary_tokens_are_estimated(tmp_path: Path) -> None:
    counter = CounterFactory((tmp_path,)).open("o200k_base")
    assert (counter.vocabulary, counter.error) == ("o200k_base", 0.5)
    assert counter.count(["a" * 42]) == [10]


def test_vocabularies_are_searched_in_the_cache_of_tiktoken_and_in_the_home(tmp_path: Path) -> None:
    home_folder = tmp_path / "vocabularies"
    assert list_vocabulary_folders({"TIKTOKEN_CACHE_DIR": "/cache"}, tmp_path) == (
        Path("/cache"),
        home_folder,
    )
    assert list_vocabulary_folders({"DATA_GYM_CACHE_DIR": "/gym"}, tmp_path) == (
        Path("/gym"),
        home_folder,
    )
    default_folder, _ = list_vocabulary_folders({}, tmp_path)
    assert default_folder.name == "data-gym-cache"
