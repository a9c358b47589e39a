"""A confusion matrix for the terminal: which class was taken for which, in 80 columns.

Where all classes do not fit, the pairs that were confused most often stand in a list instead.
"""

from collections.abc import Sequence

from ftops.scoring.evaluation import Confusion

_OTHER = "other"  # answers that are none of the labels
_MOST_LABEL = 16
_MOST_PAIRS = 10


def render_confusion(confusion: Confusion, *, width: int = 78) -> str:
    """One line a class with what its rows were answered; "" without classes.

    Nothing is written for 0, so that what is off the diagonal can be seen; a column that nobody
    ever answered is left out only if it is that of other answers.
    """
    if not confusion.labels:
        return ""
    columns = [*confusion.labels, *((_OTHER,) if any(row[-1] for row in confusion.counts) else ())]
    names = [_cut(label) for label in columns]
    widths = [
        max(len(name), *(len(f"{row[place]:,}") for row in confusion.counts))
        for place, name in enumerate(names)
    ]
    side = max(len("expected"), *(len(_cut(label)) for label in confusion.labels))
    if side + sum(cell + 2 for cell in widths) > width:
        return _render_pairs(confusion, width)
    lines = [f"{'expected':<{side}}  " + "  ".join(_align(names, widths))]
    for label, row in zip(confusion.labels, confusion.counts, strict=True):
        cells = [f"{count:,}" if count else "·" for count in row[: len(columns)]]
        lines.append(f"{_cut(label):<{side}}  " + "  ".join(_align(cells, widths)))
    return "\n".join(line.rstrip() for line in lines)


def find_confused(confusion: Confusion) -> list[tuple[str, str, int, int]]:
    """Expected label, given label, how often, of how many rows; the most frequent first."""
    found = []
    for place, (label, row) in enumerate(zip(confusion.labels, confusion.counts, strict=True)):
        for other, count in enumerate(row):
            if count and other != place:
                given = confusion.labels[other] if other < len(confusion.labels) else _OTHER
                found.append((label, given, count, sum(row)))
    return sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))


def _render_pairs(confusion: Confusion, width: int) -> str:
    pairs = find_confused(confusion)
    if not pairs:
        return f"None of {len(confusion.labels)} classes was taken for another."
    half = (width - 24) // 2
    shown = [(_cut(a, half), _cut(b, half), n, rows) for a, b, n, rows in pairs[:_MOST_PAIRS]]
    first = max(len("expected"), *(len(a) for a, _, _, _ in shown))
    second = max(len("given"), *(len(b) for _, b, _, _ in shown))
    lines = [f"{'expected':<{first}}  {'given':<{second}}  {'rows':>6}  {'share':>5}"]
    for expected, given, count, rows in shown:
        share = f"{count / rows:.0%}"
        lines.append(f"{expected:<{first}}  {given:<{second}}  {count:>6,}  {share:>5}")
    if len(pairs) > len(shown):
        lines.append(f"and {len(pairs) - len(shown)} other pairs")
    return "\n".join(lines)


def _align(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True)]


def _cut(label: str, most: int = _MOST_LABEL) -> str:
    """The label on one line, not longer than so many characters."""
    text = " ".join(label.split()) or "(empty)"
    return text if len(text) <= most else text[: most - 1] + "…"
