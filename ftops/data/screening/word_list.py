"""Word lists of the user, and their search in texts.

A word matches a whole word. Some scripts, such as Chinese, Japanese and Thai, have no spaces: their
words match anywhere. Korean adds endings to words: they match at the start of a word. Case and
character width are ignored.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ftops.errors import DatasetError

UNNAMED = "no language named"
_MOST_BYTES = 4 << 20
_LONGEST = 100  # characters of a word
_LONGEST_NAME = 40


# Thai to Tibetan, Burmese, Khmer, Chinese and Japanese
_UNSPACED = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff"
_UNSPACED += "\U00020000-\U0003ffff"
_KOREAN = "\u1100-\u11ff\uac00-\ud7ff"
_LETTER = f"[^\\W_{_UNSPACED}]"
_ASCII_TOKEN = re.compile("[a-z0-9]+")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_HAS_KOREAN = re.compile(f"[{_KOREAN}]")
_LAST_MARK = 0x1DFF  # combining marks of living scripts are below
_GAP = r"[\s\-_'’.]{1,3}"  # between the words of a phrase, as in son-of-a-gun


@dataclass(frozen=True, slots=True)
class WordList:
    """Normalised words, each with its language in the list."""

    entries: tuple[tuple[str, str], ...] = ()

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages in the order of the list."""
        return tuple(dict.fromkeys(language for language, _ in self.entries))


NO_WORDS = WordList()


def normalize_text(text: str) -> str:
    """The text in NFKC and lower case, ready for the search."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold()


def read_word_list(path: Path) -> WordList:
    """Read a word or phrase per line; `# language: de` sets the language of the following lines.

    Other lines that begin with # are comments. DatasetError if the file cannot be used.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot read the word list: {error.strerror}",
            hint="Name a text file with one word a line.",
        ) from error
    if data is None:
        raise DatasetError(
            f"{path}: a word list of more than {_MOST_BYTES >> 20} MiB",
            hint="Name a text file with one word a line, not the data.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}:{line}: the word list is not UTF-8", hint="Save it as UTF-8."
        ) from None
    entries = dict.fromkeys(_parse(path, text))
    if not entries:
        raise DatasetError(f"{path}: the word list is empty", hint="Write one a line.")
    return WordList(tuple(entries))


def _parse(path: Path, text: str) -> Iterator[tuple[str, str]]:
    language = UNNAMED
    for number, line in enumerate(text.split("\n"), 1):
        remark, _, named = line.strip().partition(":")
        if "".join(remark.lower().split()) == "#language":
            language = named.strip()
            if not language or len(language) > _LONGEST_NAME or not language.isprintable():
                raise DatasetError(
                    f"{path}:{number}: this names no language", hint="Such as # language: de"
                )
        elif line.strip() and not line.lstrip().startswith("#"):
            word = " ".join(normalize_text(line).split())
            if len(word) > _LONGEST or not any(map(str.isalnum, word)):
                raise DatasetError(
                    f"{path}:{number}: this is no word of at most {_LONGEST} characters",
                    hint="Write one word or phrase a line; remarks begin with #.",
                )
            yield language, word


class WordSearch:
    """Finds the words of a list in texts, most of which contain none."""

    def __init__(self, words: WordList) -> None:
        self._single: dict[str, list[int]] = {}
        self._patterns: list[tuple[str, re.Pattern[str], int]] = []
        for index, (_, word) in enumerate(words.entries):
            if _get_word_pattern().fullmatch(word) and not _HAS_KOREAN.search(word):
                self._single.setdefault(word, []).append(index)
            else:
                longest = max(word.split(" "), key=len)  # a matching text contains it
                self._patterns.append((longest, _compile(word), index))

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Position and entry of each match in a normalised text."""
        token = _ASCII_TOKEN if text.isascii() else _get_word_pattern()
        if not self._single.keys().isdisjoint(token.findall(text)):
            for match in token.finditer(text):
                for index in self._single.get(match.group(), ()):
                    yield match.start(), index
        for needle, pattern, index in self._patterns:
            if needle in text:
                for match in pattern.finditer(text):
                    yield match.start(), index


@functools.lru_cache(maxsize=1)
def open_search(words: WordList) -> WordSearch:
    """The search for a list (cached)."""
    return WordSearch(words)


@functools.lru_cache(maxsize=1)
def _get_combining_marks() -> str:
    """Combining marks, which belong to the letter before, as ranges of a character class."""
    codes = [code for code in range(0x300, _LAST_MARK) if unicodedata.category(chr(code))[0] == "M"]
    return _list_ranges([code for code in codes if not _HAS_UNSPACED.match(chr(code))])


@functools.lru_cache(maxsize=1)
def _get_word_pattern() -> re.Pattern[str]:
    """A word in a script with spaces."""
    return re.compile(f"{_LETTER}+(?:[{_get_combining_marks()}]+{_LETTER}*)*")


def _list_ranges(codes: Sequence[int]) -> str:
    """Characters as ranges of a character class."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in ranges)


def _compile(word: str) -> re.Pattern[str]:
    """The pattern of a phrase, or of a word that is not plain letters."""
    body = _GAP.join(re.escape(part) for part in word.split(" "))
    edge = f"(?:{_LETTER}|[{_get_combining_marks()}])"
    before = "" if _HAS_UNSPACED.match(word) else f"(?<!{edge})"
    is_open = _HAS_UNSPACED.match(word[-1]) or _HAS_KOREAN.match(word[-1])
    return re.compile(f"{before}{body}" + ("" if is_open else f"(?!{edge})"))
