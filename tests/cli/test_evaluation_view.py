"""An evaluation on the terminal: complete, escaped, in 80 columns."""

import io
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console

from ftops.cli.evaluation_view import render_confusion, render_evaluation
from ftops.evaluation.result import KEEP, CandidateKind, Evaluation
from ftops.evaluation.scoring import CandidatePredictions, choose_default_metrics, evaluate
from ftops.metrics.prediction import Prediction
from ftops.metrics.result import Confusion, Verdict
from tests.reports.evaluations import make_comparison, make_evaluation, make_hostile


def render(evaluation: Evaluation, width: int = 80) -> str:
    return show(*render_evaluation(evaluation), width=width)


def show(*renderables: object, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, highlight=False)
    for renderable in renderables:
        console.print(renderable)
    return stream.getvalue()


def test_candidates_verdicts_requirements_and_skipped_candidates_are_shown() -> None:
    text = render(make_evaluation(make_comparison("naive Bayes", 0.1, Verdict.BETTER)))
    for part in (
        "Evaluation on test.jsonl (100 rows)",
        "90.0% (85.0–95.0)",
        "The tuned model is better than naive Bayes.",
        "✓ accuracy >= 0.85 (90.0%)",
        "✗ accuracy_over_naive_bayes > 0.2 (10.0%: may be chance)",
        "base: it knows nothing",
        "one note",
        "12.0 tokens fewer a request than base",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_slices_and_rows_to_keep_have_their_own_candidates_and_verdicts() -> None:
    evaluation = make_evaluation(make_comparison("base", -0.1, Verdict.WORSE))
    parts = (replace(evaluation, name="language=de"), replace(evaluation, name=KEEP))
    shown = render(replace(make_evaluation(), parts=parts))
    assert "Slice language=de: test.jsonl (100 rows)" in shown
    assert "Before and after tuning: test.jsonl (100 rows)" in shown
    assert shown.count("tuned is worse than base by 10.0 points of accuracy") == 2


def test_foreign_texts_are_shown_literally_and_escaped() -> None:
    text = render(make_hostile())
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "**bold**" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_classes_of_few_labels_are_shown_as_a_matrix() -> None:
    answers = [Prediction(n, "p", "abc"[n % 3], "abc"[n % 3] if n % 5 else "a") for n in range(60)]
    candidates = [CandidatePredictions("tuned", CandidateKind.TUNED, answers)]
    text = render(evaluate("f", candidates, choose_default_metrics(answers)))
    assert "Classes (tuned)" in text
    lines = text.splitlines()
    place = lines.index("Confusion matrix (rows: expected, columns: predicted)")
    assert lines[place + 1].split() == ["a", "b", "c"]
    assert lines[place + 3].split() == ["b", "4", "16", "·"]


def test_numeric_labels_are_column_headings() -> None:
    text = show(*render_confusion(Confusion(("0", "1"), ((5, 2, 0), (1, 6, 0)))))
    assert [line.split() for line in text.splitlines()[-3:]] == [
        ["0", "1"],
        ["0", "5", "2"],
        ["1", "1", "6"],
    ]


def test_long_labels_are_abbreviated_by_letters() -> None:
    labels = tuple(f"a label of some length {letter}" for letter in "xyz")
    text = show(*render_confusion(Confusion(labels, ((5, 2, 0, 0), (1, 6, 0, 0), (0, 0, 7, 0)))))
    lines = text.splitlines()[-4:]
    assert lines[0].split() == ["A", "B", "C"]
    assert [line.split()[0] for line in lines[1:]] == ["A", "B", "C"]
    assert lines[2].split()[-3:] == ["1", "6", "·"]


def test_wide_labels_are_aligned_with_narrow_ones() -> None:
    labels = ("日本語のとても長いラベルです、もっと長い", "é", "short")
    text = show(*render_confusion(Confusion(labels, ((5, 2, 0, 0), (1, 6, 0, 0), (0, 0, 7, 0)))))
    lines = text.splitlines()[-4:]
    assert max(map(cell_len, lines)) <= 80
    ends = {cell_len(line.rstrip()) for line in lines}
    assert len(ends) == 1


def test_the_most_frequent_confusions_of_many_classes_are_shown() -> None:
    labels = tuple(f"a very long label with number {n:03}" for n in range(40))
    counts = tuple(
        tuple(9 if i == j else i if j == (i + 1) % 40 else 0 for j in range(41)) for i in range(40)
    )
    text = show(*render_confusion(Confusion(labels, counts)))
    assert "Most frequent confusions" in text
    assert len(text.splitlines()) <= 12
    assert max(map(len, text.splitlines())) <= 80
    first = next(line for line in text.splitlines() if line.strip().startswith("39"))
    assert "number 0" not in first[:20]
    assert first.split()[:2] == ["39", "48"]


def test_a_matrix_without_mistakes_is_not_shown() -> None:
    assert show(*render_confusion(Confusion(("a", "b"), ((3, 0, 0), (0, 3, 0))))) == ""


def test_answers_without_a_class_have_their_own_column() -> None:
    text = show(*render_confusion(Confusion(("a", "b"), ((3, 0, 2), (0, 3, 0)))))
    assert "none" in text


def test_an_evaluation_without_candidates_is_rendered() -> None:
    assert "100 rows" in render(replace(make_evaluation(), candidates=()))
