"""Words and languages of texts: splitting, counting, shares, and lists of fields.

The script determines the language if it is unique (by Unicode blocks), otherwise common short
words in the text do; with fewer than two such words, the language is unknown. This finds rows in an
unexpected language, but does not distinguish dialects.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ftops.text import to_nfc

# in a script without spaces, each letter is a word
_WORD = re.compile("[^\\W\\d_\u2e80-\U0003ffff]+|[\u2e80-\u9fff\uac00-\ud7ff\U00020000-\U0003ffff]")
_KEY = re.compile(r"(?:^|[\n.;,|/\t])[ ]*([^\W\d_](?:[\w -]{0,22}[^\W\d_])?) ?:(?!//)(?=\s*\S)")
_LEAST_FIELDS = 2
_VALUE_WORDS = 4
# A Chinese, Japanese or Korean character counts as a word, since they have no spaces.
_COUNTED_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\\W\\d_]+(?:['’][^\\W\\d_]+)?"
)
MOST_DIFFERENT = 500_000
_BLOCKS: tuple[tuple[int, str], ...] = (
    (0x0000, "Latin"), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"),
    (0x0590, "Hebrew"), (0x0600, "Arabic"), (0x0780, "other"), (0x0900, "Devanagari"),
    (0x0980, "Indic"), (0x0E00, "Thai"), (0x0E80, "other"), (0x10A0, "Georgian"),
    (0x1100, "Hangul"), (0x1200, "other"), (0x1E00, "Latin"), (0x1F00, "Greek"), (0x2000, "other"),
    (0x2C60, "Latin"), (0x2C80, "other"), (0x2E80, "Han"), (0x3040, "Kana"), (0x3100, "Han"),
    (0x3130, "Hangul"), (0x3190, "Han"), (0x31F0, "Kana"), (0x3200, "Han"), (0xA000, "other"),
    (0xAC00, "Hangul"), (0xD7B0, "other"), (0xF900, "Han"), (0xFB00, "Latin"), (0xFB1D, "Hebrew"),
    (0xFB50, "Arabic"), (0xFE00, "other"), (0xFE70, "Arabic"), (0xFF00, "Latin"), (0xFF66, "Kana"),
    (0xFFA0, "Hangul"), (0xFFE0, "other"), (0x20000, "Han"), (0x40000, "other"),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]
_BY_SCRIPT = {
    "Greek": "Greek", "Hebrew": "Hebrew", "Arabic": "Arabic or Persian", "Devanagari": "Hindi",
    "Thai": "Thai", "Hangul": "Korean", "Armenian": "Armenian", "Georgian": "Georgian",
}  # fmt: skip
_COMMON: Mapping[str, str] = {
    "English": "the of and a to in is that it for was on are with as be this by what how not you"
    " i do at he we",
    "German": "der die das und ist nicht ein eine zu den mit von auf für im sich dem wie auch",
    "French": "le la les et est des une dans pour que qui sur pas plus avec au du ce sont",
    "Spanish": "el la los las y es en que del una por con para se como más su al lo",
    "Italian": "il la che di è un una per non con del della sono le gli nel come più si",
    "Portuguese": "o a os as e é que do da em um uma para com não por dos como mais ao",
    "Dutch": "de het een en van is niet dat op te zijn met voor aan er ook als bij dan",
    "Swedish": "och att det som en på är av för med den till inte om ett har jag var",
    "Polish": "i w na z że się nie do jest to jak o za od po co dla tak był",
    "Turkish": "ve bir bu da de için ile çok olarak daha ne gibi olan mi ama var kadar sonra",
}
_LANGUAGES: dict[str, list[str]] = {}
for _language, _words in _COMMON.items():
    for _word in _words.split():
        _LANGUAGES.setdefault(_word, []).append(_language)
_LETTERS = re.compile(r"[^\W\d_]+")
_NO_LETTERS = bytes(byte for byte in range(256) if not chr(byte).isalpha() or byte > 127)
_LOOKED_AT = 600  # characters per row to examine
_ENOUGH = 2


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


def count_scripts(text: str) -> Counter[str]:
    """The number of letters of each script in the text."""
    if text.isascii():
        latin = len(text.encode().translate(None, _NO_LETTERS))
        return Counter({"Latin": latin} if latin else {})
    letters = Counter[str]()
    for character, count in Counter(text).items():
        if character.isalpha():
            letters[_BLOCKS[bisect_right(_STARTS, ord(character)) - 1][1]] += count
    return letters


def guess_language(text: str) -> str:
    """The language of a text; "" if it is unknown."""
    text = text[:_LOOKED_AT]
    scripts = count_scripts(text)
    if not scripts:
        return ""
    script, _ = scripts.most_common(1)[0]
    if script in ("Han", "Kana"):
        return "Japanese" if scripts["Kana"] * 10 > scripts["Han"] else "Chinese"
    if script == "Cyrillic":
        return "Ukrainian" if set(text.lower()) & set("іїєґ") else "Russian"
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    hits: dict[str, int] = {}
    for word in _LETTERS.findall(text.lower()):
        for language in _LANGUAGES.get(word, ()):
            hits[language] = hits.get(language, 0) + 1
    best = max(hits, key=hits.__getitem__, default="")
    return best if hits.get(best, 0) >= _ENOUGH else ""


@dataclass(slots=True)
class LanguageCounter:
    """Counts rows by language and letters by script."""

    languages: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        """Count the text of one row."""
        self.languages[guess_language(text)] += 1
        self.scripts.update(count_scripts(text))
