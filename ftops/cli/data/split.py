"""`ftops data split`: splits a file into training, validation and test files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from ftops.cli.command import command
from ftops.cli.data.files import check_is_file
from ftops.cli.data.next_steps import render_next_steps, suggest_after_split
from ftops.cli.data.options import OneFile, Reading, print_layouts
from ftops.cli.output import Output
from ftops.data.split import (
    SplitOptions,
    SplitResult,
    assign_rows,
    keep_group_column,
    list_missing_classes,
    parse_split_size,
    write_splits,
)
from ftops.errors import StorageError
from ftops.records import Json

ValidationAmount = Annotated[
    str, typer.Option("--validation", metavar="AMOUNT", help="Validation rows: 20%, 0.2 or 500.")
]
TestAmount = Annotated[
    str | None, typer.Option("--test", metavar="AMOUNT", help="Test rows: 10%, 0.1 or 500.")
]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="Keep rows with equal values together."),
]
GroupNear = Annotated[
    bool, typer.Option("--group-near", help="Keep near-duplicate prompts together.")
]
Stratify = Annotated[
    bool | None,
    typer.Option(
        "--stratify/--no-stratify",
        help="Keep the class shares in each file; default: if completions are labels.",
        show_default=False,
    ),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FOLDER", help="Output folder; default: that of FILE."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
_PACKED = (".gz", ".zst")


@dataclass(frozen=True, slots=True)
class Splitting:
    """How the rows are divided."""

    validation: ValidationAmount = "20%"
    test: TestAmount = None
    seed: Seed = 42
    column: Group = None
    group_near: GroupNear = False
    stratify: Stratify = None

    def to_split_options(self) -> SplitOptions:
        """The options of the split; UsageError for an amount that is neither share nor number."""
        return SplitOptions(
            parse_split_size(self.validation),
            parse_split_size(self.test) if self.test else None,
            self.seed,
            self.column,
            self.group_near,
            self.stratify,
        )


@command(
    "data split",
    examples=[
        "ftops data split rows.jsonl",
        "ftops data split rows.jsonl --validation 500 --test 10% --seed 7",
        "ftops data split rows.jsonl --group-near",
    ],
)
def split(
    out: Output,
    file: OneFile,
    *,
    splitting: Splitting,
    output: OutFolder = None,
    force: Force = False,
    reading: Reading,
) -> None:
    """Split data into training, validation and test files.

    Each class is in each file, and no prompt is in two. The same rows and seed give the same files.
    FILE is not changed.
    """
    options = reading.to_read_options()
    check_is_file(file)
    options = keep_group_column(options, splitting.column)
    print_layouts(out, options, file)
    split_options = splitting.to_split_options()
    targets = _choose_targets(file, output, with_test=splitting.test is not None)
    _check_free(list(targets.values()), force)
    division = assign_rows(file, options, split_options)
    write_splits(file, options, division, targets)
    for gap in list_missing_classes(division):
        out.info(f"warning: {gap}")
    out.finish(
        _to_json(division, targets, splitting.seed),
        essential=map(str, targets.values()),
        human=lambda: _render(division, targets),
    )


def _choose_targets(file: Path, folder: Path | None, *, with_test: bool) -> dict[str, Path]:
    packed = file.suffix.lower() in _PACKED
    stem = Path(file.stem).stem if packed else file.stem
    names = ("train", "validation", "test") if with_test else ("train", "validation")
    return {name: (folder or file.parent) / f"{stem}_{name}.jsonl" for name in names}


def _to_json(division: SplitResult, targets: dict[str, Path], seed: int) -> dict[str, Json]:
    def count_classes(name: str) -> dict[str, Json] | None:
        if division.classes is None:
            return None
        return {label: counts.get(name, 0) for label, counts in division.classes.items()}

    return {
        "seed": seed,
        "groups": division.groups,
        "parts": [
            {
                "part": name,
                "file": str(path),
                "rows": division.rows(name),
                "classes": count_classes(name),
            }
            for name, path in targets.items()
        ],
    }


def _check_free(targets: list[Path], force: bool) -> None:
    taken = [str(path) for path in targets if path.exists()]
    if taken and not force:
        raise StorageError(
            f"{', '.join(taken)}: there already",
            hint="--force overwrites; -o names another folder.",
        )


def _render(division: SplitResult, targets: dict[str, Path]) -> Iterator[RenderableType]:
    total = len(division.sides)
    for name, path in targets.items():
        rows = division.rows(name)
        unit = "row " if rows == 1 else "rows"
        yield f"{name:<11} {rows:>9,} {unit}  {rows / total:6.1%}  {path}"
    if division.classes is not None:
        yield f"classes     {len(division.classes):>9,}, in about the same shares in each file"
    yield f"groups      {division.groups:>9,} of rows that stay together, single rows included"
    yield from render_next_steps(suggest_after_split(targets["train"], targets["validation"]))
