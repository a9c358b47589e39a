"""`ftops data baseline`: scores simple classifiers, without a fine-tuned model."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.data.files import check_is_file
from ftops.cli.data.next_steps import render_next_steps, suggest_after_baseline
from ftops.cli.data.options import Reading, print_layouts
from ftops.cli.output import Output
from ftops.data.baselines import Baseline, score_baselines
from ftops.data.findings import format_rows

Training = Annotated[Path, typer.Argument(metavar="TRAIN", help="Training data.")]
Validation = Annotated[Path, typer.Argument(metavar="VALIDATION", help="Validation data.")]
Goal = Annotated[
    float, typer.Option("--goal", min=0.0, max=1.0, help="Required accuracy, from 0 to 1.")
]


@command(
    "data baseline",
    examples=["ftops data baseline rows_train.jsonl rows_validation.jsonl --goal 0.9"],
)
def baseline(
    out: Output,
    training: Training,
    validation: Validation,
    goal: Goal = 0.9,
    *,
    reading: Reading,
) -> None:
    """Score baselines: naive Bayes, nearest neighbour and the majority class.

    They are trained on TRAIN, on this machine and in seconds, and evaluated on VALIDATION. If one
    reaches the goal, you may not need a fine-tuned model.
    """
    check_is_file(training, validation)
    options = reading.to_read_options()
    print_layouts(out, options, training, validation)
    found = score_baselines(training, validation, options)
    if found.leaked:
        out.info(
            f"warning: {found.leaked:.1%} of the validation rows ask what training rows ask, so"
            " remembering is scored; `ftops data split` keeps the same prompts together"
        )
    out.finish(
        {
            "training_rows": found.training_rows,
            "validation_rows": found.validation_rows,
            "classes": found.classes,
            "majority": found.majority_label,
            "majority_accuracy": found.majority,
            "unknown_answers": found.unknown,
            "known_questions": found.leaked,
            "scores": [
                {"name": one.name, "correct": one.right, "accuracy": one.accuracy}
                for one in found.scores
            ],
            "goal": goal,
            "verdict": found.verdict(goal),
        },
        essential=[f"{one.name}: {one.accuracy:.4f}" for one in found.scores],
        human=lambda: chain(
            _render(found, goal),
            render_next_steps(suggest_after_baseline(training, validation, options)),
        ),
    )


def _render(found: Baseline, goal: float) -> Iterator[RenderableType]:
    kinds = "no classes" if found.classes is None else f"{found.classes:,} classes"
    learned, scored = format_rows(found.training_rows), format_rows(found.validation_rows)
    yield f"{learned} for training, {scored} for validation, {kinds}"
    for one in found.scores:
        yield f"  {one.name:<24} {one.accuracy:6.1%}  {one.right:,} right"
    label = found.majority_label
    shown = label if len(label) <= 40 else f"{label[:39]}…"
    yield f"  {'the most frequent answer':<24} {found.majority:6.1%}  always {shown!r}"
    if found.unknown:
        yield f"  {found.unknown:.1%} of the validation rows have an answer of no training row"
    yield ""
    sentence = found.verdict(goal)
    yield sentence[0].upper() + sentence[1:]
