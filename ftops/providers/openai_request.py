"""The request that creates a job in OpenAI's API, and the jobs that it may have created."""

from dataclasses import asdict

from ftops.capabilities import Capabilities
from ftops.errors import Rejected
from ftops.http.response import JsonObject
from ftops.providers.openai_quirks import QUIRKS
from ftops.providers.openai_response import read_job
from ftops.providers.openai_server import OpenAIQuirks
from ftops.providers.provider import RUN_ID_METADATA, RUN_KEY_METADATA
from ftops.records import FAILED_JOB_STATUSES, Hyperparameters, Job, JobRequest, Json, Method


def render_request(
    request: JobRequest, capabilities: Capabilities, quirks: OpenAIQuirks = QUIRKS["openai"]
) -> dict[str, Json]:
    """The body of the request that creates a job, without unset fields.

    Raises Rejected for a method or a hyperparameter that the provider would ignore.
    """
    hyperparameters = render_hyperparameters(request.hyperparameters, capabilities)
    if quirks.takes_one_rate and "learning_rate" in hyperparameters:
        hyperparameters.pop("learning_rate_multiplier", None)
    body: dict[str, Json] = {"model": request.model, "training_file": request.training_file}
    if quirks.options is None:
        hyperparameters |= {name: dict(values) for name, values in request.sections.items()}
    else:
        section = quirks.options.model_validate(request.sections.get(quirks.section, {}))
        options: dict[str, Json] = section.model_dump(mode="json", exclude_none=True)
        for name, value in options.items():
            if name in quirks.hyperparameters:
                hyperparameters[name] = value
            elif name in quirks.body_fields:
                body[quirks.body_fields[name]] = value
    fields: dict[str, Json] = {
        "validation_file": request.validation_file,
        "suffix": capabilities.mark_suffix(request),
        "seed": request.seed if capabilities.seed else None,
        "metadata": dict(request.metadata),
    }
    body |= {name: value for name, value in fields.items() if value not in (None, "", {})}
    if request.method not in capabilities.methods:
        raise Rejected(f"this provider has no method {request.method}; nothing was sent")
    method = request.method.value
    if hyperparameters:
        body["method"] = {"type": method, method: {"hyperparameters": hyperparameters}}
    elif request.method is not Method.SUPERVISED:
        body["method"] = {"type": method}
    return body


def render_hyperparameters(
    hyperparameters: Hyperparameters, capabilities: Capabilities
) -> dict[str, Json]:
    """The hyperparameters as JSON; Rejected for one that the provider would ignore."""
    rendered: dict[str, Json] = {}
    for name, value in asdict(hyperparameters).items():
        if value is None or (value == "auto" and not capabilities.auto):
            continue
        if name in capabilities.hyperparameters:
            rendered[name] = list(value) if isinstance(value, tuple) else value
        elif value != "auto":
            raise Rejected(f"this provider takes no hyperparameter {name!r}; nothing was sent")
    return rendered


def render_headers(request: JobRequest) -> dict[str, str]:
    """The header by which a server recognises a repeated request."""
    return {"Idempotency-Key": request.idempotency_key} if request.idempotency_key else {}


def has_same_hyperparameters(job: Job, hyperparameters: Hyperparameters) -> bool:
    """Whether no hyperparameter of the job differs from the requested one.

    A requested "auto" matches any value, as does a value that the job does not report.
    """
    for name, value in job.hyperparameters.items():
        requested = getattr(hyperparameters, name, None)
        if isinstance(requested, int | float) and value not in ("auto", requested):
            return False
    return True


def get_identifying_metadata(request: JobRequest) -> dict[str, str]:
    """The metadata by which the job of the request is known; empty without any."""
    for name in (RUN_ID_METADATA, RUN_KEY_METADATA):
        if value := request.metadata.get(name):
            return {name: value}
    return {}


def is_same(fields: JsonObject, request: JobRequest, capabilities: Capabilities) -> bool:
    """Whether the job has the mark of the request or, without marks, the same parameters."""
    job = read_job(fields)
    suffix = fields.find_text("suffix") or fields.find_text("user_provided_suffix")
    if suffix and request.mark and capabilities.mark_in_suffix:
        return capabilities.has_suffix(suffix, request)  # whatever became of the job
    return (
        job.status not in FAILED_JOB_STATUSES
        and job.training_file == request.training_file
        and job.validation_file == request.validation_file
        # The provider reports an alias such as gpt-4o-mini with its date.
        and job.model.startswith(request.model)
        and (suffix is None or capabilities.has_suffix(suffix, request))
        and (job.seed is None or request.seed is None or job.seed == request.seed)
        and has_same_hyperparameters(job, request.hyperparameters)
    )
