"""What a provider supports and how it resolves `auto`: known without a request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ftops.records import JobRequest, Method

MARK_CHARS = 8  # of `JobRequest.mark`, which consists of hexadecimal digits


@dataclass(frozen=True, slots=True)
class EpochRule:
    """How a provider resolves `n_epochs: auto`.

    `target` epochs; more (up to `most`) if these would train on fewer than `least_seen` rows in
    total, fewer if on more than `most_seen`.
    """

    target: int
    least_seen: int
    most_seen: int
    most: int

    def estimate(self, rows: int) -> int:
        """The epochs for a training file of `rows` rows."""
        rows = max(rows, 1)
        if rows * self.target < self.least_seen:
            return min(self.most, max(1, self.least_seen // rows))
        if rows * self.target > self.most_seen:
            return max(1, self.most_seen // rows)
        return self.target


@dataclass(frozen=True, slots=True)
class BatchRule:
    """How a provider resolves `batch_size: auto`: a share of the rows, up to `most`."""

    share: float
    most: int

    def estimate(self, rows: int) -> int:
        """The batch size for a training file of `rows` rows."""
        return max(1, min(self.most, round(self.share * rows)))


@dataclass(frozen=True, slots=True)
class DeploymentRule:
    """How a trained model is deployed, which providers without serving on demand require.

    `hourly` if it costs by the hour, not by the token: about `hourly_usd`, where that is known
    before the provider is asked. `ends` is how the provider ends a deployment by itself: after a
    time without requests (`idle`), after a time in total (`expiry`), or `never`.
    """

    hourly: bool = True
    hourly_usd: float | None = None
    ends: Literal["idle", "expiry", "never"] = "never"
    name_max: int = 63  # characters of a deployment's name: lower-case letters, digits and hyphens


@dataclass(frozen=True, slots=True)
class Naming:
    """How a provider names files, jobs and fine-tuned models, as regular expressions.

    The defaults are OpenAI's. `fine_tuned_model` has a group `base` for the base model, or several
    alternatives with a group each: `ft:base:organization:suffix:id` (OpenAI, the engine),
    `base:ft-organization-date` (OpenAI before 2024) and `base.ft-id-suffix` (Azure).
    """

    file_id: str = r"file-[A-Za-z0-9_-]+"
    job_id: str = r"ft(job)?-.+"
    fine_tuned_model: str = r"ft:([^:]+).*|(?!ft:)(.+?)[:.]ft-.*"

    def is_file_id(self, text: str) -> bool:
        """Whether the text is the id of a file at the provider, not a path."""
        return re.fullmatch(self.file_id, text) is not None

    def is_job_id(self, text: str) -> bool:
        """Whether the text is the id of a job, not a model."""
        return re.fullmatch(self.job_id, text) is not None

    def find_base_model(self, model: str) -> str | None:
        """The base model in the name of the fine-tuned `model`; None if the name has none."""
        match = re.fullmatch(self.fine_tuned_model, model, re.DOTALL)
        return next(filter(None, match.groups()), None) if match else None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider supports, so that a job file can be checked before anything is sent."""

    suffix_max: int
    hyperparameters: frozenset[str]  # the fields of `Hyperparameters` that it does not ignore
    metadata: bool = True  # a job keeps the metadata that identifies it
    custom_metadata: bool = True  # a job keeps the metadata of the job file, too
    mark_in_suffix: bool = False  # `JobRequest.mark` is sent at the end of the suffix
    seed: bool = True
    auto: bool = True  # "auto" may be sent; otherwise the field is left out
    defaults: Mapping[str, str] = field(default_factory=dict)  # of hyperparameters left out
    min_rows: int = 1  # the provider refuses jobs with fewer training rows
    max_validation_rows: int | None = None  # the provider refuses jobs with more
    needs_key: bool = True
    poll_every_s: float = 5.0  # between polls of a running job
    poll_queued_s: float = 60.0  # the longest pause between polls of a queued job
    listing_lag_s: float = 30.0  # until a new job is in the list of jobs
    file_listing_lag_s: float = 10.0  # until a stored file is in the list of files
    auto_epochs: EpochRule | None = None  # None: unknown
    auto_batch: BatchRule | None = None  # None: unknown
    chats: bool = True  # at least one model takes chat rows
    any_row_format: bool = False  # every model takes both completion and chat rows
    methods: frozenset[Method] = frozenset({Method.SUPERVISED})
    tools: bool = True  # its models can learn to call tools
    pauses: bool = True  # a job can be paused and resumed
    untrained_bases: tuple[str, ...] = ()  # base models that have random weights before training
    events: Literal["list", "states"] = "list"  # states: made from the states of the job
    curve: Literal["file", "metrics", "checkpoints", "none"] = "file"  # where losses come from
    estimates_cost: bool = False  # it implements `Provider.estimate_cost`
    moderation: bool = False  # it implements `Provider.moderate`
    deployment: DeploymentRule | None = None  # None: trained models answer without one
    serves: bool = True  # its models can answer requests there
    openai_requests: bool = True  # its models answer requests in the format of OpenAI's API
    weights: bool = False  # it implements `Provider.download_weights`
    max_concurrent_requests: int = 8  # of completions
    prompts_per_request: int = 1  # texts (not chats) in one request
    own_vocabulary: bool = False  # each job trains a vocabulary on its own rows
    precisions: bool = False  # a request may name the precision of a pre-trained model's weights
    naming: Naming = field(default_factory=Naming)

    @property
    def free_suffix_max(self) -> int:
        """The longest suffix of a job file: that of the provider, without the mark."""
        return self.suffix_max - (MARK_CHARS + 1 if self.mark_in_suffix else 0)

    def mark_suffix(self, request: JobRequest) -> str | None:
        """The suffix that is sent for the request."""
        mark = request.mark if self.mark_in_suffix else ""
        return "-".join(filter(None, (request.suffix, mark))) or None

    def has_suffix(self, suffix: str, request: JobRequest) -> bool:
        """Whether the job with this suffix is that of the request, or without a mark may be."""
        if request.mark or not self.mark_in_suffix:
            return suffix == (self.mark_suffix(request) or "")
        unmarked = re.fullmatch(rf"(?:(.*)-)?[0-9a-f]{{{MARK_CHARS}}}", suffix, re.DOTALL)
        return (request.suffix or "") in {suffix, unmarked[1] or "" if unmarked else suffix}

    def estimate_epochs(self, rows: int) -> int | None:
        """What `n_epochs: auto` becomes for a training file of `rows` rows; None if unknown."""
        if self.auto_epochs is not None:
            return self.auto_epochs.estimate(rows)
        default = self.defaults.get("n_epochs", "")
        return int(default) if default.isdecimal() else None

    def is_untrained(self, model: str) -> bool:
        """Whether the base model of `model` has random weights."""
        return (self.naming.find_base_model(model) or model) in self.untrained_bases

    def trains_tools(self, model: str) -> bool:
        """Whether `model` may learn to call tools; a job on it shows whether its template can."""
        return self.tools and not self.is_untrained(model)

    def takes_precision(self, model: str) -> bool:
        """Whether a request to `model` may name the precision of its weights."""
        return self.precisions and not self.is_untrained(model)
