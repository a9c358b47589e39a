"""Reading and searching of word lists."""

from pathlib import Path

import pytest

from ftops.data.screening.word_list import WordList, WordSearch, normalize_text, read_word_list
from ftops.errors import DatasetError

LIST = """# a list for the tests
# Language: en
ass
son of a gun
d*mn
#language:de
Mist
Scheiß
# language: zh
傻瓜
# language: ja
ばか
# language: ko
바보
# language: hi
गधा
# language: th
ควาย
"""


def read(folder: Path, text: str | bytes) -> WordList:
    path = folder / "words.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_word_list(path)


def list_matches(words: WordList, text: str) -> list[str]:
    return [words.entries[index][0] for _, index in WordSearch(words).find(normalize_text(text))]


def test_words_have_the_language_of_the_comment_above_them(tmp_path: Path) -> None:
    words = read(tmp_path, LIST)
    assert words.languages == ("en", "de", "zh", "ja", "ko", "hi", "th")
    assert ("de", "scheiss") in words.entries
    assert read(tmp_path, "\ufeffone\r\nTwo  words\r\n\r\none").entries == (
        ("no language named", "one"), ("no language named", "two words")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("An ASS!", ["en"]), ("the bass, a class, grass", []), ("ａｓｓ", ["en"]), ("assé", []),
        ("asse\u0301", []), ("an_ass_", ["en"]), ("Son-of a  gun", ["en"]), ("son of a gunner", []),
        ("oh d*mn it", ["en"]), ("d*mned", []), ("SCHEISS und Mist", ["de", "de"]),
        ("Mistel, Optimist", []), ("这个傻瓜吗", ["zh"]), ("这个ass真", ["en"]),
        ("ばかばか", ["ja", "ja"]), ("바보야", ["ko"]), ("왕바보", []),
        ("वह गधा है", ["hi"]), ("गधाा", []), ("ไอ้ควายโง่", ["th"]), ("", []),
    ],
)  # fmt: skip
def test_a_word_is_found_only_as_a_whole_word(
    tmp_path: Path, text: str, languages: list[str]
) -> None:
    assert sorted(list_matches(read(tmp_path, LIST), text)) == languages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a\n\xff\n", r"words\.txt:2: the word list is not UTF-8"),
        ("", "the word list is empty"),
        ("# language: de\n", "the word list is empty"),
        ("a\n# language:\n", r"words\.txt:2: this names no language"),
        ("a\n!!!\n", r"words\.txt:2: this is no word"),
        ("a" * 101, r"words\.txt:1: this is no word"),
        ("a\n" * (2 << 20) + "b", "more than 4 MiB"),
    ],
)
def test_an_invalid_list_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read(tmp_path, text)
    assert caught.value.hint


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(DatasetError, match="cannot read the word list"):
            read_word_list(path)
