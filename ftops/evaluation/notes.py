"""Sentences for whoever reads the figures. Each is made by one small function, with its threshold.

`None` means: nothing to say.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from statistics import NormalDist

from ftops.evaluation.result import CandidateKind, CandidateScore
from ftops.metrics.prediction import Prediction, Problem
from ftops.metrics.result import Comparison, Verdict
from ftops.metrics.significance import ALPHA, POWER

COLLAPSED = 0.95  # of the answers are the same; the rows expect it half as often or less
FEW_ROWS = 30  # below that an interval is wide, whatever it holds
SIMPLE = (CandidateKind.NAIVE_BAYES, CandidateKind.NEAREST, CandidateKind.MAJORITY)


def note_constant(answers: Sequence[Prediction]) -> str | None:
    """Class collapse: (nearly) every answer is the same, where rows expect different ones."""
    given = Counter(one.predicted_label for one in answers if one.problem is not Problem.FAILED)
    if not given or len(answers) < 2:
        return None
    text, times = given.most_common(1)[0]
    expected = sum(one.expected_label == text for one in answers)
    if times < COLLAPSED * given.total() or expected > times / 2:
        return None
    how = "every answer" if times == given.total() else f"{times:,} of {given.total():,} answers"
    wanted = f"{expected:,} of {len(answers):,} rows expect it"
    return f"constant answer: {how} is {_quote(text)}, and {wanted}"


def note_problems(
    problems: dict[str, int], outside: int, answers: Sequence[Prediction]
) -> list[str]:
    """One sentence for each problem, with the lines of the first rows that have it."""
    told = {
        "empty": "answers are empty",
        "refused": "answers are refusals",
        "truncated": "answers were cut at max_tokens",
        "failed": "rows got no answer and count as wrong",
    }
    found = [
        f"{times:,} of {len(answers):,} {told[name]}{_find_lines(name, answers)}"
        for name, times in problems.items()
    ]
    if outside:
        found.append(f"{outside:,} of {len(answers):,} answers are none of the classes, thus wrong")
    return found


def _find_lines(name: str, answers: Sequence[Prediction]) -> str:
    having = [one for one in answers if one.problem is not None and one.problem.value == name]
    if not having:
        return ""
    lines = ", ".join(str(one.line) for one in having[:3])
    reason = next((f": {_quote(one.note)}" for one in having if one.note), "")
    more = ", …" if len(having) > 3 else ""
    return f" (line{'s' if len(having) > 1 else ''} {lines}{more}{reason})"


def note_memorised(answers: Sequence[Prediction], overlap: Collection[int]) -> str | None:
    """Rows that were trained on are answered better than the others, beyond chance (5 %)."""
    known = [one.correct for one in answers if one.line in overlap]
    new = [one.correct for one in answers if one.line not in overlap]
    if not known or not new:
        return None
    shares = sum(known) / len(known), sum(new) / len(new)
    whole = (sum(known) + sum(new)) / len(answers)
    error = math.sqrt(whole * (1 - whole) * (1 / len(known) + 1 / len(new)))
    if not error or (shares[0] - shares[1]) / error < NormalDist().inv_cdf(1 - ALPHA):
        return None
    return (
        f"memorised: {shares[0]:.1%} of the {len(known):,} rows that are training rows are right,"
        f" but {shares[1]:.1%} of the {len(new):,} others"
    )


def note_overlap(overlap_rows: int | None, rows: int) -> str | None:
    """A leak: rows that the model was trained on say nothing of new ones."""
    if not overlap_rows:
        return None
    return (
        f"leak: {overlap_rows:,} of {rows:,} rows are training rows, too, or nearly; figures are"
        " better than they would be on new rows"
    )


def note_few_rows(rows: int) -> str | None:
    """So few rows tell little."""
    if rows >= FEW_ROWS:
        return None
    many = "1 row is little" if rows == 1 else f"{rows:,} rows are few"
    return f"{many}: intervals from them are wide and rough"


def note_comparison(
    one: Comparison, second: CandidateScore, *, primary_metric: str, rows: int
) -> str | None:
    """What a comparison says, where that is not simply that the first candidate is better."""
    figure = f"{one.metric}: {one.difference:+.3f}, 95 % interval {one.low:+.3f} to {one.high:+.3f}"
    if one.verdict is Verdict.WORSE:
        cheaper = "; that one costs nothing" if second.kind in SIMPLE else ""
        return f"{one.first} is worse than {one.second} ({figure}){cheaper}"
    if one.verdict is Verdict.NO_DIFFERENCE:
        return f"no difference between {one.first} and {one.second} ({figure})"
    if one.verdict is Verdict.TOO_FEW_ROWS and one.metric == primary_metric:
        few = "1 row is" if rows == 1 else f"{rows:,} rows are"
        return f"{few} too few to tell {one.first} from {one.second} ({figure})" + _tell_needed(one)
    return None


def _tell_needed(one: Comparison) -> str:
    if one.rows_needed is None:
        return ""
    return (
        f"; a difference of that size would need about {one.rows_needed:,} rows"
        f" (power {POWER}, alpha {ALPHA})"
    )


def note_corrected(comparisons: Sequence[Comparison]) -> str | None:
    """Comparisons that would be called real alone, but not among so many."""
    lost = [
        f"{one.second} ({one.metric})"
        for one in comparisons
        if one.p_corrected is not None and one.p_value < ALPHA <= one.p_corrected
    ]
    if not lost:
        return None
    return (
        f"not called different, since {len(comparisons)} comparisons were made (Holm's"
        f" correction): {', '.join(lost)}"
    )


def collect(*notes: str | None) -> Iterator[str]:
    """Those that say something."""
    return (one for one in notes if one)


def _quote(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= most else f"{line[: most - 1]}…")
