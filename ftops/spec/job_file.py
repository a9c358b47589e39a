"""Reads a job file into a `LoadedJob`, or reports everything that is wrong with it at once.

The order: bytes, text, tree, overrides, plain values with variables filled in, model, rules. Only
text that cannot be parsed ends the search early. `load_job` reads the job file alone; `check_paths`
checks the files that it names, `check_provider` what the provider supports.

A job file may come from someone else, so it reaches no further than its own folder unless the
command allows it (`--allow-outside`). Paths that are typed on the command line are not limited.
"""

import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path

from ftops.capabilities import Capabilities
from ftops.errors import ProviderError
from ftops.records import Json, ProviderSettings, RowFormat, find_api_address
from ftops.spec.evaluate import EvaluateSpec, list_named_files, list_provider_paths
from ftops.spec.metrics import to_choice
from ftops.spec.model import JobSpec
from ftops.spec.notify import hide_path, hide_webhook
from ftops.spec.problem import KeyPath, ProblemReport, Source, Span
from ftops.spec.provider import read_provider
from ftops.spec.validation import validate
from ftops.spec.values import Values, apply_overrides, read_values, report_secrets
from ftops.spec.yaml_reader import MappingNode, Node, SequenceNode, parse_yaml, read_source
from ftops.text import suggest_name

_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_-]*")  # others are told by the model
_FILE_ID = re.compile(r"file-[A-Za-z0-9_-]+")
DATA_FIELDS: tuple[tuple[str, ...], ...] = (
    ("training_file",),
    ("validation_file",),
    ("evaluate", "file"),
    ("prepare", "plan"),
)
_KEPT_FIELDS = (("notify", "on"), ("notify", "command"), ("notify", "webhook_secret_env"))


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A valid job file: the spec, its absolute path, its text as read, and where all stood.

    `overrides` are the `--set` texts that are part of the spec, though not of the text. Text and
    overrides are for the eye: they do not hold the path of a webhook.
    """

    spec: JobSpec
    path: Path
    text: str
    values: Values = field(repr=False)
    overrides: tuple[str, ...] = ()


def load_job(
    path: Path,
    *,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    known_providers: Collection[str] | None = None,
) -> LoadedJob:
    """Read and validate the job file at `path`; SpecError with all its problems at once.

    `environ` fills in `${VAR}`; `overrides` are the texts given with `--set`; a provider that is
    not one of `known_providers` is a problem, too (None: any may be).
    """
    source = read_source(path)
    report = ProblemReport()
    report_secrets(source, report)
    root = _read_root(source, report)
    apply_overrides(root, overrides, report)
    values = read_values(root, environ, report)
    spec = validate(values, report)
    if known_providers is not None:
        _report_provider(values, known_providers, report)
    if spec is None or report.problems:
        raise report.error()
    hide = partial(_hide_webhook, values=values, url=spec.notify.webhook_url)
    return LoadedJob(
        spec=spec,
        path=path.absolute(),
        text=hide(source.text),
        values=values,
        overrides=tuple(map(hide, overrides)),
    )


def _hide_webhook(text: str, *, values: Values, url: str | None) -> str:
    """The job file, or an override, without the path of its webhook, however it is written."""
    place = values.locations.get(("notify", "webhook_url"))
    if url is not None and place is not None:
        source, start, end = place.span.source, place.span.start, place.span.end
        before = len(text) - len(source.text)  # the key of an override
        if text.endswith(source.text):
            text = f"{text[: before + start]}{hide_path(url)!r}{text[before + end :]}"
    return hide_webhook(text, url)


def list_providers(job: LoadedJob) -> list[tuple[KeyPath, ProviderSettings]]:
    """The providers of the job file with their places: training, candidates, judges."""
    locations = [("provider",), *(("evaluate", *path) for path in _find_provider_paths(job.values))]
    return [(place, read_provider(job.values.find(*place))) for place in locations]


def check_addresses(job: LoadedJob, find_address: Callable[[ProviderSettings], object]) -> None:
    """Raise SpecError, with places, for each provider that `find_address` raises an error for."""
    report = ProblemReport()
    for place, settings in list_providers(job):
        try:
            find_address(settings)
        except ProviderError as error:
            span = job.values.span((*place, "base_url"))
            report.add(span, error.message, error.hint)
    if report.problems:
        raise report.error()


def list_variables(job: LoadedJob) -> list[tuple[str, str]]:
    """Environment variables whose values are sent somewhere: their names, and in which field.

    Left out are those in fields that stay on this machine.
    """
    return [
        (name, ".".join(map(str, path)))
        for path, place in job.values.locations.items()
        for name in place.variables
        if not _stays_here(job, path)
    ]


def _stays_here(job: LoadedJob, path: KeyPath) -> bool:
    if path in DATA_FIELDS:  # of these, only the id of an uploaded file is sent
        return resolve_data(job.path, str(job.values.find(*path))) is not None
    return path[0] == "limits" or path[:2] in _KEPT_FIELDS


def resolve_data(job_file: Path, value: str) -> Path | None:
    """The absolute path that `value` means in `job_file`; None when it is an uploaded file's id."""
    if _FILE_ID.fullmatch(value):
        return None
    return job_file.absolute().parent / value


def check_provider(job: LoadedJob, capabilities: Capabilities) -> None:
    """Raise SpecError, with places, for whatever in the job this provider refuses or ignores."""
    report = ProblemReport()
    spec, settings = job.spec, job.spec.provider_settings()
    name = settings.type if settings.protocol == "current" else f"{settings.type} (legacy protocol)"
    if spec.suffix is not None and len(spec.suffix) > capabilities.suffix_max:
        report.add(
            job.values.span(("suffix",)),
            f"{name} takes a suffix of at most {capabilities.suffix_max} characters;"
            f" this one has {len(spec.suffix)}",
        )
    if spec.method not in capabilities.methods:
        offered = " and ".join(sorted(capabilities.methods))
        report.add(job.values.span(("method",)), f"{name} trains by the method {offered} only")
    given = job.values.find("hyperparameters")
    for key, value in given.items() if isinstance(given, dict) else ():
        if value not in (None, "auto") and key not in capabilities.hyperparameters:
            span = job.values.span(("hyperparameters", key), key=True)
            report.add(span, f"{name} takes no {key}", _suggest_instead(key, capabilities))
    _report_addresses(job.values, report)
    for path, message in _find_refused(spec, capabilities):
        report.add(job.values.span(path, key=True), f"{name} {message}", "remove it")
    if report.problems:
        raise report.error()


def _suggest_instead(hyperparameter: str, capabilities: Capabilities) -> str:
    """A learning rate is relative at some providers and absolute at others."""
    other = {
        "learning_rate": "learning_rate_multiplier",
        "learning_rate_multiplier": "learning_rate",
    }.get(hyperparameter)
    if other in capabilities.hyperparameters:
        return f"write {other} instead"
    return "remove it, or name another provider"


def _report_addresses(values: Values, report: ProblemReport) -> None:
    """Add a problem for each `base_url` that is the address of a route and not of the API."""
    others = list_provider_paths(values.find("evaluate"))
    for path in (("provider",), *(("evaluate", *other) for other in others)):
        place = (*path, "base_url")
        value = values.find(*place)
        if isinstance(value, str) and (address := find_api_address(value)):
            reason = "base_url is the address of one route, or has its version twice"
            report.add(values.span(place), reason, f"write {address}")


def _find_refused(spec: JobSpec, capabilities: Capabilities) -> Iterator[tuple[KeyPath, str]]:
    """The fields with which this provider can do nothing, and why."""
    if spec.metadata and not capabilities.metadata:
        yield ("metadata",), "keeps no metadata"
    if spec.seed is not None and not capabilities.seed:
        yield ("seed",), "takes no seed"
    if not capabilities.chats:
        no_chats = "takes prompts and completions, no chats"
        if spec.prepare.row_format is RowFormat.CHAT:
            yield ("prepare", "format"), no_chats
        if spec.prepare.system is not None:
            yield ("prepare", "system"), no_chats


def _read_root(source: Source, report: ProblemReport) -> MappingNode:
    """The mapping that a job file is; SpecError when the text is none."""
    root = parse_yaml(source, report)
    if isinstance(root, MappingNode):
        return root
    if root is not None:
        _report_root(root, report)
    elif not report.problems:
        report.add(Span(source, 0, 0), "the file holds comments only")
    raise report.error()


def _report_root(root: Node, report: ProblemReport) -> None:
    kind = "a list" if isinstance(root, SequenceNode) else "a single value"
    report.add(
        Span(root.span.source, root.span.start, root.span.start + 1),
        f"a job file is a mapping of fields, not {kind}",
        "write one `key: value` a line, with a space after the colon",
    )


def _report_provider(values: Values, known: Collection[str], report: ProblemReport) -> None:
    """Add a problem for each provider, where it has a name at all, that is none of `known`."""
    _report_name(values, ("provider",), known, report)
    for path in _find_provider_paths(values):
        _report_name(values, ("evaluate", *path), known, report)


def _find_provider_paths(values: Values) -> Iterator[KeyPath]:
    return list_provider_paths(values.find("evaluate"))


def _report_name(
    values: Values, place: KeyPath, known: Collection[str], report: ProblemReport
) -> None:
    if isinstance(values.find(*place), dict):
        place = (*place, "type")
    name = values.find(*place)
    if not isinstance(name, str) or name in known or not _PROVIDER_NAME.fullmatch(name):
        return
    report.add(
        values.span(place),
        f"unknown provider '{name}'; there are {', '.join(sorted(known))}",
        suggest_name(name, sorted(known)),
    )


ALLOW_OUTSIDE = "--allow-outside"
_WRITTEN = {"json": "file", "tensorboard": "folder", "wandb": "folder"}  # by tools under `export`
_MOST_ENTRIES = 10_000  # of a folder that is a data set


def check_paths(job: LoadedJob, *, allow_outside: bool = False) -> None:
    """Raise SpecError, with their places, for files that are missing or may not be used.

    Without `allow_outside`, everything that the job file names lies in its folder or below, also
    when links are followed.
    """
    report = ProblemReport()
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
        for entry in spec.metric_entries
        if entry.word == "python"
        for file, _, function in [str(to_choice(entry).settings["function"]).rpartition(":")]
    ]


def _list_paths(job: Json, job_file: Path) -> Iterator[tuple[KeyPath, Path]]:
    """Each path on this machine with its place; a file that lies at the provider has none."""
    folder = job_file.absolute().parent
    for place in DATA_FIELDS:
        value = _dig(job, *place)
        path = resolve_data(job_file, value) if isinstance(value, str) else None
        if path is not None:
            yield place, path
    for inner, name in list_named_files(_dig(job, "evaluate")):
        yield ("evaluate", *inner), folder / name
    tools = _dig(job, "export")
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        for word, key in _WRITTEN.items():
            value = _dig(tool, word, key)
            if isinstance(value, str):
                yield ("export", number, word, key), folder / value
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
