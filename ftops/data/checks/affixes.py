"""How texts end and begin: figures that the checks of prompts and of completions share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import Self

from ftops.data.findings import Occurrences
from ftops.data.profile import get_common_prefix
from ftops.records import Json

_NEARLY_ALL = 0.9
# The characters of a text among which capitals count: the first letter of a sentence is always one.
_SAMPLE = itemgetter(slice(2, 22))
_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))
_SMALL = bytes(range(ord("a"), ord("z") + 1))
_NOT_CAPITALS = bytes(set(range(256)) - set(_CAPITALS))
_NOT_SMALL = bytes(set(range(256)) - set(_SMALL))


@dataclass(slots=True)
class CommonPrefix:
    """What all texts begin with; None before the first."""

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
    """How many Latin letters at the beginning of texts are capitals."""

    upper: int = 0
    lower: int = 0

    def add(self, texts: Sequence[str], mark: str) -> None:
        """Look at texts, without the mark that they end with."""
        if mark.lower() != mark:
            texts = [text.removesuffix(mark) for text in texts]
        sample = "".join(map(_SAMPLE, texts)).encode("utf-8", "replace")
        self.upper += len(sample.translate(None, _NOT_CAPITALS))
        self.lower += len(sample.translate(None, _NOT_SMALL))

    def merge(self, later: Self) -> None:
        self.upper += later.upper
        self.lower += later.lower

    def propose(self, mark: str) -> dict[str, Json] | None:
        """The values of a fix that writes small letters: only where nearly all are capitals."""
        return {"keep": mark} if self.share >= _NEARLY_ALL else None

    @property
    def share(self) -> float:
        """The share of capitals among letters, from 0 to 1."""
        letters = self.upper + self.lower
        return self.upper / letters if letters else 0.0


@dataclass(slots=True)
class CommonEnding:
    """The ending that most texts have: which lack it, and which hold it more than once."""

    mark: str
    lacking: Occurrences = field(default_factory=Occurrences)
    inside: Occurrences = field(default_factory=Occurrences)

    def add(self, texts: Sequence[str], joined: str, places: Sequence[int]) -> None:
        """Look at texts, which are also `joined`; nothing when there is no mark."""
        mark = self.mark
        if not mark or not texts:
            return
        ending = list(map(str.endswith, texts, repeat(mark)))
        self.lacking.add_where(ending, places, wanted=False)
        # As often as texts end with it is as often as it stands there: then it is inside of none.
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
    """Which of the known marks occur in no text, so that they may be proposed."""

    marks: tuple[str, ...]
    found: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)  # those that stand elsewhere than at an end
    ending: dict[str, int] = field(default_factory=dict)
    signs: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.signs = [_rarest(mark) for mark in self.marks]

    def add(self, texts: Sequence[str], joined: str) -> None:
        """Look for those that were not found yet; count the texts that end with one."""
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

    def look(self, joined: str) -> None:
        """Look for marks in other texts, too, in which none is expected."""
        for mark, sign in zip(self.marks, self.signs, strict=True):
            if sign in joined and mark in joined:
                self.found.add(mark)

    def proposal(self) -> str:
        """The first mark that stands in no text."""
        return next((mark for mark in self.marks if mark not in self.found), "\n\n##=##\n\n")

    def propose(self, name: str, mark: str = "") -> dict[str, Json]:
        """The values of a fix that puts a free mark in the place of `mark` and of those found."""
        return self.keep(name, self.proposal(), mark)

    def keep(self, name: str, mark: str, old: str = "") -> dict[str, Json]:
        """The values of a fix that ends all texts with `mark`, as `name`, and with no other.

        White space, and a sign that also stands inside of a text, is content: it is not replaced.
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
    """The values of a fix that takes a common beginning away, without cutting into a word.

    None when nothing of more than `longer` characters is left of it.
    """
    end = len(prefix)
    while end and (prefix[end - 1].isalnum() or prefix[end - 1] == "_"):
        end -= 1
    return {"prefix": prefix[:end]} if end > longer else None


def _rarest(mark: str) -> str:
    """The character of a mark that text has least."""
    return min(mark.strip(), key=lambda sign: (sign.isalnum(), sign == "-"), default=mark[0])
