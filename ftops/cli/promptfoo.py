"""`ftops promptfoo`: converts evaluations from and to promptfoo."""

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
from ftops.text import format_count

Config = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The promptfoo configuration.")]
Target = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]


@command("promptfoo import", examples=["ftops promptfoo import promptfooconfig.yaml -o evaluation"])
def import_config(
    out: Output,
    config: Config,
    target: Target,
    force: Force = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Convert a promptfoo configuration to rows and an `evaluate` section.

    Each prompt is combined with each test. An assertion of all tests becomes a metric; an expected
    exact response becomes the completion of the row. What cannot be converted is listed with its
    line. No code is executed.
    """
    imported = read_promptfoo(config, allow_outside=allow_outside)
    files = {ROWS: imported.render_rows(), SECTION: imported.render_section()}
    paths = _write(target, files, force=force)
    for item in imported.skipped:
        out.warn(f"not converted: {item}")
    if imported.unanswered:
        tests = (
            "1 test expects"
            if imported.unanswered == 1
            else f"{imported.unanswered:,} tests expect"
        )
        out.info(
            f"note: {tests} no exact response: their rows contain {ANY_ANSWER!r}, which no metric"
            " uses"
        )
    out.finish(
        {
            "rows": len(imported.rows),
            "unanswered_tests": imported.unanswered,
            "evaluate": dict(imported.section),
            "files": [str(path) for path in paths],
            "not_converted": [
                {"file": item.file, "line": item.line, "what": item.what, "reason": item.reason}
                for item in imported.skipped
            ],
        },
        essential=[str(path) for path in paths],
        human=lambda: [
            f"Wrote {paths[0]} with {len(imported.rows):,} rows.",
            f"Wrote {paths[1]}: copy it into a job file in the same folder.",
        ],
    )


@command("promptfoo export", examples=["ftops promptfoo export news-topics -o promptfoo"])
def export(out: Output, ref: RunRef, target: Target, force: Force = False) -> None:
    """Convert the evaluation of a run to a promptfoo configuration.

    The evaluated models become providers; `eval "$(ftops engine env)"` sets the key for those of
    the built-in engine. What cannot be converted is listed.
    """
    home = get_home()
    engine = find_engine(home / "engine")
    with open_ledger() as ledger:
        evaluation = gather_export(
            ledger.get_run(ref), ledger, home, engine_url=engine.base_url if engine else None
        )
    exported = render_promptfoo(evaluation)
    paths = _write(target, {CONFIG: exported.config, TESTS: exported.tests}, force=force)
    for name in exported.skipped:
        out.warn(f"not converted: {name}")
    out.finish(
        {
            "tests": exported.tests_count,
            "providers": [candidate.model for candidate in evaluation.candidates],
            "files": [str(path) for path in paths],
            "not_converted": list(exported.skipped),
        },
        essential=[str(path) for path in paths],
        human=lambda: [
            f"Wrote {paths[1]} with {exported.tests_count:,} tests.",
            f"Wrote {paths[0]} for {format_count(len(evaluation.candidates), 'model')}.",
        ],
    )


def _write(folder: Path, files: dict[str, str], *, force: bool) -> list[Path]:
    """Write all files, or none if one exists."""
    if folder.suffix in (".yaml", ".yml", ".json", ".jsonl"):
        raise typer.BadParameter(f"-o names a folder for {' and '.join(files)}, not {folder.name}")
    paths = [folder / name for name in files]
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        raise StorageError(
            f"{existing[0]} exists already",
            hint="Name another folder with -o, or overwrite it with --force.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    for path, text in zip(paths, files.values(), strict=True):
        write_atomic(path, text.encode("utf-8", "backslashreplace"), mode=0o644)
    return paths
