"""The words of a text, as metrics of overlap count them."""

import re

from ftops.text import to_nfc

# Scripts without spaces between words: each character counts as a word.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PLAIN = re.compile(r"[a-z0-9]+")  # the same for ASCII, in half the time
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")


def find_words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, in their order.

    For English that is what the rouge-score package takes for words, without its stemmer.
    """
    return (_PLAIN if text.isascii() else _WORD).findall(to_nfc(text).lower())
