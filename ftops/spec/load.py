"""Reads a job file into a `LoadedJob`, or says everything that is wrong with it at once.

The order: bytes, text, tree, overrides, plain values with variables filled in, model, rules. Only
what cannot be read at all ends the search early. Nothing here reaches further than the job file;
`named_paths.py` looks at the files that it names, `check_provider` at what the provider takes.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from ftops.capabilities import Capabilities
from ftops.errors import ProviderError
from ftops.records import ProviderSettings, RowFormat, find_api_address
from ftops.spec import values as tree_values
from ftops.spec.evaluate import find_provider_paths
from ftops.spec.explain import explain
from ftops.spec.export_problems import find_export_problems
from ftops.spec.model import JobSpec
from ftops.spec.notify import hide_path, hide_webhook
from ftops.spec.overrides import apply_overrides
from ftops.spec.problems import Report, Source, Span
from ftops.spec.provider import read_provider
from ftops.spec.reader import Entries, Items, Node, read_source, read_tree
from ftops.spec.rules import find_conflicts
from ftops.spec.values import Values, read_values, report_secrets
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
    report = Report()
    report_secrets(source, report)
    root = _read_root(source, report)
    apply_overrides(root, overrides, report)
    values = read_values(root, environ, report)
    spec = _validate(values, report)
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
    place = values.places.get(("notify", "webhook_url"))
    if url is not None and place is not None:
        source, start, end = place.span.source, place.span.start, place.span.end
        before = len(text) - len(source.text)  # the key of an override
        if text.endswith(source.text):
            text = f"{text[: before + start]}{hide_path(url)!r}{text[before + end :]}"
    return hide_webhook(text, url)


def list_providers(job: LoadedJob) -> list[tuple[tree_values.Path, ProviderSettings]]:
    """The providers of the job file with their places: training, candidates, judges."""
    places = [("provider",), *(("evaluate", *path) for path in _find_provider_paths(job.values))]
    return [(place, read_provider(job.values.find(*place))) for place in places]


def check_addresses(job: LoadedJob, find_address: Callable[[ProviderSettings], object]) -> None:
    """Raise SpecError, with places, for each provider that `find_address` raises an error for."""
    report = Report()
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
        for path, place in job.values.places.items()
        for name in place.variables
        if not _stays_here(job, path)
    ]


def _stays_here(job: LoadedJob, path: tree_values.Path) -> bool:
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
    report = Report()
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
            report.add(span, f"{name} ignores {key}", "remove it, or name another provider")
    _report_addresses(job.values, report)
    for path, message in _find_refused(spec, capabilities):
        report.add(job.values.span(path, key=True), f"{name} {message}", "remove it")
    if report.problems:
        raise report.error()


def _report_addresses(values: Values, report: Report) -> None:
    """Add a problem for each `base_url` that is the address of a route and not of the API."""
    others = find_provider_paths(values.find("evaluate"))
    for path in (("provider",), *(("evaluate", *other) for other in others)):
        place = (*path, "base_url")
        value = values.find(*place)
        if isinstance(value, str) and (address := find_api_address(value)):
            reason = "base_url is the address of one route, or has its version twice"
            report.add(values.span(place), reason, f"write {address}")


def _find_refused(
    spec: JobSpec, capabilities: Capabilities
) -> Iterator[tuple[tree_values.Path, str]]:
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


def _read_root(source: Source, report: Report) -> Entries:
    """The mapping that a job file is; SpecError when the text is none."""
    root = read_tree(source, report)
    if isinstance(root, Entries):
        return root
    if root is not None:
        _report_root(root, report)
    elif not report.problems:
        report.add(Span(source, 0, 0), "the file holds comments only")
    raise report.error()


def _report_root(root: Node, report: Report) -> None:
    kind = "a list" if isinstance(root, Items) else "a single value"
    report.add(
        Span(root.span.source, root.span.start, root.span.start + 1),
        f"a job file is a mapping of fields, not {kind}",
        "write one `key: value` a line, with a space after the colon",
    )


def _validate(values: Values, report: Report) -> JobSpec | None:
    spec = None
    told: set[tree_values.Path] = set()
    try:
        spec = JobSpec.model_validate(values.value)
    except ValidationError as error:
        told = explain(error, values, report)
    for conflict in (*find_conflicts(values), *find_export_problems(values)):
        if conflict.path not in told and not values.is_broken(conflict.path):
            span = values.span(conflict.path, key=conflict.at_key)
            report.add(span, conflict.message, conflict.suggestion)
    return spec


def _report_provider(values: Values, known: Collection[str], report: Report) -> None:
    """Add a problem for each provider, where it has a name at all, that is none of `known`."""
    _report_name(values, ("provider",), known, report)
    for path in _find_provider_paths(values):
        _report_name(values, ("evaluate", *path), known, report)


def _find_provider_paths(values: Values) -> Iterator[tree_values.Path]:
    return find_provider_paths(values.find("evaluate"))


def _report_name(
    values: Values, place: tree_values.Path, known: Collection[str], report: Report
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
