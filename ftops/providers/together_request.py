"""The request that creates a job at Together, and the bounds that the service states for it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ftops.capabilities import Capabilities
from ftops.errors import Rejected
from ftops.http.response import JsonObject
from ftops.providers.together_options import TogetherOptions
from ftops.providers.together_response import read_hyperparameters, read_status
from ftops.records import FAILED_JOB_STATUSES, Hyperparameters, JobRequest, Json, Method

SECTION = "together"
_EPOCHS = 1  # the service's default
_PATIENCE = 2  # the same, of early stopping
_WARMUP_EVALS = 1
# Fields of the section that the body has under the same name.
_SAME_NAMES = (
    "warmup_ratio",
    "weight_decay",
    "max_grad_norm",
    "gradient_accumulation_steps",
    "packing",
    "max_seq_length",
    "n_checkpoints",
)
_EARLY_STOPPING = ("early_stopping_min_delta", "early_stopping_warmup_evals")
_DPO = ("dpo_normalize_logratios_by_length", "dpo_reference_free", "rpo_alpha", "simpo_gamma")
# What the service needs to estimate the price of a job.
PRICED_FIELDS = frozenset(
    {
        *("training_file", "validation_file", "model", "from_checkpoint", "n_epochs", "n_evals"),
        *("training_method", "training_type"),
    }
)

# Fields of the request, with the fields of the limits that are its lower and upper bound.
_BOUNDS = (
    ("n_epochs", "", "max_num_epochs"),
    ("n_evals", "", "max_num_evals"),
    ("n_checkpoints", "", "max_num_checkpoints"),
    ("learning_rate", "min_learning_rate", "max_learning_rate"),
    ("batch_size", "min_batch_size", "max_batch_size"),
    ("max_seq_length", "min_max_seq_length", "max_seq_length"),
    ("lora_r", "", "max_rank"),
)


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The bounds of one model, as the service states them; empty if it does not."""

    values: Mapping[str, Json]

    @property
    def default_rank(self) -> int | None:
        """The rank of adapters that the service chooses."""
        lora = _get_mapping(self.values, "lora_training")
        return _find_int(lora, "default_rank") or _find_int(lora, "max_rank")

    def list_problems(self, body: Mapping[str, Json]) -> Iterator[str]:
        """What the body of a request has outside these bounds."""
        method, kind = _get_mapping(body, "training_method"), _get_mapping(body, "training_type")
        is_full = kind.get("type") == "Full"
        group = _get_mapping(self.values, "full_training" if is_full else "lora_training")
        if is_full and self.values and not self.values.get("supports_full_training", bool(group)):
            yield "lora is false, and this model is trained with adapters only"
            return
        bounds = {**self.values, **group}
        is_dpo = method.get("method") == "dpo"
        bounds["max_seq_length"] = bounds.get(
            "max_seq_length_dpo" if is_dpo else "max_seq_length_sft"
        )
        if is_dpo:
            bounds["max_batch_size"] = bounds.get("max_batch_size_dpo")
        for name, low, high in _BOUNDS:
            yield from _check_bounds(
                name, body.get(name, kind.get(name)), bounds.get(low), bounds.get(high)
            )
        yield from _check_modules(kind.get("lora_trainable_modules"), group.get("target_modules"))


def read_options(request_sections: Mapping[str, Mapping[str, Json]]) -> TogetherOptions:
    """The section `together` of a request, with its defaults."""
    return TogetherOptions.model_validate(request_sections.get(SECTION, {}))


def render_request(
    request: JobRequest, capabilities: Capabilities, limits: ModelLimits, *, is_tuned: bool = False
) -> dict[str, Json]:
    """The body of the request that creates a job.

    `is_tuned` if `request.model` is the result of an earlier job. Raises Rejected for everything
    that the service would ignore or refuse.
    """
    _check_supported(request, capabilities)
    options = read_options(request.sections)
    body: dict[str, Json] = {"training_file": request.training_file}
    body["from_checkpoint" if is_tuned else "model"] = request.model
    body |= _render_hyperparameters(request.hyperparameters)
    body |= {name: getattr(options, name) for name in _SAME_NAMES if _is_set(options, name)}
    if request.validation_file:
        body["validation_file"] = request.validation_file
        body["n_evals"] = options.n_evals or _count_evaluations(request, options)
    if suffix := capabilities.mark_suffix(request):
        body["suffix"] = suffix
    if request.seed is not None:
        body["random_seed"] = request.seed
    if options.lr_scheduler is not None:
        body["lr_scheduler"] = _render_scheduler(options)
    if training_type := _render_training_type(options, limits):
        body["training_type"] = training_type
    body["training_method"] = _render_method(request, options)
    if request.hyperparameters.early_stopping is not None:
        patience = request.hyperparameters.early_stopping.get("patience")
        body |= {"early_stopping_enabled": True, "early_stopping_patience": patience}
        body |= {name: getattr(options, name) for name in _EARLY_STOPPING if _is_set(options, name)}
    problems = [*_list_conflicts(request, options), *limits.list_problems(body)]
    if problems:
        raise Rejected(
            f"Together does not train {request.model} like this: {'; '.join(problems)};"
            " nothing was sent",
            hint="Change these values in the job file; `hyperparameters` and `together` hold them.",
        )
    return body


def _check_supported(request: JobRequest, capabilities: Capabilities) -> None:
    hyperparameters = request.hyperparameters
    for name in Hyperparameters.__dataclass_fields__:
        value = getattr(hyperparameters, name)
        if name not in capabilities.hyperparameters and value not in (None, "auto"):
            raise Rejected(f"Together takes no hyperparameter {name!r}; nothing was sent")
    if request.method not in capabilities.methods:
        raise Rejected(f"Together has no method {request.method}; nothing was sent")
    if request.metadata:
        raise Rejected("Together stores no metadata of a job; nothing was sent")
    if len(suffix := capabilities.mark_suffix(request) or "") > capabilities.suffix_max:
        raise Rejected(
            f"the suffix {suffix!r}, which ends with the mark of the job, has {len(suffix)}"
            f" characters; Together allows {capabilities.suffix_max}; nothing was sent"
        )


def _is_set(options: TogetherOptions, name: str) -> bool:
    return getattr(options, name) is not None


def _render_hyperparameters(hyperparameters: Hyperparameters) -> dict[str, Json]:
    """The fields without `auto`, which the service does not know: it has its own defaults."""
    rendered: dict[str, Json] = {"batch_size": "max"}
    for name in ("n_epochs", "batch_size", "learning_rate"):
        value = getattr(hyperparameters, name)
        if value not in (None, "auto"):
            rendered[name] = value
    return rendered


def _count_epochs(hyperparameters: Hyperparameters) -> int:
    epochs = hyperparameters.n_epochs
    return _EPOCHS if epochs == "auto" else epochs


def _count_evaluations(request: JobRequest, options: TogetherOptions) -> int:
    """One for each epoch, and enough for early stopping to see a plateau."""
    epochs = _count_epochs(request.hyperparameters)
    return max(epochs, _count_needed_evaluations(request.hyperparameters, options))


def _count_needed_evaluations(hyperparameters: Hyperparameters, options: TogetherOptions) -> int:
    if hyperparameters.early_stopping is None:
        return 0
    patience = hyperparameters.early_stopping.get("patience")
    warmup = options.early_stopping_warmup_evals
    return (
        (patience if isinstance(patience, int) else _PATIENCE)
        + (_WARMUP_EVALS if warmup is None else warmup)
        + 1
    )


def _render_scheduler(options: TogetherOptions) -> dict[str, Json]:
    arguments: dict[str, Json] = {
        name: getattr(options, name)
        for name in ("min_lr_ratio", "num_cycles")
        if _is_set(options, name)
    }
    scheduler: dict[str, Json] = {"lr_scheduler_type": options.lr_scheduler}
    return scheduler | ({"lr_scheduler_args": arguments} if arguments else {})


def _render_training_type(options: TogetherOptions, limits: ModelLimits) -> dict[str, Json] | None:
    """How the weights are trained; None for the service's default, adapters of its own rank."""
    if not options.lora:
        return {"type": "Full"}
    others = {
        name: getattr(options, name)
        for name in ("lora_dropout", "lora_trainable_modules")
        if _is_set(options, name)
    }
    if options.lora_r is None and options.lora_alpha is None and not others:
        return None
    rank = options.lora_r or limits.default_rank
    if rank is None:
        raise Rejected(
            "the default rank of the adapters is unknown, and they have other options; nothing"
            " was sent",
            hint="Write the rank in the job file: `together: {lora_r: 16}`.",
        )
    return {"type": "Lora", "lora_r": rank, "lora_alpha": options.lora_alpha or 2 * rank, **others}


def _render_method(request: JobRequest, options: TogetherOptions) -> dict[str, Json]:
    if request.method is Method.SUPERVISED:
        return {"method": "sft", "train_on_inputs": options.train_on_inputs}
    beta = request.hyperparameters.beta
    return {
        "method": "dpo",
        **({} if beta in (None, "auto") else {"dpo_beta": beta}),
        **{name: getattr(options, name) for name in _DPO if _is_set(options, name)},
    }


def _list_conflicts(request: JobRequest, options: TogetherOptions) -> Iterator[str]:
    """What the service would ignore, or accept and not do."""
    early_stopping = request.hyperparameters.early_stopping
    if early_stopping is None:
        for name in filter(lambda name: _is_set(options, name), _EARLY_STOPPING):
            yield f"{name} needs hyperparameters.early_stopping"
    else:
        if not request.validation_file:
            yield "early_stopping needs a validation_file"
        if early_stopping.get("metric", "valid_loss") != "valid_loss":
            yield f"early_stopping.metric is valid_loss here, not {early_stopping['metric']}"
        needed = _count_needed_evaluations(request.hyperparameters, options)
        if options.n_evals is not None and options.n_evals < needed:
            yield f"n_evals is {options.n_evals}, and early_stopping needs at least {needed}"
    if options.n_evals is not None and not request.validation_file:
        yield "n_evals needs a validation_file"
    if request.method is not Method.DPO:
        for name in filter(lambda name: _is_set(options, name), _DPO):
            yield f"{name} is for the method dpo"
    elif options.train_on_inputs != "auto":
        yield "train_on_inputs is for the method supervised"
    checkpoints, epochs = options.n_checkpoints, _count_epochs(request.hyperparameters)
    if checkpoints is not None and checkpoints > epochs:
        yield f"n_checkpoints is {checkpoints}, and there is one for each of the {epochs} epochs"


def _check_bounds(name: str, value: Json, low: Json, high: Json) -> Iterator[str]:
    if not isinstance(value, int | float):
        return
    if isinstance(low, int | float) and value < low:
        yield f"{name} is {value:g}, at least {low:g} is allowed"
    if isinstance(high, int | float) and value > high:
        yield f"{name} is {value:g}, at most {high:g} is allowed"


def _check_modules(modules: Json, known: Json) -> Iterator[str]:
    if not isinstance(modules, str) or modules == "all-linear" or not isinstance(known, list):
        return
    unknown = [name for name in modules.split(",") if name.strip() not in known]
    if unknown:
        yield (
            f"lora_trainable_modules has {', '.join(unknown)}, and the model has"
            f" {', '.join(map(str, known))}"
        )


def _get_mapping(values: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _find_int(values: Mapping[str, Json], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def is_job_of(fields: JsonObject, request: JobRequest, capabilities: Capabilities) -> bool:
    """Whether `request` may have created the job.

    The mark in the suffix decides; without one, equal parameters do, of jobs that have not failed.
    """
    if (
        request.training_file != fields.find_text("training_file")
        or request.model not in (fields.find_text("model"), fields.find_text("from_checkpoint"))
        or not capabilities.has_suffix(fields.find_text("suffix") or "", request)
    ):
        return False
    if request.mark:
        return True
    seed = fields.find_int("random_seed")
    return (
        read_status(fields) not in FAILED_JOB_STATUSES
        and request.validation_file == fields.find_text("validation_file")
        and (seed is None or request.seed is None or seed == request.seed)
        and _has_same_hyperparameters(fields, request.hyperparameters)
    )


def _has_same_hyperparameters(fields: JsonObject, hyperparameters: Hyperparameters) -> bool:
    """Whether no number of the job differs from a requested one."""
    for name, value in read_hyperparameters(fields).items():
        requested = getattr(hyperparameters, name, None)
        if (
            isinstance(requested, int | float)
            and isinstance(value, int | float)
            and not math.isclose(requested, value)
        ):
            return False
    return True
