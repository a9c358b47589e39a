"""`ftops eval` and `ftops compare`: any model on any rows, and several runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger, read_environ
from ftops.cli.evaluation_view import render_evaluation, write_summaries
from ftops.cli.factory import find_provider_settings, make_token_counting, open_providers
from ftops.cli.options import (
    ApiKeyEnv,
    BaseUrl,
    JUnitFile,
    MarkdownFile,
    ProviderName,
    check_output_path,
)
from ftops.cli.output import Output, render_json
from ftops.cli.progress import show_request_progress
from ftops.cli.run import warn_of_code
from ftops.cli.target_model import resolve_model, suggest_near_names
from ftops.clock import SystemClock
from ftops.evaluation.comparing import compare_runs
from ftops.evaluation.model_on_file import Tools, evaluate_model
from ftops.evaluation.requirements import raise_if_missed
from ftops.evaluation.result import Evaluation
from ftops.files import write_atomic
from ftops.records import Json
from ftops.spec.evaluate import EvaluateSpec, read_evaluation_options
from ftops.spec.job_file import list_functions

ModelRef = Annotated[
    str, typer.Argument(metavar="MODEL", help="Model name, run id, job id or job name.")
]
DataFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Rows whose answers are known, of any kind.")
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        "--against",
        metavar="CANDIDATE",
        help="Who answers the same rows: base, few-shot:5, baseline, previous, checkpoints,"
        " model:NAME; may be given again.",
    ),
]
MetricName = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="METRIC", help='f1, "regex:^[AB]$", …; may be given again.'),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require", metavar="TEXT", help='Such as "accuracy >= 0.85"; exit code 4 when missed.'
    ),
]
MaxRows = Annotated[
    int, typer.Option("--max-rows", min=1, help="At most so many rows are asked, by lot.")
]
Training = Annotated[
    Path | None,
    typer.Option("--train", metavar="FILE", help="What it learned of, where no run tells."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Evaluate on rows that are training rows, too.")
]
Target = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the whole evaluation as JSON."),
]
RunRefs = Annotated[
    list[str], typer.Argument(metavar="RUN RUN…", help="Run ids, job ids, models or job names.")
]


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
    model: ModelRef,
    file: DataFile,
    against: Against = None,
    metric: MetricName = None,
    require: Require = None,
    max_rows: MaxRows = 1000,
    train: Training = None,
    force: Force = False,
    target: Target = None,
    junit: JUnitFile = None,
    markdown: MarkdownFile = None,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
) -> None:
    """Measure a model on a file, beside others.

    All of them answer the same rows, which are made ready as those of the run that made the model.
    What was answered before is not asked again, so after Ctrl-C the same command goes on. Without
    --against it is compared with what costs nothing.
    """
    for written in (target, junit, markdown):
        if written is not None:
            check_output_path(written, file)
    more: dict[str, Json] = {"max_rows": max_rows, "overlap": "allow" if force else "refuse"}
    spec = read_evaluation_options(
        against or [], metric or [], require or [], environ=read_environ(), more=more
    )
    _say_functions(out, spec, Path.cwd())
    asked = find_provider_settings(provider, base_url, api_key_env)
    with open_ledger() as ledger, open_providers(typed=asked) as reach:
        named = resolve_model(ledger, model, asked)
        named.check_there()
        clock, home = SystemClock(), get_home()
        counting = make_token_counting().counting
        with show_request_progress(out, clock) as view, suggest_near_names([named]):
            tools = Tools(ledger, reach, clock, home, view.on_note, view.told, counting)
            evaluation = evaluate_model(
                named.name, named.provider, file, spec, tools, run=named.run, training=train
            )
    _write(target, evaluation)
    write_summaries(evaluation, named.name, junit, markdown)
    out.finish(
        evaluation.to_json(),
        essential=[f"{name}\t{value}" for name, value in _list_headline(evaluation)],
        human=lambda: render_evaluation(evaluation),
    )
    raise_if_missed(evaluation)


@command("compare", examples=["ftops compare run-20261122-1407-k3f9 run-20261123-0911-p2ad"])
def compare(
    out: Output,
    refs: RunRefs,
    metric: MetricName = None,
    target: Target = None,
    markdown: MarkdownFile = None,
) -> None:
    """Compare the models of runs on the rows that all answered.

    Nobody is asked anything: the answers are those that the runs have kept.
    """
    if len(refs) < 2:
        raise typer.BadParameter("name two runs or more")
    spec = read_evaluation_options([], metric or [], [], environ=read_environ())
    with open_ledger() as ledger:
        runs = [ledger.get_run(ref) for ref in refs]
        _say_functions(out, spec, Path(runs[0].job_file).parent)
        evaluation = compare_runs(runs, ledger, get_home(), spec)
    _write(target, evaluation)
    write_summaries(evaluation, " and ".join(run.name for run in runs), None, markdown)
    out.finish(
        evaluation.to_json(),
        essential=[f"{name}\t{value}" for name, value in _list_headline(evaluation)],
        human=lambda: render_evaluation(evaluation),
    )


def _say_functions(out: Output, spec: EvaluateSpec, folder: Path) -> None:
    warn_of_code(out, list_functions(spec, folder))


def _list_headline(evaluation: Evaluation) -> list[tuple[str, str]]:
    figures = [
        (one.name, one.metrics.get(evaluation.primary_metric)) for one in evaluation.candidates
    ]
    return [(name, f"{figure.value:.4f}") for name, figure in figures if figure is not None]


def _write(target: Path | None, evaluation: Evaluation) -> None:
    """Write the evaluation, if a file for it is named."""
    if target is not None:
        write_atomic(target, (render_json(evaluation.to_json()) + "\n").encode(), mode=0o644)
