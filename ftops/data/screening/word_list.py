"""A list of words that somebody hands in, each with its language."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ftops.errors import DatasetError

UNNAMED = "no language named"
_MOST_BYTES = 4 << 20
_LONGEST = 100  # characters of a word
_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class WordList:
    """Words, as they are searched for, each with the language that its list names."""

    entries: tuple[tuple[str, str], ...] = ()

    @property
    def languages(self) -> tuple[str, ...]:
        """Every language that is named, in the order of the list."""
        return tuple(dict.fromkeys(language for language, _ in self.entries))


NO_WORDS = WordList()


def normalise(text: str) -> str:
    """The text as words are searched in it: small letters of one width."""
    if text.isascii():
        return text.lower()
    import unicodedata  # a millisecond that a check without a list does without

    return unicodedata.normalize("NFKC", text).casefold()


def read_word_list(path: Path) -> WordList:
    """One word or phrase a line; `# language: de` names the language of those that follow.

    Other lines that begin with # are remarks. DatasetError when the file cannot be used.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise DatasetError(
            f"{path}: this list of words cannot be read: {error.strerror}",
            hint="Name a text file with one word a line.",
        ) from error
    if data is None:
        raise DatasetError(
            f"{path}: a list of words of more than {_MOST_BYTES >> 20} MiB",
            hint="Name a text file with one word a line, not the data.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}:{line}: this list of words is not UTF-8", hint="Save it as UTF-8."
        ) from None
    entries = dict.fromkeys(_parse(path, text))
    if not entries:
        raise DatasetError(f"{path}: there is no word in this list", hint="Write one a line.")
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
            word = " ".join(normalise(line).split())
            if len(word) > _LONGEST or not any(map(str.isalnum, word)):
                raise DatasetError(
                    f"{path}:{number}: this is no word of at most {_LONGEST} characters",
                    hint="Write one word or phrase a line; remarks begin with #.",
                )
            yield language, word
