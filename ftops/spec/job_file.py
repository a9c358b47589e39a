"""Reads a job file into a `LoadedJob`, or reports all of its problems at once.

The steps are: bytes, text, tree, overrides, plain values with variables filled in, model, rules.
Only text that cannot be parsed stops the steps early. `load_job` reads only the job file;
`check_paths` checks the files that it names, `check_provider` the features that the provider
supports.

A job file may come from another person, so it can only access its own folder unless the command
allows more (`--allow-outside`). Paths on the command line are not restricted.
"""

import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path

from ftops.capabilities import Capabilities, Naming
from ftops.errors import ProviderError
from ftops.records import PRETRAINED_ONLY, Json, ProviderSettings, RowFormat, find_api_address
from ftops.spec.evaluate import EvaluateSpec, list_named_files, list_provider_paths
from ftops.spec.located_values import Values, apply_overrides, read_values, report_secrets
from ftops.spec.metrics import to_choice
from ftops.spec.model import JobSpec
from ftops.spec.notify import hide_path, hide_webhook
from ftops.spec.problem import KeyPath, ProblemReport, SourceText, Span
from ftops.spec.provider import KnownProvider, read_provider
from ftops.spec.validation import validate
from ftops.spec.yaml_reader import MappingNode, Node, SequenceNode, parse_yaml, read_source
from ftops.text import suggest_name

FindClosed = Callable[[str], tuple[str, str] | None]  # a message and a suggestion, by name
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_-]*")  # the model reports other names
DATA_FIELDS: tuple[tuple[str, ...], ...] = (
    ("training_file",),
    ("validation_file",),
    ("evaluate", "file"),
    ("prepare", "plan"),
)
ALLOW_OUTSIDE = "--allow-outside"
_WRITTEN = {"json": "file", "tensorboard": "folder", "wandb": "folder"}  # of `export`
_MAX_ENTRIES = 10_000  # in a folder that is a data set
_FOR_PRETRAINED = "is for pre-trained models, and {model} starts from random weights"
_LOCAL_FIELDS = (("notify", "on"), ("notify", "command"), ("notify", "webhook_secret_env"))


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A valid job file: the spec, its absolute path, its text, and its values with locations.

    `overrides` are the `--set` texts, which are part of the spec but not of the text. Text and
    overrides are for display: the path of a webhook is removed from them. `naming` is how the
    provider names files, jobs and models.
    """

    spec: JobSpec
    path: Path
    text: str
    values: Values = field(repr=False)
    overrides: tuple[str, ...] = ()
    naming: Naming = field(default_factory=Naming)

    def find_data(self, value: str) -> Path | None:
        """The absolute path of a data file; None for the id of an uploaded file."""
        return resolve_data(self.path, value, self.naming)


def load_job(
    path: Path,
    *,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    providers: Mapping[str, KnownProvider] | None = None,
    find_closed: FindClosed = lambda _name: None,
) -> LoadedJob:
    """Read and validate the job file at `path`; SpecError with all its problems at once.

    `environ` fills in `${VAR}`; `overrides` are the texts of `--set`; a provider that is not in
    `providers` is a problem (None allows any, without sections of its own). `find_closed` explains
    the name of a provider that takes no jobs any more.
    """
    source = read_source(path)
    report = ProblemReport()
    report_secrets(source, report)
    root = _read_root(source, report)
    apply_overrides(root, overrides, report)
    values = read_values(root, environ, report)
    spec = validate(values, report, providers or {})
    if providers is not None:
        _report_providers(values, providers, report, find_closed)
    if spec is None or report.problems:
        raise report.error()
    hide = partial(_hide_webhook, values=values, url=spec.notify.webhook_url)
    return LoadedJob(
        spec=spec,
        path=path.absolute(),
        text=hide(source.text),
        values=values,
        overrides=tuple(map(hide, overrides)),
        naming=_get_naming(spec, providers or {}),
    )


def _get_naming(spec: JobSpec, providers: Mapping[str, KnownProvider]) -> Naming:
    provider = providers.get(spec.provider_settings().type)
    return provider.capabilities.naming if provider else Naming()


def _hide_webhook(text: str, *, values: Values, url: str | None) -> str:
    """The job file or an override without the path of its webhook, in any spelling."""
    location = values.locations.get(("notify", "webhook_url"))
    if url is not None and location is not None:
        span = location.span
        offset = len(text) - len(span.source.text)  # the length of an override's key
        if text.endswith(span.source.text):
            text = f"{text[: offset + span.start]}{hide_path(url)!r}{text[offset + span.end :]}"
    return hide_webhook(text, url)


def list_providers(job: LoadedJob) -> list[tuple[KeyPath, ProviderSettings]]:
    """The providers of the job file with their paths: training, candidates, judges."""
    return [
        (path, read_provider(job.values.find(*path))) for path in _list_provider_paths(job.values)
    ]


def check_addresses(job: LoadedJob, find_address: Callable[[ProviderSettings], object]) -> None:
    """Raise SpecError, with locations, for providers for which `find_address` raises an error."""
    report = ProblemReport()
    for path, settings in list_providers(job):
        try:
            find_address(settings)
        except ProviderError as error:
            span = job.values.span((*path, "base_url"))
            report.add(span, error.message, error.hint)
    if report.problems:
        raise report.error()


def list_variables(job: LoadedJob) -> list[tuple[str, str]]:
    """Environment variables whose values leave this machine: each name, with its field."""
    return [
        (name, ".".join(map(str, path)))
        for path, location in job.values.locations.items()
        for name in location.variables
        if not _stays_local(job, path)
    ]


def _stays_local(job: LoadedJob, path: KeyPath) -> bool:
    if path in DATA_FIELDS:  # only the id of an uploaded file is sent
        return job.find_data(str(job.values.find(*path))) is not None
    return path[0] == "limits" or path[:2] in _LOCAL_FIELDS


def resolve_data(job_file: Path, value: str, naming: Naming) -> Path | None:
    """The absolute path of `value` in `job_file`; None if it is the id of an uploaded file."""
    if naming.is_file_id(value):
        return None
    return job_file.absolute().parent / value


def check_provider(job: LoadedJob, capabilities: Capabilities) -> None:
    """Raise SpecError, with locations, for every field that this provider refuses or ignores.

    Fields that do not change the training are no errors: see `list_unsent`.
    """
    report = ProblemReport()
    spec, settings = job.spec, job.spec.provider_settings()
    name = settings.type if settings.protocol == "current" else f"{settings.type} (legacy protocol)"
    longest = capabilities.free_suffix_max
    if spec.suffix is not None and len(spec.suffix) > longest:
        report.add(
            job.values.span(("suffix",)),
            f"{name} allows a suffix of at most {longest} characters;"
            f" this one has {len(spec.suffix)}",
        )
    if spec.method not in capabilities.methods:
        offered = " and ".join(sorted(capabilities.methods))
        report.add(job.values.span(("method",)), f"{name} supports only the method {offered}")
    is_untrained = capabilities.is_untrained(spec.model)
    hyperparameters = job.values.find("hyperparameters")
    for key, value in hyperparameters.items() if isinstance(hyperparameters, dict) else ():
        if value not in (None, "auto") and key not in capabilities.hyperparameters:
            span = job.values.span(("hyperparameters", key), key=True)
            report.add(span, f"{name} takes no {key}", _suggest_instead(key, capabilities))
        elif value is not None and key in PRETRAINED_ONLY and is_untrained:
            span = job.values.span(("hyperparameters", key), key=True)
            report.add(span, f"{key} {_FOR_PRETRAINED.format(model=spec.model)}", "remove it")
    for key in spec.sections if is_untrained else ():
        span = job.values.span((key,), key=True)
        report.add(span, f"{key} {_FOR_PRETRAINED.format(model=spec.model)}", "remove it")
    _report_addresses(job.values, report)
    for path, message in _list_unsupported_fields(spec, capabilities):
        report.add(job.values.span(path, key=True), f"{name} {message}", "remove it")
    if report.problems:
        raise report.error()


def _suggest_instead(hyperparameter: str, capabilities: Capabilities) -> str:
    """A suggestion: learning rates are relative at some providers and absolute at others."""
    other = {
        "learning_rate": "learning_rate_multiplier",
        "learning_rate_multiplier": "learning_rate",
    }.get(hyperparameter)
    if other is None or other not in capabilities.hyperparameters:
        return "remove it, or name another provider"
    default = capabilities.defaults.get(other)
    usual = f" (the default is {default})" if default else ""
    return f"write {other} instead{usual}: one cannot be converted into the other"


def list_unsent(spec: JobSpec, capabilities: Capabilities) -> list[str]:
    """The fields that stay in the ledger, because the provider does not take them."""
    keeps_metadata = capabilities.metadata and capabilities.custom_metadata
    unsent = {
        "name": True,  # no provider takes it
        "metadata": bool(spec.metadata) and not keeps_metadata,
        "seed": spec.seed is not None and not capabilities.seed,
    }
    return [name for name, is_unsent in unsent.items() if is_unsent]


def list_defaults(spec: JobSpec, capabilities: Capabilities) -> dict[str, str]:
    """The hyperparameters that are not sent, each with the provider's default."""

    def is_left_out(name: str, value: object) -> bool:
        if value is None:
            return name in capabilities.defaults
        return value == "auto" and not capabilities.auto

    return {
        name: capabilities.defaults.get(name, "chosen by the provider")
        for name, value in asdict(spec.hyperparameters.to_record()).items()
        if name in capabilities.hyperparameters and is_left_out(name, value)
    }


def _report_addresses(values: Values, report: ProblemReport) -> None:
    """Report each `base_url` that is the address of a route instead of the API."""
    for path in _list_provider_paths(values):
        value = values.find(*path, "base_url")
        if isinstance(value, str) and (address := find_api_address(value)):
            reason = "base_url is the address of one route, or has its version twice"
            report.add(values.span((*path, "base_url")), reason, f"write {address}")


def _list_unsupported_fields(
    spec: JobSpec, capabilities: Capabilities
) -> Iterator[tuple[KeyPath, str]]:
    """The fields that this provider cannot use, with the reason."""
    if spec.evaluate.precision != "auto" and not capabilities.takes_precision(spec.model):
        yield ("evaluate", "precision"), f"takes no precision of the weights of {spec.model}"
    if not capabilities.chats:
        no_chats = "takes prompts and completions, no chats"
        if spec.prepare.row_format is RowFormat.CHAT:
            yield ("prepare", "format"), no_chats
        if spec.prepare.system is not None:
            yield ("prepare", "system"), no_chats


def _read_root(source: SourceText, report: ProblemReport) -> MappingNode:
    """The mapping of a job file; SpecError if the text is anything else."""
    root = parse_yaml(source, report)
    if isinstance(root, MappingNode):
        return root
    if root is not None:
        _report_root(root, report)
    elif not report.problems:
        report.add(Span(source, 0, 0), "the file contains only comments")
    raise report.error()


def _report_root(root: Node, report: ProblemReport) -> None:
    kind = "a list" if isinstance(root, SequenceNode) else "a single value"
    report.add(
        Span(root.span.source, root.span.start, root.span.start + 1),
        f"a job file is a mapping of fields, not {kind}",
        "write one `key: value` per line, with a space after the colon",
    )


def _report_providers(
    values: Values, known: Collection[str], report: ProblemReport, find_closed: FindClosed
) -> None:
    """Report each well-formed name of a provider that is not in `known`."""
    for path in _list_provider_paths(values):
        if isinstance(values.find(*path), dict):
            path = (*path, "type")
        name = values.find(*path)
        if isinstance(name, str) and name not in known and _PROVIDER_NAME.fullmatch(name):
            unknown = f"unknown provider '{name}'; known are {', '.join(sorted(known))}"
            closed = find_closed(name) or (unknown, suggest_name(name, sorted(known)))
            report.add(values.span(path), *closed)


def _list_provider_paths(values: Values) -> Iterator[KeyPath]:
    yield ("provider",)
    for path in list_provider_paths(values.find("evaluate")):
        yield ("evaluate", *path)


def check_paths(job: LoadedJob, *, allow_outside: bool = False) -> None:
    """Raise SpecError, with locations, for files that are missing, unreadable or not allowed.

    Without `allow_outside`, every path of the job file must be inside its folder, also after
    resolving links.
    """
    report = ProblemReport()
    for key_path, path in _list_paths(job.values.value, job.path, job.naming):
        span = job.values.span(key_path)
        name = key_path[min(3, len(key_path) - 1)]  # the metric, or the field
        if not allow_outside and not span.source.override:
            outside = find_outside(path, job.path.parent)
            if outside is not None:
                report.add(
                    span,
                    f"{name}: outside the job file's folder: {outside}",
                    f"move it there, or allow it with {ALLOW_OUTSIDE}",
                )
                continue
        if key_path[0] != "export" and (reason := _find_read_error(path)) is not None:
            report.add(span, f"{name}: {reason}: {path}")
    if report.problems:
        raise report.error()


def find_outside(path: Path, folder: Path) -> Path | None:
    """The real path of `path` if it is not inside `folder`.

    For a folder, also that of the first link in it that leads outside.
    """
    inside = os.path.realpath(folder)
    for candidate in chain([path], _list_links(path)):
        real = Path(os.path.realpath(candidate))
        if not real.is_relative_to(inside):
            return real
    return None


def leads_outside(job: Mapping[str, Json], job_file: Path) -> bool:
    """Whether a job file with this content needs `--allow-outside`."""
    paths = _list_paths(dict(job), job_file, Naming())
    return any(find_outside(path, job_file.parent) is not None for _, path in paths)


def list_code(spec: JobSpec, job_file: Path) -> list[tuple[str, str]]:
    """The code that a run executes on this machine: each field, with the code."""
    folder = job_file.absolute().parent
    code = list_functions(spec.evaluate, folder)
    if spec.notify.command:
        reads = f", reads {', '.join(spec.notify.env)}" if spec.notify.env else ""
        code.append(("notify.command", f"{shlex.join(spec.notify.command)} (in {folder}{reads})"))
    return [(field, what.replace("\n", "\\n")) for field, what in code]  # one line each


def list_functions(spec: EvaluateSpec, folder: Path) -> list[tuple[str, str]]:
    """The metrics that are functions of the user: each field, with its file and function."""
    return [
        ("evaluate.metrics", f"{folder / file}, function {function}")
        for entry in spec.metric_entries
        if entry.word == "python"
        for file, _, function in [str(to_choice(entry).settings["function"]).rpartition(":")]
    ]


def _list_paths(job: Json, job_file: Path, naming: Naming) -> Iterator[tuple[KeyPath, Path]]:
    """Each path on this machine, with its path of keys; uploaded files have no path."""
    folder = job_file.absolute().parent
    for key_path in DATA_FIELDS:
        value = _get_value(job, *key_path)
        path = resolve_data(job_file, value, naming) if isinstance(value, str) else None
        if path is not None:
            yield key_path, path
    for inner, name in list_named_files(_get_value(job, "evaluate")):
        yield ("evaluate", *inner), folder / name
    tools = _get_value(job, "export")
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        for word, key in _WRITTEN.items():
            value = _get_value(tool, word, key)
            if isinstance(value, str):
                yield ("export", number, word, key), folder / value
        if store := _find_store_path(_get_value(tool, "mlflow", "tracking_uri")):
            yield ("export", number, "mlflow", "tracking_uri"), folder / store


def _get_value(value: Json, *keys: str) -> Json:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _find_store_path(uri: Json) -> str | None:
    """The path of MLflow's store if its address is local."""
    if not isinstance(uri, str):
        return None
    for start in ("sqlite:///", "file://", "file:"):
        if uri.startswith(start):
            return uri.removeprefix(start)
    return None if ":" in uri else uri


def _list_links(folder: Path) -> Iterator[Path]:
    """The symbolic links in a folder that is a data set."""
    entries = (
        Path(inner, name)
        for inner, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )
    yield from filter(Path.is_symlink, islice(entries, _MAX_ENTRIES))


def _find_read_error(file: Path) -> str | None:
    """The reason why `file` cannot be read."""
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
    """Whether Hugging Face `datasets` wrote the folder, or it contains Parquet files."""
    return any(next(folder.rglob(name), None) for name in ("state.json", "*.parquet"))
