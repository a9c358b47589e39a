"""The paths that a job file names: what is read, written and run because it says so.

A job file may come from someone else, so it reaches no further than its own folder unless the
command allows it (`--allow-outside`). What is typed on the command line is the user's own choice.
"""

import os
import shlex
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

from ftops.records import Json
from ftops.spec.evaluate import EvaluateSpec, find_named_files
from ftops.spec.load import DATA_FIELDS, LoadedJob, resolve_data
from ftops.spec.measures import FunctionMetric
from ftops.spec.model import JobSpec
from ftops.spec.problems import Report
from ftops.spec.values import Path as Place

ALLOW_OUTSIDE = "--allow-outside"
_WRITTEN = {"json": "file", "tensorboard": "folder", "wandb": "folder"}  # by tools under `export`
_MOST_ENTRIES = 10_000  # of a folder that is a data set


def check_paths(job: LoadedJob, *, allow_outside: bool = False) -> None:
    """Raise SpecError, with their places, for files that are missing or may not be used.

    Without `allow_outside`, everything that the job file names lies in its folder or below, also
    when links are followed.
    """
    report = Report()
    for place, path in _list_paths(job.values.value, job.path):
        span = job.values.span(place)
        name = place[min(3, len(place) - 1)]  # the metric, or the field
        if not allow_outside and not span.source.override:
            outside = find_outside(path, job.path.parent)
            if outside is not None:
                report.add(
                    span,
                    f"{name}: outside the job file's folder: {outside}",
                    f"move it there, or allow it with {ALLOW_OUTSIDE}",
                )
                continue
        if place[0] != "export" and (reason := _find_trouble(path)) is not None:
            report.add(span, f"{name}: {reason}: {path}")
    if report.problems:
        raise report.error()


def find_outside(path: Path, folder: Path) -> Path | None:
    """Where the path leads, if that is not in `folder` or below; None when it is.

    Of a folder, the first file in it that leads elsewhere.
    """
    inside = os.path.realpath(folder)
    for one in chain([path], _list_links(path)):
        real = Path(os.path.realpath(one))
        if not real.is_relative_to(inside):
            return real
    return None


def leads_outside(job: Mapping[str, Json], job_file: Path) -> bool:
    """Whether a job file of that content needs `--allow-outside`, unless `--set` named the path."""
    paths = _list_paths(dict(job), job_file)
    return any(find_outside(path, job_file.parent) is not None for _, path in paths)


def list_code(spec: JobSpec, job_file: Path) -> list[tuple[str, str]]:
    """The code that a run of the job file executes on this machine: the field, and what it runs."""
    folder = job_file.absolute().parent
    code = list_functions(spec.evaluate, folder)
    if spec.notify.command:
        reads = f", reads {', '.join(spec.notify.env)}" if spec.notify.env else ""
        code.append(("notify.command", f"{shlex.join(spec.notify.command)} (in {folder}{reads})"))
    return [(field, what.replace("\n", "\\n")) for field, what in code]  # each is one line


def list_functions(spec: EvaluateSpec, folder: Path) -> list[tuple[str, str]]:
    """The user's own functions among the metrics, likewise; their files lie below `folder`."""
    return [
        ("evaluate.metrics", f"{folder / file}, function {function}")
        for entry in spec.measures
        if isinstance(entry.settings, FunctionMetric)
        for file, _, function in [entry.settings.function.rpartition(":")]
    ]


def _list_paths(job: Json, job_file: Path) -> Iterator[tuple[Place, Path]]:
    """Each path on this machine with its place; a file that lies at the provider has none."""
    folder = job_file.absolute().parent
    for place in DATA_FIELDS:
        value = _dig(job, *place)
        path = resolve_data(job_file, value) if isinstance(value, str) else None
        if path is not None:
            yield place, path
    for inner, name in find_named_files(_dig(job, "evaluate")):
        yield ("evaluate", *inner), folder / name
    tools = _dig(job, "export")
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        for word, field in _WRITTEN.items():
            value = _dig(tool, word, field)
            if isinstance(value, str):
                yield ("export", number, word, field), folder / value
        if store := _find_store(_dig(tool, "mlflow", "tracking_uri")):
            yield ("export", number, "mlflow", "tracking_uri"), folder / store


def _dig(value: Json, *keys: str) -> Json:
    """The value below these keys; None where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _find_store(uri: Json) -> str | None:
    """The path of MLflow's store where its address is one of this machine."""
    if not isinstance(uri, str):
        return None
    for start in ("sqlite:///", "file://", "file:"):
        if uri.startswith(start):
            return uri.removeprefix(start)
    return None if ":" in uri else uri


def _list_links(folder: Path) -> Iterator[Path]:
    """The symbolic links in a folder that is a data set, in as many entries as are read of one."""
    entries = (
        Path(inner, name)
        for inner, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )
    yield from filter(Path.is_symlink, islice(entries, _MOST_ENTRIES))


def _find_trouble(file: Path) -> str | None:
    """Why `file` cannot be read; None when it can."""
    try:
        if file.is_dir():
            return None if _holds_data_set(file) else "this is a folder"
        if not file.exists():
            return "there is no such file"
        if not file.is_file():
            return "this is not a regular file"
        if not os.access(file, os.R_OK):
            return "permission to read is denied"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _holds_data_set(folder: Path) -> bool:
    """Whether Hugging Face `datasets` wrote the folder, or Parquet files lie in it."""
    return any(next(folder.rglob(name), None) for name in ("state.json", "*.parquet"))
