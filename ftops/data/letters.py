"""Characters by script, told from the bytes of UTF-8 without looking at each."""

from dataclasses import dataclass

_ALPHABET = {*range(0xC6, 0xE2)}  # U+0180 to U+1FFF, as first bytes of UTF-8
_DENSE = {*range(0xE2, 0xF5)}  # and beyond
_NOT_ALPHABET = bytes(set(range(256)) - _ALPHABET)
_NOT_DENSE = bytes(set(range(256)) - _DENSE)


@dataclass(frozen=True, slots=True)
class Letters:
    """The characters of texts by how tokens hold them: Latin letters and signs, other alphabets
    (Greek, Cyrillic, Arabic, Hindi, …), and scripts of which a character is much (Chinese,
    Japanese, Korean, pictures).
    """

    latin: int = 0
    alphabet: int = 0
    dense: int = 0

    def __add__(self, other: "Letters") -> "Letters":
        return Letters(
            self.latin + other.latin, self.alphabet + other.alphabet, self.dense + other.dense
        )


def count_letters(text: str) -> Letters:
    """The letters of one text, told by the first byte of each in UTF-8."""
    if text.isascii():
        return Letters(len(text))
    data = text.encode("utf-8", "replace")
    alphabet = len(data.translate(None, _NOT_ALPHABET))
    dense = len(data.translate(None, _NOT_DENSE))
    return Letters(len(text) - alphabet - dense, alphabet, dense)
