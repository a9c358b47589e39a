"""Letters that came to harm on their way: garbled ones, and line ends of Windows."""

import re

from ftops.data.fixes.protocol import Portion, TextFix

# A letter of UTF-8 that was read as Windows-1252: one of C2 to F4, and what its other bytes became.
_TAIL = (
    "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014"
    "\u2018-\u201a\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122"
)
_GARBLED = re.compile(f"(?:[\u00c2-\u00f4][{_TAIL}]{{1,3}})+")
_SUSPECTS = ("\u00c2", "\u00c3", "\u00e2\u20ac", "\u00ef\u00bb\u00bf")
_HOLES = {0x81: 0x81, 0x8D: 0x8D, 0x8F: 0x8F, 0x90: 0x90, 0x9D: 0x9D}  # no letters in cp1252


class MendMojibake(TextFix):
    CODE = "fix-mojibake"
    TITLE = "mend garbled letters"
    ABOUT = (
        "UTF-8 that was read as Windows-1252 is read again: `Ã©` becomes `é`. Only where all that"
        " looks garbled in a text turns into letters; a text in which something does not is left"
        " alone."
    )
    EVERY = True

    def apply(self, portion: Portion) -> None:
        portion.prompts = [self.change(text) for text in portion.prompts]
        portion.completions = [self.change(text) for text in portion.completions]

    def change(self, text: str) -> str:
        if text.isascii() or not any(sign in text for sign in _SUSPECTS):
            return text
        try:
            return _GARBLED.sub(_decode, text)
        except UnicodeError:
            return text


def _decode(found: "re.Match[str]") -> str:
    data = bytearray()
    for character in found[0]:
        code = ord(character)
        data += bytes([code]) if code in _HOLES else character.encode("cp1252")
    return data.decode("utf-8")


class UnifyNewlines(TextFix):
    CODE = "normalize-newlines"
    TITLE = "end lines with a line feed alone"
    ABOUT = "Carriage returns, with a line feed or alone, become line feeds."
    EVERY = True

    def apply(self, portion: Portion) -> None:
        portion.prompts = list(map(self.change, portion.prompts))
        portion.completions = list(map(self.change, portion.completions))

    def change(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
