"""The words of texts: how many different ones, and which stand there most."""

import re
from collections import Counter
from dataclasses import dataclass, field

# A Chinese, Japanese or Korean character counts as a word: nothing parts words there.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\\W\\d_]+(?:['’][^\\W\\d_]+)?")
MOST_DIFFERENT = 500_000


@dataclass(slots=True)
class Words:
    """Counts words, small and capital letters alike; new ones only up to half a million."""

    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    is_full: bool = False

    def add(self, text: str) -> None:
        """Count the words of a text."""
        words = _WORD.findall(text.lower())
        self.total += len(words)
        if self.is_full:
            words = [word for word in words if word in self.counts]
        self.counts.update(words)
        self.is_full = self.is_full or len(self.counts) >= MOST_DIFFERENT

    @property
    def once(self) -> int:
        """How many words stand there only once."""
        return sum(1 for count in self.counts.values() if count == 1)
