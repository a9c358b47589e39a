"""Requirements: `{accuracy: ">= 0.85", accuracy_over_few_shot: "> 0.03"}`.

Job files are checked with this module, so it does not import NumPy.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
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
_IN = "_in_"
DIGITS = 9  # decimal places to compare: 0.88 - 0.85 is not more than 0.03

# Values of `RequestStats` that requirements can name besides metrics.
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
    """A requirement: the metric `name` compared with `bound`.

    With `over`, the difference to the candidate whose name has this slug is compared. With `field`,
    it holds for each slice of the rows by this field.
    """

    name: str
    comparison: str
    bound: float
    text: str
    over: str | None = None
    field: str | None = None


def parse_requirement(name: str, text: object, fields: Sequence[str] = ()) -> Requirement:
    """Parse one entry of `require`; ValueError if it is malformed.

    The name may end in `_in_FIELD`, with one of the `fields` of `evaluate.slices`. The text is an
    operator (>=, >, <=, <, ==) and a number, or a percentage: "85 %" is 0.85.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"`{name}` is not the name of a metric")
    if not isinstance(text, str):
        raise ValueError(f'`{name}` needs an operator and a number, in quotes: ">= {text}"')
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"`{text}` is not a requirement: write one of {', '.join(OPERATORS)} and a number, as"
            ' in ">= 0.85"'
        )
    try:
        bound = float(match[2])
    except ValueError:
        raise ValueError(f"`{match[2]}` in `{text}` is not a number") from None
    if not math.isfinite(bound):
        raise ValueError(f"`{match[2]}` in `{text}` is not a finite number")
    field = next((field for field in fields if name.endswith(f"{_IN}{make_slug(field)}")), None)
    whole = name if field is None else name.removesuffix(f"{_IN}{make_slug(field)}")
    metric, over, slug = whole.partition(_OVER)
    if over and (not metric or not slug):
        raise ValueError(f"`{name}` needs a metric before `{_OVER}` and a candidate after it")
    if match[3]:
        bound /= 100
    normalized = f"{name} {match[1]} {match[2]}{'%' if match[3] else ''}"
    return Requirement(metric, match[1], bound, normalized, slug or None, field)


def make_slug(name: str) -> str:
    """A candidate's name in requirements and file names: `few-shot: 5` becomes `few_shot_5`."""
    return re.sub(r"[^\w.]+", "_", name.lower()).strip("_")
