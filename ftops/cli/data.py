"""`ftops data`: the workbench for training data; no job file, no key and no network is needed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftops.cli.command import command, make_app
from ftops.cli.output import Output

if TYPE_CHECKING:
    from ftops.cli.findings import Examined
    from ftops.dataset.checks.protocol import Aim
    from ftops.dataset.examination import Examination
    from ftops.dataset.gauge import Gauge
    from ftops.dataset.survey import Survey

Sources = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="The data, of any kind; - for stdin.")
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help="jsonl, json, csv, tsv, xlsx, txt, parquet or dataset."
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", help="Sheet of a workbook, split of a data set."),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Encoding of the text: cp1252, …")
]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", metavar="SIGN", help="What parts the columns of a CSV.")
]
PromptColumn = Annotated[
    str | None,
    typer.Option("--prompt", metavar="COLUMN", help="Column or '{template}' of the prompts."),
]
CompletionColumn = Annotated[
    str | None,
    typer.Option(
        "--completion", metavar="COLUMN", help="Column or '{template}' of the completions."
    ),
]
Target = Annotated[
    str | None,
    typer.Option("--for", metavar="PROVIDER/MODEL", help="Who is to be trained with the data."),
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="classification, generation or open-ended."),
]
Validation = Annotated[
    str | None,
    typer.Option("--validation", metavar="FILE", help="Validation data, to be compared with."),
]
Private = Annotated[bool, typer.Option("--private", help="Look for private data and secrets, too.")]
Near = Annotated[bool, typer.Option("--near", help="Look for texts that are nearly the same, too.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")]
Sarif = Annotated[
    Path | None, typer.Option("--sarif", metavar="FILE", help="Write a report for code hosts, too.")
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", min=1, max=64, help="How many to use; default: idle ones."),
]


def add_to(app: typer.Typer) -> None:
    group = make_app("Check, mend, split and read training data.")
    command(
        group,
        "check",
        examples=[
            "ftops data check train.jsonl",
            "ftops data check train.csv --prompt '{question} ->' --completion answer",
            "ftops data check train.xlsx --sheet Labels --for local/ada --strict",
            "ftops data check train.jsonl --private",
            "ftops data check - --json < train.jsonl",
        ],
    )(check)
    from ftops.cli import (
        data_baseline,
        data_convert,
        data_diff,
        data_prepare,
        data_preview,
        data_sample,
        data_split,
        data_stats,
    )

    for part in (
        *(data_prepare, data_convert, data_split, data_baseline),
        *(data_stats, data_preview, data_sample, data_diff),
    ):
        part.add_to(group)
    app.add_typer(group, name="data")


def check(
    out: Output,
    files: Sources,
    format: FormatName = None,
    sheet: Sheet = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    prompt: PromptColumn = None,
    completion: CompletionColumn = None,
    target: Target = None,
    task: Task = None,
    validation: Validation = None,
    private: Private = False,
    near: Near = False,
    strict: Strict = False,
    sarif: Sarif = None,
    processes: Processes = None,
) -> None:
    """Read data of any kind and report whatever is wrong with it.

    Exit code 0 when there are no errors (with --strict: no warnings either), else 1.
    """
    from ftops.cli.data_next import follow_check
    from ftops.cli.environment import read_environ
    from ftops.cli.findings import Examined, finish_check, write_sarif
    from ftops.dataset.examination import examine
    from ftops.dataset.reading.options import ReadOptions, find_format
    from ftops.dataset.reading.source import open_source

    options = ReadOptions(find_format(format), sheet, encoding, delimiter, prompt, completion)
    aim, wanted_task = make_aim(target), find_task(task)
    wanted = {"private": private, "near": near, "validation": validation is not None}
    asked = [name for name, is_asked in wanted.items() if is_asked]
    first: Survey | None = None
    examined: list[Examined] = []
    examinations: list[Examination] = []
    for name in [*files, *([validation] if validation else [])]:
        path = None if name == "-" else Path(name)
        source = open_source(path, options, stdin=sys.stdin.buffer)
        examination = examine(
            source,
            asked=asked,
            like=first,
            processes=processes,
            environ=read_environ(),
            gauge=aim.gauge,
        )
        first = first or examination.survey
        verdict = examination.conclude(aim, task=wanted_task, unit=source.unit)
        examined.append(Examined(source, verdict, verdict.findings))
        if validation:  # else its figures of each row are let go
            examinations.append(examination)
    if validation:
        _compare_with_validation(examined, examinations)
    if sarif:
        write_sarif(sarif, examined)
    alone = files[0] if len(files) == 1 and files[0] != "-" and not validation else None
    following = follow_check(alone, options, examined[0].findings) if alone else []
    finish_check(out, examined, following, strict=strict)


def _compare_with_validation(examined: "list[Examined]", examinations: "list[Examination]") -> None:
    """Add what the training data and the validation data, which is the last, say of each other."""
    from ftops.dataset.checks.classes import compare_classes
    from ftops.dataset.checks.drift import find_drift
    from ftops.dataset.checks.leaks import find_leaks

    *training, held_out = examined
    for one, known in zip(training, examinations, strict=False):
        more = compare_classes(one.verdict.classes, held_out.verdict.classes)
        one.findings = (*one.findings, *more)
        leaks = find_leaks(
            known,
            examinations[-1],
            name=one.source.name,
            unit=held_out.source.unit,
        )
        drift = find_drift(known, examinations[-1])
        held_out.findings = (*held_out.findings, *leaks, *drift)


def make_aim(target: str | None) -> "Aim":
    """What `--for` means: a provider, a model, or both with a slash between them."""
    from ftops.dataset.checks.protocol import Aim

    if target is None:
        return Aim()
    from ftops.cli import wiring
    from ftops.errors import DatasetError
    from ftops.providers.registry import PROVIDERS, find_capabilities
    from ftops.records import ProviderSettings

    provider, _, model = target.partition("/")
    if provider not in PROVIDERS:
        if "/" in target:
            raise DatasetError(
                f"--for {target}: unknown provider {provider!r}",
                hint=f"There are {', '.join(sorted(PROVIDERS))}.",
            )
        provider, model = "openai", target
    settings = ProviderSettings(type=provider)
    capabilities = find_capabilities(settings)
    row_format = None
    if model and not capabilities.any_row_format:
        with wiring.open_provider(settings) as built:
            row_format = built.row_format(model)
    return Aim(
        capabilities.min_rows,
        row_format,
        model,
        provider,
        make_gauge(provider, model),
        capabilities.auto_epochs,
        capabilities.auto_batch,
    )


def make_gauge(provider: str, model: str) -> "Gauge":
    """What rows for that model are measured by; vocabularies are taken from this machine alone."""
    from ftops.cli import wiring
    from ftops.cli.environment import read_environ
    from ftops.dataset.gauge import Gauge
    from ftops.dataset.tokens.vocabulary import find_folders
    from ftops.providers.tokens import find_vocabulary_name
    from ftops.providers.wire import find_base_model
    from ftops.records import ProviderSettings

    limit = wiring.find_example_limit(ProviderSettings(type=provider), model)
    folders = find_folders(read_environ(), wiring.get_home())
    return Gauge(
        limit.tokens if limit else None,
        find_vocabulary_name(provider, find_base_model(model) or model),
        tuple(map(str, folders)),
    )


def find_task(task: str | None) -> str | None:
    """What `--task` means; DatasetError when there is no such task."""
    from ftops.dataset.checks.protocol import TASKS
    from ftops.errors import DatasetError

    if task is not None and task not in TASKS:
        raise DatasetError(f"--task {task}: there is no such task", hint=f"{', '.join(TASKS)}.")
    return task
