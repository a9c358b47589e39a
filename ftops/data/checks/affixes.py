"""Common prefixes, endings and case of texts, for the checks of prompts and completions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import Self

from ftops.data.findings import Occurrences
from ftops.data.profile import get_common_prefix
from ftops.records import Json

_NEARLY_ALL = 0.9
# The characters in which upper case is counted; a sentence starts with an upper-case letter.
_SAMPLE = itemgetter(slice(2, 22))
_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))
_SMALL = bytes(range(ord("a"), ord("z") + 1))
_NOT_CAPITALS = bytes(set(range(256)) - set(_CAPITALS))
_NOT_SMALL = bytes(set(range(256)) - set(_SMALL))


@dataclass(slots=True)
class CommonPrefix:
    """The common prefix of all texts; None before the first."""

    value: str | None = None

    def add(self, texts: Sequence[str]) -> None:
        if self.value == "" or not texts:
            return
        if self.value is None:
            self.value = get_common_prefix(texts)
        elif not all(map(str.startswith, texts, repeat(self.value))):
            self.value = get_common_prefix([self.value, *texts])

    def merge(self, later: Self) -> None:
        if self.value is None or later.value is None:
            self.value = later.value if self.value is None else self.value
        else:
            self.value = get_common_prefix([self.value, later.value])


@dataclass(slots=True)
class Capitals:
    """The number of upper-case and lower-case Latin letters at the beginning of texts."""

    upper: int = 0
    lower: int = 0

    def add(self, texts: Sequence[str], mark: str) -> None:
        """Count the letters of texts, without their common ending."""
        if mark.lower() != mark:
            texts = [text.removesuffix(mark) for text in texts]
        sample = "".join(map(_SAMPLE, texts)).encode("utf-8", "replace")
        self.upper += len(sample.translate(None, _NOT_CAPITALS))
        self.lower += len(sample.translate(None, _NOT_SMALL))

    def merge(self, later: Self) -> None:
        self.upper += later.upper
        self.lower += later.lower

    def propose(self, mark: str) -> dict[str, Json] | None:
        """Parameters of the lower-case fix; None unless nearly all letters are upper case."""
        return {"keep": mark} if self.share >= _NEARLY_ALL else None

    @property
    def share(self) -> float:
        """The share of upper-case letters, from 0 to 1."""
        letters = self.upper + self.lower
        return self.upper / letters if letters else 0.0


@dataclass(slots=True)
class CommonEnding:
    """The common ending: which texts lack it, and which also contain it elsewhere."""

    mark: str
    lacking: Occurrences = field(default_factory=Occurrences)
    inside: Occurrences = field(default_factory=Occurrences)

    def add(self, texts: Sequence[str], joined: str, places: Sequence[int]) -> None:
        """Check texts; `joined` is the same texts in one string."""
        mark = self.mark
        if not mark or not texts:
            return
        ending = list(map(str.endswith, texts, repeat(mark)))
        self.lacking.add_where(ending, places, wanted=False)
        # if it occurs only as often as texts end with it, it occurs only at their ends
        if joined.count(mark) != ending.count(True):
            size = len(mark)
            inside = [
                mark in (text[:-size] if ends else text)
                for text, ends in zip(texts, ending, strict=True)
            ]
            self.inside.add_where(inside, places)

    def merge(self, later: Self, shift: int) -> None:
        self.lacking.merge(later.lacking, shift)
        self.inside.merge(later.inside, shift)


@dataclass(slots=True)
class MarkerFinder:
    """Which known separators or stop sequences occur in no text, so they can be proposed."""

    marks: tuple[str, ...]
    found: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)  # those that occur elsewhere than at the end
    ending: dict[str, int] = field(default_factory=dict)
    signs: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.signs = [_rarest(mark) for mark in self.marks]

    def add(self, texts: Sequence[str], joined: str) -> None:
        """Search for each marker, and count the texts that end with it."""
        signs: dict[str, bool] = {}
        for mark, sign in zip(self.marks, self.signs, strict=True):
            if sign not in signs:
                signs[sign] = sign in joined
            if not signs[sign] or mark not in joined:
                continue
            self.found.add(mark)
            count = sum(map(str.endswith, texts, repeat(mark)))
            if count:
                self.ending[mark] = self.ending.get(mark, 0) + count
            if mark not in self.inside and joined.count(mark) != count:
                self.inside.add(mark)

    def merge(self, later: Self) -> None:
        self.found |= later.found
        self.inside |= later.inside
        for mark, count in later.ending.items():
            self.ending[mark] = self.ending.get(mark, 0) + count

    def search(self, joined: str) -> None:
        """Search other texts, in which no marker is expected."""
        for mark, sign in zip(self.marks, self.signs, strict=True):
            if sign in joined and mark in joined:
                self.found.add(mark)

    def proposal(self) -> str:
        """The first marker that occurs in no text."""
        return next((mark for mark in self.marks if mark not in self.found), "\n\n##=##\n\n")

    def propose(self, name: str, mark: str = "") -> dict[str, Json]:
        """Parameters of a fix that replaces `mark` and known endings with an unused marker."""
        return self.keep(name, self.proposal(), mark)

    def keep(self, name: str, mark: str, old: str = "") -> dict[str, Json]:
        """Parameters of a fix that ends all texts with `mark`, passed as `name`, and no other.

        White space, and a marker that also occurs inside a text, is content and not replaced.
        """
        known = {one for one in self.ending if one.strip() and one not in self.inside}
        others = [
            one
            for one in {old} | known
            if one and not one.endswith(mark) and not mark.endswith(one)
        ]
        others.sort(key=lambda one: (-len(one), one))
        return {name: mark, "instead_of": [*others]}


def propose_prefix(prefix: str, longer: int) -> dict[str, Json] | None:
    """Parameters of a fix that removes a common prefix, cut at a word boundary.

    None if it has no more than `longer` characters.
    """
    end = len(prefix)
    while end and (prefix[end - 1].isalnum() or prefix[end - 1] == "_"):
        end -= 1
    return {"prefix": prefix[:end]} if end > longer else None


def _rarest(mark: str) -> str:
    """The character of a marker that is rarest in text."""
    return min(mark.strip(), key=lambda sign: (sign.isalnum(), sign == "-"), default=mark[0])
