"""Arguments and options of the data commands, and the functions that read them."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.environment import get_home, read_environ
from ftops.cli.factory import find_example_limit, open_provider, open_request_log
from ftops.cli.output import Output
from ftops.data.checks.check import TASKS, DataTarget
from ftops.data.profile import TokenLimit
from ftops.data.reading.options import AUTO, ReadOptions, parse_format, split_names
from ftops.data.reading.source import Source, open_source
from ftops.data.tokens.vocabulary import (
    find_vocabulary,
    find_vocabulary_file,
    list_vocabulary_folders,
    store_vocabulary,
)
from ftops.errors import DatasetError, FtopsError, UsageError
from ftops.providers.model_catalog import get_vocabulary_name
from ftops.providers.registry import PROVIDERS, get_capabilities
from ftops.records import ProviderSettings
from ftops.rows.formats import ROW_KEYS

Sources = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="Data file in any supported format; - for stdin."),
]
OneSource = Annotated[
    str, typer.Argument(metavar="FILE", help="Data file in any supported format; - for stdin.")
]
OneFile = Annotated[Path, typer.Argument(metavar="FILE", help="Data file in any supported format.")]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="NAME", help="jsonl, json, csv, tsv, xlsx, txt, parquet or dataset."
    ),
]
Sheet = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", help="Sheet of a workbook or split of a dataset."),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Text encoding, such as cp1252.")
]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", metavar="CHAR", help="CSV delimiter.")
]
PromptColumn = Annotated[
    str | None,
    typer.Option("--prompt", metavar="COLUMN", help="Prompt column, or a '{template}' of columns."),
]
CompletionColumn = Annotated[
    str | None,
    typer.Option(
        "--completion", metavar="COLUMN", help="Completion column, or a '{template}' of columns."
    ),
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        help="Layout of the rows: alpaca, sharegpt, … (docs/data-formats.md), or none. Default:"
        " detected from the keys.",
    ),
]
DropKeys = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="KEY", help="Drop this key or column."),
]


@dataclass(frozen=True, slots=True)
class PromptReading:
    """How a file of prompts is read."""

    format: FormatName = None
    sheet: Sheet = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    prompt: PromptColumn = None

    def get_read_options(self) -> ReadOptions:
        """The options for the readers; DatasetError for an unknown format."""
        return ReadOptions(
            parse_format(self.format), self.sheet, self.encoding, self.delimiter, self.prompt
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """The options for reading data; unset ones are detected from the content."""

    format: FormatName = None
    sheet: Sheet = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    prompt: PromptColumn = None
    completion: CompletionColumn = None
    layout: LayoutName = None
    drop: DropKeys = None

    def to_read_options(self, also: Collection[str] = ()) -> ReadOptions:
        """The read options, with layout detection.

        Raises DatasetError for an unknown format, or if --drop names a required key. The command
        itself may drop the keys in `also`.
        """
        dropped = split_names(self.drop or ())
        for name in dropped:
            if name in ROW_KEYS - set(also):
                raise DatasetError(
                    f"--drop {name}: rows require this key",
                    hint="Name another key or column.",
                )

        return ReadOptions(
            parse_format(self.format),
            self.sheet,
            self.encoding,
            self.delimiter,
            self.prompt,
            self.completion,
            self.layout or AUTO,
            tuple(name for name in dropped if name not in ROW_KEYS),
        )


def print_layout(out: Output, source: Source) -> None:
    """Print the detected layout to stderr."""
    if source.layout:
        out.info(f"{source.name}: read as {', '.join(source.inferred)}")


def print_layouts(out: Output, options: ReadOptions, *files: Path) -> None:
    """Print the detected layout of each file."""
    for file in files:
        print_layout(out, open_source(file, options))


Target = Annotated[
    str | None,
    typer.Option(
        "--for", metavar="PROVIDER/MODEL", help="Target provider or model, such as openai/gpt-4.1."
    ),
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="classification, generation or open-ended."),
]
Validation = Annotated[
    str | None,
    typer.Option("--validation", metavar="FILE", help="Validation data to compare with."),
]
Pii = Annotated[bool, typer.Option("--pii", help="Also detect personal data and secrets.")]
NearDuplicates = Annotated[
    bool, typer.Option("--near-duplicates", help="Also detect near-duplicate rows.")
]
WordListFile = Annotated[
    Path | None,
    typer.Option(
        "--word-list", metavar="LIST", help="Also search for the words in LIST, one per line."
    ),
]
Moderate = Annotated[
    bool,
    typer.Option(
        "--moderate",
        help="Send all texts to the moderation endpoint of the provider (--for; default: openai).",
    ),
]
SendYes = Annotated[
    bool, typer.Option("--yes", "-y", help="Send texts (--moderate) without confirmation.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Also fail on warnings.")]
Sarif = Annotated[
    Path | None, typer.Option("--sarif", metavar="FILE", help="Also write a SARIF report.")
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", min=1, max=64, help="Number of processes; default: idle CPUs."),
]


def parse_target(target: str | None) -> DataTarget:
    """The target of `--for`: a provider, a model, or PROVIDER/MODEL."""
    if target is None:
        return DataTarget()
    provider, _, model = target.partition("/")
    if provider not in PROVIDERS:
        if "/" in target:
            raise UsageError(
                f"--for {target}: unknown provider {provider!r}",
                hint=f"There are {', '.join(sorted(PROVIDERS))}.",
            )
        provider, model = "openai", target
    settings = ProviderSettings(type=provider)
    capabilities = get_capabilities(settings)
    row_format = None
    if model and not capabilities.any_row_format:
        with open_provider(settings) as built:
            row_format = built.row_format(model)
    return DataTarget(
        capabilities.min_rows,
        row_format,
        model,
        provider,
        get_token_limit(provider, model),
        capabilities.auto_epochs,
        capabilities.auto_batch,
        capabilities.trains_tools(model),
    )


def get_token_limit(provider: str, model: str) -> TokenLimit:
    """The token limit and vocabulary of a model; only local vocabularies are used."""
    settings = ProviderSettings(type=provider)
    limit = find_example_limit(settings, model)
    folders = list_vocabulary_folders(read_environ(), get_home())
    return TokenLimit(
        limit.tokens if limit else None,
        get_vocabulary_name(get_capabilities(settings), model),
        tuple(map(str, folders)),
    )


def check_task(task: str | None) -> str | None:
    """Validate `--task`. Raises UsageError for an unknown task."""
    if task is not None and task not in TASKS:
        raise UsageError(f"--task {task}: unknown task", hint=f"{', '.join(TASKS)}.")
    return task


Fetch = Annotated[
    bool, typer.Option("--fetch", help="Download the model's vocabulary if it is missing.")
]

_MAX_BYTES = 32 << 20  # far more than any vocabulary has


def fetch_missing(names: Iterable[str], info: Callable[[str], None]) -> None:
    """Download missing vocabularies; a failure is reported, not raised."""
    if find_spec("tiktoken") is None:
        info("note: exact counts need tiktoken: pip install 'ftops[tokens]'")
        return
    # The HTTP client is imported only for downloads.
    from ftops.http.client import download

    home = get_home()
    folders = list_vocabulary_folders(read_environ(), home)
    for name in names:
        file = find_vocabulary_file(name)
        if file is None or find_vocabulary(name, folders) is not None:
            continue
        try:
            content = download(file.url, open_request_log(), max_bytes=_MAX_BYTES)
        except FtopsError as error:
            info(f"note: {error.message}")
            continue
        if not store_vocabulary(name, content, folders[-1]):
            info(f"note: {file.url} has an unexpected content and was not stored")
