"""`ftops eval` and `ftops compare`: evaluates a model on a file, compares the models of runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger, read_environ
from ftops.cli.evaluation_view import render_evaluation, write_summaries
from ftops.cli.factory import open_providers
from ftops.cli.options import (
    MarkdownFile,
    ProviderOptions,
    SummaryFiles,
    check_output_path,
)
from ftops.cli.output import Output, render_json
from ftops.cli.progress import show_request_progress
from ftops.cli.run import warn_of_code
from ftops.cli.run_context import create_token_counter
from ftops.cli.target_model import resolve_model, suggest_near_names
from ftops.clock import SystemClock
from ftops.evaluation.requirements import raise_if_missed
from ftops.evaluation.result import Evaluation
from ftops.evaluation.standalone import EvaluationServices, compare_runs, evaluate_model
from ftops.files import write_atomic
from ftops.lora_options import Precision
from ftops.spec.evaluate import read_evaluation_options
from ftops.spec.job_file import list_functions

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="Model name, run id, job id or job name.")
]
DataFile = Annotated[Path, typer.Argument(metavar="FILE", help="Labelled rows.")]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="CANDIDATE",
        help="Compare with base, few-shot:5, baseline, previous, checkpoints or model:NAME;"
        " repeatable.",
    ),
]
MetricName = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="METRIC", help='f1, "regex:^[AB]$", …; repeatable.'),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="TEXT",
        help='Requirement, such as "accuracy >= 0.85"; exit code 4 if it is missed.',
    ),
]
MaxRows = Annotated[
    int, typer.Option("--max-rows", min=1, help="Evaluate on a random sample of at most N rows.")
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="TYPE",
        help="Weights of a pre-trained model: auto, fp32, bf16 or q8_0.",
    ),
]
TrainingFile = Annotated[
    Path | None,
    typer.Option(
        "--train",
        metavar="FILE",
        help="Training file of the model, to detect leaks if no run recorded it.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Evaluate although the file contains training rows.")
]
OutputFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the evaluation as JSON."),
]
RunRefs = Annotated[
    list[str], typer.Argument(metavar="RUN RUN…", help="Run ids, job ids, models or job names.")
]


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """Which models are evaluated and compared, and which files are written."""

    against: Against = None
    metric: MetricName = None
    require: Require = None
    max_rows: MaxRows = 1000
    precision: PrecisionOption = "auto"
    train: TrainingFile = None
    force: Force = False
    output: OutputFile = None


@command(
    "eval",
    examples=[
        "ftops eval news-topics data/test.jsonl",
        "ftops eval news-topics test.jsonl --against base --against few-shot:5",
        'ftops eval news-topics test.jsonl --require "f1 >= 0.85" --junit f1.xml',
    ],
)
def evaluate(
    out: Output,
    model: ModelName,
    file: DataFile,
    *,
    options: EvaluationOptions,
    summaries: SummaryFiles,
    provider: ProviderOptions,
) -> None:
    """Evaluate a model on a labelled file and compare it with others.

    All models get the same rows, prepared like the training rows of the model. Responses are
    cached: after Ctrl-C the same command continues. Without --against, the model is compared with
    baselines that cost nothing.
    """
    for path in (options.output, summaries.junit, summaries.markdown):
        if path is not None:
            check_output_path(path, file)
    spec = read_evaluation_options(
        options.against or [],
        options.metric or [],
        options.require or [],
        environ=read_environ(),
        more={
            "max_rows": options.max_rows,
            "overlap": "allow" if options.force else "refuse",
            "precision": options.precision,
        },
    )
    warn_of_code(out, list_functions(spec, Path.cwd()))
    typed = provider.find_settings()
    with open_ledger() as ledger, open_providers(typed=typed) as get_provider:
        resolved = resolve_model(ledger, model, typed)
        resolved.check_exists()
        clock, counter = SystemClock(), create_token_counter().counting
        with show_request_progress(out, clock) as view, suggest_near_names([resolved]):
            services = EvaluationServices(
                ledger, get_provider, clock, get_home(), view.on_note, view.on_progress, counter
            )
            evaluation = evaluate_model(
                resolved.name,
                resolved.provider,
                file,
                spec,
                services,
                run=resolved.run,
                training=options.train,
            )
    write_summaries(evaluation, resolved.name, summaries)
    _finish(out, evaluation, options.output)
    raise_if_missed(evaluation)


@command("compare", examples=["ftops compare run-20261122-1407-k3f9 run-20261123-0911-p2ad"])
def compare(
    out: Output,
    refs: RunRefs,
    metric: MetricName = None,
    output: OutputFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Compare the models of runs on their common evaluation rows.

    No requests are sent; stored predictions are used.
    """
    if len(refs) < 2:
        raise typer.BadParameter("name two runs or more")
    spec = read_evaluation_options([], metric or [], [], environ=read_environ())
    with open_ledger() as ledger:
        runs = [ledger.get_run(ref) for ref in refs]
        warn_of_code(out, list_functions(spec, Path(runs[0].job_file).parent))
        evaluation = compare_runs(runs, ledger, get_home(), spec)
    title = " and ".join(run.name for run in runs)
    write_summaries(evaluation, title, SummaryFiles(markdown=markdown))
    _finish(out, evaluation, output)


def _finish(out: Output, evaluation: Evaluation, path: Path | None) -> None:
    """Print the evaluation, and write it to the output file, if any."""
    if path is not None:
        write_atomic(path, (render_json(evaluation.to_json()) + "\n").encode(), mode=0o644)
    values = [
        (candidate.name, candidate.metrics.get(evaluation.primary_metric))
        for candidate in evaluation.candidates
    ]
    out.finish(
        evaluation.to_json(),
        essential=[f"{name}\t{value.value:.4f}" for name, value in values if value is not None],
        human=lambda: render_evaluation(evaluation),
    )
