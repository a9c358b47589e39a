"""What a tuned model must reach: `{accuracy: ">= 0.85", accuracy_over_few_shot: "> 0.03"}`.

Imports nothing heavy: job files ask it.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ftops.metrics.result import Unit

OPERATORS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        ">=": operator.ge,
        ">": operator.gt,
        "<=": operator.le,
        "<": operator.lt,
        "==": operator.eq,
    }
)
_TEXT = re.compile(r"\s*(>=|<=|==|>|<)\s*([^\s%]+)\s*(%?)\s*", re.ASCII)
_NAME = re.compile(r"\w+(?:[.-]\w+)*")
_OVER = "_over_"
DIGITS = 9  # figures are compared to so many places: 0.88 - 0.85 is not more than 0.03

# Figures of requests (`RequestStats`) that a requirement can name beside the metrics.
REQUEST_METRICS: Mapping[str, Unit] = MappingProxyType(
    {
        "prompt_tokens": Unit.TOKENS,
        "completion_tokens": Unit.TOKENS,
        "usd_per_1000": Unit.USD,
        "p50_s": Unit.SECONDS,
        "p95_s": Unit.SECONDS,
    }
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement as it was read: the figure `name` compared with `bound`.

    With `over` it is the figure's difference to the candidate whose name makes this slug.
    """

    name: str
    comparison: str
    bound: float
    text: str
    over: str | None = None

    @property
    def metric(self) -> str:
        """The metric that has to be measured, also where a difference is wanted."""
        return self.name


def parse_requirement(name: str, text: object) -> Requirement:
    """Read one line of `require`; ValueError in plain words when it is none.

    The text is an operator (>=, >, <=, <, ==) and a number, or a percentage: "85 %" is 0.85.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"`{name}` is no name of a figure")
    if not isinstance(text, str):
        raise ValueError(f'`{name}` needs an operator and a number, in quotes: ">= {text}"')
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(
            f"`{text}` is no requirement: write one of {', '.join(OPERATORS)} and a number, as in"
            ' ">= 0.85"'
        )
    try:
        bound = float(found[2])
    except ValueError:
        raise ValueError(f"`{found[2]}` in `{text}` is no number") from None
    if not math.isfinite(bound):
        raise ValueError(f"`{found[2]}` in `{text}` is no number that a figure can be held to")
    metric, over, slug = name.partition(_OVER)
    if over and (not metric or not slug):
        raise ValueError(f"`{name}` needs a metric before `{_OVER}` and a candidate after it")
    if found[3]:
        bound /= 100
    plain = f"{name} {found[1]} {found[2]}{'%' if found[3] else ''}"
    return Requirement(metric, found[1], bound, plain, slug or None)


def make_slug(name: str) -> str:
    """A candidate's name as requirements and file names write it: `few-shot: 5` is `few_shot_5`."""
    return re.sub(r"[^\w.]+", "_", name.lower()).strip("_")
