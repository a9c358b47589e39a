"""`ftops promptfoo`: evaluations from and for promptfoo."""

from pathlib import Path
from typing import Annotated

import typer

from ftops.cli.command import command
from ftops.cli.environment import get_home, open_ledger
from ftops.cli.options import AllowOutside, RunRef
from ftops.cli.output import Output
from ftops.errors import StorageError
from ftops.files import storage_error, write_atomic
from ftops.providers.engine_process import find_engine
from ftops.runs.promptfoo import gather_export
from ftops.spec.promptfoo_export import CONFIG, TESTS, render_promptfoo
from ftops.spec.promptfoo_import import ANY_ANSWER, ROWS, SECTION, read_promptfoo

Config = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The promptfoo configuration.")]
Target = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


@command("promptfoo import", examples=["ftops promptfoo import promptfooconfig.yaml -o evaluation"])
def import_config(
    out: Output,
    config: Config,
    target: Target,
    force: Force = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Make rows and an `evaluate` section of a promptfoo configuration.

    Every prompt meets every test. What all tests assert becomes a metric, an answer that is
    expected word for word becomes the row's completion. What cannot be carried over is told by name
    and line; code is never run.
    """
    found = read_promptfoo(config, allow_outside=allow_outside)
    files = {ROWS: found.render_rows(), SECTION: found.render_section()}
    paths = _write(target, files, force=force)
    for one in found.skipped:
        out.warn(f"not carried over: {one}")
    if found.unanswered:
        tests = "1 test expects" if found.unanswered == 1 else f"{found.unanswered:,} tests expect"
        out.info(
            f"note: {tests} no answer word for word: rows of them hold {ANY_ANSWER!r}, which no"
            " metric looks at"
        )
    out.finish(
        {
            "rows": len(found.rows),
            "unanswered_tests": found.unanswered,
            "evaluate": dict(found.section),
            "files": [str(path) for path in paths],
            "not_carried_over": [
                {"file": one.file, "line": one.line, "what": one.what, "why": one.why}
                for one in found.skipped
            ],
        },
        essential=[str(path) for path in paths],
        human=lambda: [
            f"{paths[0]} is written, with {len(found.rows):,} rows.",
            f"{paths[1]} is written: put it into a job file, whose folder the path in it is for.",
        ],
    )


@command("promptfoo export", examples=["ftops promptfoo export news-topics -o promptfoo"])
def export(out: Output, ref: RunRef, target: Target, force: Force = False) -> None:
    """Write a run's evaluation as a promptfoo configuration and its tests.

    The models that answered become providers; `eval "$(ftops engine env)"` sets the key for those
    of the built-in engine. What cannot be carried over is told by name.
    """
    home = get_home()
    engine = find_engine(home / "engine")
    with open_ledger() as ledger:
        gathered = gather_export(
            ledger.get_run(ref), ledger, home, engine_url=engine.base_url if engine else None
        )
    made = render_promptfoo(gathered)
    paths = _write(target, {CONFIG: made.config, TESTS: made.tests}, force=force)
    for one in made.left_out:
        out.warn(f"not carried over: {one}")
    out.finish(
        {
            "tests": made.tests_count,
            "providers": [one.model for one in gathered.candidates],
            "files": [str(path) for path in paths],
            "not_carried_over": list(made.left_out),
        },
        essential=[str(path) for path in paths],
        human=lambda: [
            f"{paths[1]} is written, with {made.tests_count:,} tests.",
            f"{paths[0]} is written, for {_count_models(len(gathered.candidates))}.",
        ],
    )


def _count_models(count: int) -> str:
    return f"{count} model{'' if count == 1 else 's'}"


def _write(folder: Path, files: dict[str, str], *, force: bool) -> list[Path]:
    """Write all files, or none where one is there already."""
    if folder.suffix in (".yaml", ".yml", ".json", ".jsonl"):
        raise typer.BadParameter(f"-o names a folder for {' and '.join(files)}, not {folder.name}")
    paths = [folder / name for name in files]
    taken = [path for path in paths if path.exists()]
    if taken and not force:
        raise StorageError(
            f"{taken[0]} is there already",
            hint="Name another folder with -o, or overwrite it with --force.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    for path, text in zip(paths, files.values(), strict=True):
        write_atomic(path, text.encode("utf-8", "backslashreplace"), mode=0o644)
    return paths
