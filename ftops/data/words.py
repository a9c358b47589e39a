"""Words of texts: splitting, counting, shares, and lists of fields."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ftops.text import to_nfc

# a letter of a script without spaces is a word of its own
_WORD = re.compile("[^\\W\\d_\u2e80-\U0003ffff]+|[\u2e80-\u9fff\uac00-\ud7ff\U00020000-\U0003ffff]")
_KEY = re.compile(r"(?:^|[\n.;,|/\t])[ ]*([^\W\d_](?:[\w -]{0,22}[^\W\d_])?) ?:(?!//)(?=\s*\S)")
_LEAST_FIELDS = 2
_VALUE_WORDS = 4


# A Chinese, Japanese or Korean character counts as a word: they are written without spaces.
_COUNTED_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\\W\\d_]+(?:['’][^\\W\\d_]+)?"
)
MOST_DIFFERENT = 500_000


def list_words(text: str) -> list[str]:
    """The words of a text in lower case, without numbers and punctuation."""
    return _WORD.findall(to_nfc(text).lower())


def get_unknown_share(texts: Iterable[str], vocabulary: set[str]) -> float:
    """The share of the words of the texts that the vocabulary lacks, from 0 to 1."""
    known = unknown = 0
    for text in texts:
        for word in list_words(text):
            if word in vocabulary:
                known += 1
            else:
                unknown += 1
    return unknown / (known + unknown) if known or unknown else 0.0


def is_field_list(text: str) -> bool:
    """Whether the text is a list of fields, such as "Product:laptop.Brand:Dell"."""
    fields = list(_KEY.finditer(text))
    if len(fields) < _LEAST_FIELDS or fields[0].start() > 0:
        return False
    ends = [field.start() for field in fields[1:]] + [len(text)]
    values = [text[field.end() : end].split() for field, end in zip(fields, ends, strict=True)]
    return sorted(map(len, values))[len(values) // 2] <= _VALUE_WORDS


def get_field_list_share(texts: Sequence[str], ending: str) -> float:
    """The share of texts, without their `ending`, that are lists of fields."""
    if not texts:
        return 0.0
    return sum(is_field_list(text.removesuffix(ending)) for text in texts) / len(texts)


@dataclass(slots=True)
class WordCounter:
    """Counts words in any case; stops adding new words at half a million."""

    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    is_full: bool = False

    def add(self, text: str) -> None:
        """Count the words of a text."""
        words = _COUNTED_WORD.findall(text.lower())
        self.total += len(words)
        if self.is_full:
            words = [word for word in words if word in self.counts]
        self.counts.update(words)
        self.is_full = self.is_full or len(self.counts) >= MOST_DIFFERENT

    @property
    def once(self) -> int:
        """The number of words that occur once."""
        return sum(1 for count in self.counts.values() if count == 1)
