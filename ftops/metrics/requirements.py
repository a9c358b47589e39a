"""What a tuned model must reach: `{accuracy: ">= 0.85", accuracy_over_few_shot: "> 0.03"}`.

Imports nothing heavy: job files ask it.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ftops.metrics.evaluation import CandidateScore, Comparison, Requests, Requirement

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
_DIGITS = 9  # figures are compared to so many places: 0.88 - 0.85 is not more than 0.03

OF_REQUESTS: Mapping[str, Callable[[Requests], float | None]] = MappingProxyType(
    {
        "prompt_tokens": lambda one: one.prompt_tokens,
        "completion_tokens": lambda one: one.completion_tokens,
        "usd_per_1000": lambda one: one.usd_per_1000,
        "p50_s": lambda one: one.p50_s,
        "p95_s": lambda one: one.p95_s,
    }
)


@dataclass(frozen=True, slots=True)
class Wanted:
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


def parse_requirement(name: str, text: object) -> Wanted:
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
    return Wanted(metric, found[1], bound, plain, slug or None)


def make_slug(name: str) -> str:
    """A candidate's name as requirements and file names write it: `few-shot: 5` is `few_shot_5`."""
    return re.sub(r"[^\w.]+", "_", name.lower()).strip("_")


def judge_requirements(
    wanted: Sequence[Wanted],
    tuned: CandidateScore | None,
    others: Sequence[CandidateScore],
    comparisons: Sequence[Comparison] = (),
) -> tuple[Requirement, ...]:
    """Whether the tuned candidate meets each. A figure that is not there, or NaN, meets nothing.

    A difference is judged by its value; `reason` says where it may well be chance.
    """
    return tuple(_judge(one, tuned, others, comparisons) for one in wanted)


def _judge(
    wanted: Wanted,
    tuned: CandidateScore | None,
    others: Sequence[CandidateScore],
    comparisons: Sequence[Comparison],
) -> Requirement:
    if tuned is None:
        return Requirement(wanted.text, None, False, "no candidate was scored")
    value = find_value(tuned, wanted.name)
    if value is None:
        return Requirement(wanted.text, None, False, _missing(tuned, wanted.name))
    if wanted.over is None:
        return _settle(wanted, value, "")
    other = find_candidate(wanted.over, others)
    if other is None:
        named = ", ".join(make_slug(one.name) for one in others) or "none"
        reason = f"there is no candidate `{wanted.over}` to compare with; there are: {named}"
        return Requirement(wanted.text, None, False, reason)
    theirs = find_value(other, wanted.name)
    if theirs is None:
        return Requirement(wanted.text, None, False, _missing(other, wanted.name))
    reason = _explain(wanted.name, tuned.name, other.name, comparisons)
    return _settle(wanted, value - theirs, reason)


def _settle(wanted: Wanted, value: float, reason: str) -> Requirement:
    compared = OPERATORS[wanted.comparison](round(value, _DIGITS), round(wanted.bound, _DIGITS))
    return Requirement(wanted.text, value, compared, reason)


def find_value(score: CandidateScore, name: str) -> float | None:
    """A candidate's figure of that name, of its metrics or its requests; None if there is none."""
    figure = score.metrics.get(name)
    if figure is not None:
        return figure.value if math.isfinite(figure.value) else None
    read = OF_REQUESTS.get(name)
    value = read(score.requests) if read and score.requests else None
    return value if value is not None and math.isfinite(value) else None


def find_candidate(slug: str, others: Sequence[CandidateScore]) -> CandidateScore | None:
    """The candidate of that slug, or the only one of that kind, or whose name begins like that."""
    wanted = make_slug(slug)
    exact = [one for one in others if make_slug(one.name) == wanted]
    of_kind = [one for one in others if make_slug(one.kind.value) == wanted]
    begins = [one for one in others if make_slug(one.name).startswith(f"{wanted}_")]
    return next((found[0] for found in (exact, of_kind, begins) if len(found) == 1), None)


def _missing(score: CandidateScore, name: str) -> str:
    if name in OF_REQUESTS:
        return f"`{name}` of {score.name} is not known"
    return f"{score.name} has no figure `{name}`; it has: {', '.join(score.metrics) or 'none'}"


def _explain(metric: str, first: str, second: str, comparisons: Sequence[Comparison]) -> str:
    for one in comparisons:
        if (one.first, one.second, one.metric) == (first, second, metric):
            if one.low <= 0 <= one.high:
                return (
                    f"may be chance: the 95 % interval of the difference, {one.low:+.3f} to"
                    f" {one.high:+.3f}, holds 0"
                )
            return f"the 95 % interval of the difference is {one.low:+.3f} to {one.high:+.3f}"
    return ""
