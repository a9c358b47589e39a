"""Which file is evaluated on: made ready like the training data, and held against it."""

from pathlib import Path

from ftops.data.leakage import LeakedRows, find_leaked_rows
from ftops.data.prepare import find_row_format, make_recipe, prepare_file
from ftops.data.reading.options import ReadOptions, options_from_plan
from ftops.errors import DatasetError
from ftops.records import RowFormat
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.job_file import resolve_data
from ftops.spec.model import JobSpec
from ftops.stage_results import PreparedData

FILENAME = "evaluate.jsonl"


def prepare_rows(
    spec: JobSpec, job_file: Path, prepared: PreparedData, folder: Path
) -> tuple[Path, str]:
    """The prepared rows in `folder`, and the file as the job file names it.

    The validation file is there already; an `evaluate.file` is made ready in the same way.
    """
    named = spec.evaluate.file
    if named is None:
        source = prepared.validation.source if prepared.validation else ""
        return folder / "validation.jsonl", source
    given = resolve_data(job_file, named)
    if given is None:
        raise DatasetError(f"evaluate.file: {named} lies at the provider; name a local file")
    shape = _choose_format(given, prepared, options_from_plan(spec.prepare.reading))
    path = folder / FILENAME
    prepare_file(given, path, make_recipe(spec.prepare, shape, prepared.plan))
    return path, named


def _choose_format(path: Path, prepared: PreparedData, options: ReadOptions) -> RowFormat:
    """The shape of the questions; one that learned of preferences may be asked chats, too."""
    if prepared.row_format is RowFormat.PREFERENCE:
        found = find_row_format(path, options, prepared.plan)
        return found if found is RowFormat.PREFERENCE else RowFormat.CHAT
    return prepared.row_format


def check_leak(
    training: Path | None, rows: Path, source: str, spec: EvaluateSpec
) -> LeakedRows | None:
    """What leaks; None where the training rows are not here. DatasetError where it is refused."""
    if training is None:
        return None
    leak = find_leaked_rows(training, rows)
    if leak.lines and spec.refuses_overlap:
        raise DatasetError(
            leak.say(source),
            hint="Split again with `ftops data split --group-near`, or allow it with `evaluate:"
            " {overlap: allow}` (`ftops eval --force`): then the figures carry a note.",
        )
    return leak
