"""All providers, by their names in a job file.

A new provider is one module and one entry in `PROVIDERS`. A lookup is cheap: the OpenAI SDK, which
takes most of a second to import, is imported only when a provider is built.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import Any, Protocol

from ftops.capabilities import BatchRule, Capabilities, DeploymentRule, EpochRule, Naming
from ftops.errors import ProviderError
from ftops.providers.address import (
    AZURE,
    CRUSOE,
    HUGGING_FACE,
    NEBIUS,
    OPENAI,
    TOGETHER,
    VOLITION,
    Destination,
    ServerAddress,
)
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.vertex_address import VERTEX
from ftops.records import (
    ENGINE_PROVIDER,
    PRETRAINED_ONLY,
    Hyperparameters,
    JobProtocol,
    Method,
    ProviderSettings,
)
from ftops.text import find_nearest


class Build(Protocol):
    """Builds a provider; it sends and starts nothing before its first use."""

    def __call__(
        self, settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext, /
    ) -> Provider: ...


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider: `summary` describes it, `settings` names the settings that it reads.

    `protocols` holds the differences of other values of `protocol:` in the job file. `sections`
    are the sections of the job file that only this provider reads: strict Pydantic models, imported
    when a job file is read. `JobRequest.sections` has their values.

    The last three are for docs/providers.md: the day of the documents that the entry follows, some
    base models that are trained there, and what only the real service can prove.
    """

    summary: str
    capabilities: Capabilities
    build: Build
    address: ServerAddress | None = None  # None: the built-in engine
    settings: frozenset[str] = frozenset()
    protocols: Mapping[JobProtocol, tuple[Capabilities, Build]] = field(default_factory=dict)
    sections: Mapping[str, Callable[[], type[Any]]] = field(default_factory=dict)
    as_of: str = ""
    models: tuple[str, ...] = ()
    unproved: tuple[str, ...] = ()


def render_provider(name: str) -> str:
    """The provider in a job file: its name, or a mapping if each customer has an address."""
    address = PROVIDERS[name].address
    if address is None or address.base_url:
        return name
    return f"{{type: {name}, base_url: {address.example}}}"


def _import_when_built(module: str, function: str) -> Build:
    def build(
        settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext, /
    ) -> Provider:
        imported: Build = getattr(import_module(module), function)
        return imported(settings, capabilities, context)

    return build


def _load_when_read(module: str, name: str) -> Callable[[], type[Any]]:
    """A section of the job file: its module imports pydantic, which few commands need."""

    def load() -> type[Any]:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]

    return load


_load_lora_options = _load_when_read("ftops.lora_options", "LoraOptions")
_build_openai = _import_when_built("ftops.providers.openai", "build_openai")
_ENGINE_HYPERPARAMETERS = frozenset(field.name for field in fields(Hyperparameters))
_BOTH_METHODS = frozenset({Method.SUPERVISED, Method.DPO})
_AUTO_BATCH = BatchRule(share=0.002, most=256)  # as OpenAI has described it since 2021
ENGINE_SIZES = ("ada", "babbage", "curie", "davinci")  # of the trainer `tiny`
_LEGACY = Capabilities(
    suffix_max=40,
    hyperparameters=_ENGINE_HYPERPARAMETERS - PRETRAINED_ONLY - {"beta"},
    metadata=False,
    seed=False,
    auto=False,
    defaults={"n_epochs": "4"},
    chats=False,
    pauses=False,
    poll_every_s=10.0,  # events arrive at once, over a stream
    auto_epochs=EpochRule(target=4, least_seen=0, most_seen=sys.maxsize, most=4),
    auto_batch=_AUTO_BATCH,
)
_LOCAL = Capabilities(
    suffix_max=64,
    hyperparameters=_ENGINE_HYPERPARAMETERS,
    needs_key=False,
    poll_every_s=0.3,
    poll_queued_s=2.0,
    listing_lag_s=2.0,
    file_listing_lag_s=0.0,
    any_row_format=True,
    untrained_bases=ENGINE_SIZES,
    methods=_BOTH_METHODS,
    max_concurrent_requests=4,
    prompts_per_request=64,
    own_vocabulary=True,
    precisions=True,
)
_OPENAI = Capabilities(
    suffix_max=64,
    hyperparameters=frozenset({"n_epochs", "batch_size", "learning_rate_multiplier", "beta"}),
    methods=_BOTH_METHODS,
    moderation=True,
    min_rows=10,
    poll_every_s=10.0,
    # the policy of OpenAI's cookbook: an estimate, not a promise
    auto_epochs=EpochRule(target=3, least_seen=100, most_seen=25_000, most=25),
    auto_batch=_AUTO_BATCH,
)
_NEBIUS = Capabilities(
    suffix_max=64,
    hyperparameters=frozenset({"n_epochs", "batch_size", "learning_rate"}),
    metadata=False,
    custom_metadata=False,
    mark_in_suffix=True,
    auto=False,
    defaults={"n_epochs": "3", "batch_size": "8", "learning_rate": "1e-5"},
    pauses=False,
    poll_every_s=10.0,
    deployment=DeploymentRule(hourly=False, ends="never"),
    weights=True,
    naming=Naming(fine_tuned_model=r"(.+)-LoRa:.+"),
    curve="checkpoints",
)
_CRUSOE = Capabilities(
    suffix_max=64,
    hyperparameters=frozenset(
        {"n_epochs", "batch_size", "learning_rate_multiplier", "learning_rate"}
    ),
    metadata=False,
    custom_metadata=False,
    mark_in_suffix=True,
    seed=False,
    pauses=False,
    poll_every_s=10.0,
    deployment=DeploymentRule(hourly=False, ends="expiry"),
    estimates_cost=True,
    weights=True,
    naming=Naming(fine_tuned_model=r"(?!)"),  # no name contains the base model
    curve="metrics",
)
_AZURE = replace(
    _OPENAI,
    moderation=False,
    deployment=DeploymentRule(hourly=True, hourly_usd=1.70, ends="never"),
)

_VERTEX = Capabilities(
    suffix_max=128,
    hyperparameters=frozenset({"n_epochs", "learning_rate_multiplier", "beta"}),
    custom_metadata=False,  # labels are too short for texts
    seed=False,
    auto=False,
    defaults={"n_epochs": "chosen by the service", "learning_rate_multiplier": "1"},
    methods=_BOTH_METHODS,
    max_validation_rows=5_000,
    openai_requests=False,
    pauses=False,
    poll_every_s=15.0,  # each poll is two requests, and a state lasts for minutes
    file_listing_lag_s=0.0,  # objects are found by their name
    naming=Naming(
        file_id=r"gs://.+",
        job_id=r"[0-9]{6,}",
        # The name of an endpoint does not contain the base model.
        fine_tuned_model=r"projects/[^/]+/locations/[^/]+/(?:endpoints|models)/[^/]+",
    ),
    events="states",
    curve="none",
)
_TOGETHER = Capabilities(
    suffix_max=40,
    hyperparameters=frozenset(
        {"n_epochs", "batch_size", "learning_rate", "beta", "early_stopping"}
    ),
    metadata=False,
    custom_metadata=False,
    mark_in_suffix=True,
    auto=False,
    defaults={"n_epochs": "1", "batch_size": "max", "learning_rate": "0.00001"},
    methods=_BOTH_METHODS,
    pauses=False,
    poll_every_s=10.0,
    estimates_cost=True,
    deployment=DeploymentRule(ends="idle"),
    weights=True,
    # The name of a fine-tuned model does not tell its base model apart from the suffix.
    naming=Naming(
        file_id=r"file-[A-Za-z0-9-]+", job_id=r"ft-[A-Za-z0-9-]+", fine_tuned_model=r"(?!)"
    ),
    curve="metrics",
)
_HUGGING_FACE = Capabilities(
    suffix_max=40,
    hyperparameters=frozenset({"n_epochs", "batch_size", "learning_rate", "beta"}),
    custom_metadata=False,
    auto=False,
    defaults={
        "n_epochs": "3",
        "batch_size": "8",
        "learning_rate": "TRL's own for the method",
    },
    methods=_BOTH_METHODS,
    openai_requests=False,
    pauses=False,
    poll_every_s=15.0,  # each poll reads the whole log
    file_listing_lag_s=0.0,  # files are found by their name
    estimates_cost=True,
    serves=False,
    weights=True,
    naming=Naming(
        file_id=r"hf://datasets/[^/]+/[^/]+/.+",
        job_id=r"[0-9a-f]{24}",
        fine_tuned_model=r"(?!)",  # the name of a repository does not contain the base model
    ),
    curve="metrics",
)

PROVIDERS: Mapping[str, ProviderEntry] = {
    ENGINE_PROVIDER: ProviderEntry(
        summary="the built-in engine on this machine, started when it is needed",
        capabilities=_LOCAL,
        build=_import_when_built("ftops.providers.local", "build_local"),
        sections={"lora": _load_lora_options},
        protocols={
            "legacy": (
                replace(
                    _LEGACY,
                    needs_key=False,
                    max_concurrent_requests=4,
                    prompts_per_request=64,
                    untrained_bases=ENGINE_SIZES,
                    poll_every_s=5.0,
                    listing_lag_s=2.0,
                    file_listing_lag_s=0.0,
                    own_vocabulary=True,
                ),
                _import_when_built("ftops.providers.local", "build_local_legacy"),
            )
        },
        models=ENGINE_SIZES,
    ),
    "openai": ProviderEntry(
        summary="OpenAI, and every server that speaks its fine-tuning API at another `base_url`",
        capabilities=_OPENAI,
        build=_build_openai,
        address=OPENAI,
        settings=frozenset({"base_url", "api_key_env", "organization", "project"}),
        protocols={
            "legacy": (
                _LEGACY,
                _import_when_built("ftops.providers.openai_legacy", "build_openai_legacy"),
            )
        },
        as_of="2026-11-22",
        models=("gpt-4.1-nano-2025-04-14", "gpt-4.1-mini-2025-04-14", "gpt-4.1-2025-04-14"),
        unproved=("whether a new customer may still train before 2027-01-06",),
    ),
    "vertex": ProviderEntry(
        summary="Gemini models at Google Vertex AI, with the training files in a bucket",
        capabilities=_VERTEX,
        build=_import_when_built("ftops.providers.vertex", "build_vertex"),
        address=VERTEX,
        settings=frozenset({"base_url", "api_key_env", "project", "location", "bucket"}),
        sections={"vertex": _load_when_read("ftops.providers.vertex_options", "VertexOptions")},
        as_of="2026-11-29",
        models=("gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.1-flash-lite"),
        unproved=(
            "whether the list of jobs can be filtered by labels; the labels are compared anyway",
            "the price of training, which no document of that date has",
        ),
    ),
    "together": ProviderEntry(
        summary="Together AI, which trains open models and deploys them by the hour",
        capabilities=_TOGETHER,
        build=_import_when_built("ftops.providers.together", "build_together"),
        address=TOGETHER,
        settings=frozenset({"base_url", "api_key_env", "project"}),
        sections={
            "together": _load_when_read("ftops.providers.together_options", "TogetherOptions")
        },
        as_of="2026-11-29",
        models=("meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", "Qwen/Qwen3-8B"),
        unproved=("what a status means that the documents do not name",),
    ),
    "huggingface": ProviderEntry(
        summary="jobs at Hugging Face, in which TRL trains open models",
        capabilities=_HUGGING_FACE,
        build=_import_when_built("ftops.providers.huggingface", "build_huggingface"),
        address=HUGGING_FACE,
        settings=frozenset({"base_url", "api_key_env", "organization"}),
        sections={
            "huggingface": _load_when_read(
                "ftops.providers.huggingface_options", "HuggingFaceOptions"
            )
        },
        as_of="2026-11-29",
        models=("Qwen/Qwen3-0.6B", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        unproved=(
            "whether the script of the container works in the current image of TRL",
            "which stage a job has that was stopped by its timeout",
        ),
    ),
    "nebius": ProviderEntry(
        summary="Nebius Token Factory: open-weight models",
        capabilities=_NEBIUS,
        build=_build_openai,
        address=NEBIUS,
        settings=frozenset({"base_url", "api_key_env"}),
        sections={"nebius": _load_when_read("ftops.providers.openai_options", "NebiusOptions")},
        as_of="2026-11-29",
        models=("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        unproved=(
            "which other base models are trained there today",
            "the price above 20 billion parameters, which rests on the notes of one user",
        ),
    ),
    "crusoe": ProviderEntry(
        summary="Crusoe's serverless fine-tuning: open-weight models",
        capabilities=_CRUSOE,
        build=_build_openai,
        address=CRUSOE,
        settings=frozenset({"base_url", "api_key_env", "project"}),
        sections={"crusoe": _load_when_read("ftops.providers.openai_options", "CrusoeOptions")},
        as_of="2026-11-29",
        models=("meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-120b"),
        unproved=("whether jobs take metadata and a seed; ftops sends neither",),
    ),
    "azure": ProviderEntry(
        summary="Azure AI Foundry: models of OpenAI and others, in a resource of your own",
        capabilities=_AZURE,
        build=_build_openai,
        address=AZURE,
        settings=frozenset({"base_url", "api_key_env"}),
        sections={"azure": _load_when_read("ftops.providers.openai_options", "AzureOptions")},
        as_of="2026-11-29",
        models=("gpt-4.1-mini-2025-04-14", "gpt-4.1-nano-2025-04-14", "gpt-4.1-2025-04-14"),
        unproved=(
            "whether a job returns its metadata; without them, its parameters identify it",
            "whether a new customer may still train models of OpenAI",
        ),
    ),
    "volition": ProviderEntry(
        summary="gateways of Volition, which know a repeated request by its Idempotency-Key",
        capabilities=replace(_OPENAI, suffix_max=18, moderation=False),
        build=_build_openai,
        address=VOLITION,
        settings=frozenset({"base_url", "api_key_env"}),
        as_of="2026-11-29",
    ),
}


@dataclass(frozen=True, slots=True)
class ClosedProvider:
    """A provider without fine-tuning jobs: since when, and what comes nearest to it."""

    since: str
    nearest: tuple[str, ...] = ("together", ENGINE_PROVIDER)


# As the documents of these providers say on 2026-11-29. Mistral names no day: this is that of its
# first SDK without fine-tuning. Predibase says nothing: this is the month of its last SDK.
CLOSED_PROVIDERS: Mapping[str, ClosedProvider] = {
    "ai21": ClosedProvider("2026-08-09"),
    "cohere": ClosedProvider("2025-09-15"),
    "databricks": ClosedProvider("2026-08-14"),
    "fireworks": ClosedProvider("2026-11"),
    "mistral": ClosedProvider("2026-07-06"),
    "predibase": ClosedProvider("2025-10"),
}


def find_closed(
    name: str, providers: Mapping[str, ProviderEntry] = PROVIDERS
) -> tuple[str, str] | None:
    """A message and the next step for a provider without fine-tuning jobs; None for others."""
    closed = CLOSED_PROVIDERS.get(name)
    if closed is None:
        return None
    nearest = [provider for provider in closed.nearest if provider in providers]
    return (
        f"{name} has taken no new fine-tuning jobs since {closed.since}",
        f"nearest to it: {' or '.join(nearest)}, with a model of theirs",
    )


def get_capabilities(
    settings: ProviderSettings, providers: Mapping[str, ProviderEntry] = PROVIDERS
) -> Capabilities:
    """The capabilities of the provider of `settings`; needs no key and sends no request.

    Raises ProviderError for an unknown provider, a setting that it would ignore, or an unsupported
    protocol.
    """
    return _get_protocol(settings, providers)[0]


def build_provider(
    settings: ProviderSettings,
    context: ProviderContext,
    providers: Mapping[str, ProviderEntry] = PROVIDERS,
) -> Provider:
    """The provider of `settings`; it sends and starts nothing before its first use."""
    capabilities, build = _get_protocol(settings, providers)
    return build(settings, capabilities, context)


def find_address(
    settings: ProviderSettings, providers: Mapping[str, ProviderEntry] = PROVIDERS
) -> ServerAddress | None:
    """The address of the provider; None for the built-in engine."""
    return _get_entry(settings, providers).address


def find_destination(
    settings: ProviderSettings,
    environ: Mapping[str, str],
    providers: Mapping[str, ProviderEntry] = PROVIDERS,
) -> Destination | None:
    """Where requests to the provider go; None for the built-in engine.

    Raises ProviderError for an address without a key of its own.
    """
    address = find_address(settings, providers)
    return address.get_destination(settings, environ) if address else None


def list_catalog_tables(
    settings: ProviderSettings,
    environ: Mapping[str, str],
    providers: Mapping[str, ProviderEntry] = PROVIDERS,
) -> tuple[str, ...]:
    """The tables of a `models.toml` that apply to the provider, narrowest first."""
    address = find_address(settings, providers)
    return address.list_catalog_tables(settings, environ) if address else (settings.type,)


def require_moderation(settings: ProviderSettings) -> None:
    """Raise ProviderError if the provider cannot moderate; it names the providers that can."""
    if get_capabilities(settings).moderation:
        return
    able = [name for name, entry in sorted(PROVIDERS.items()) if entry.capabilities.moderation]
    raise ProviderError(
        f"the provider {settings.type!r} has no moderation endpoint",
        hint=f"There is one at: {', '.join(able)}. Leave --moderate out, or name one: --for"
        f" {able[0]}/MODEL.",
    )


def require_weights(settings: ProviderSettings) -> None:
    """Raise ProviderError if the provider offers no weights; it names the providers that do."""
    if get_capabilities(settings).weights:
        return
    able = [name for name, entry in sorted(PROVIDERS.items()) if entry.capabilities.weights]
    hint = f"These do: {', '.join(able)}." if able else "No known provider does."
    if settings.uses_engine:
        hint = "`ftops models export` writes the models of the built-in engine for other tools."
    raise ProviderError(f"the provider {settings.type!r} offers no weights to download", hint=hint)


def _get_entry(settings: ProviderSettings, providers: Mapping[str, ProviderEntry]) -> ProviderEntry:
    entry = providers.get(settings.type)
    if entry is None:
        if closed := find_closed(settings.type, providers):
            message, advice = closed
            raise ProviderError(message, hint=f"{advice.capitalize()}.")
        names = ", ".join(sorted(providers))
        near = find_nearest(settings.type, providers)
        raise ProviderError(
            f"there is no provider {settings.type!r}",
            hint=(f"Did you mean {near!r}? " if near else "") + f"There are: {names}.",
        )
    return entry


def _get_protocol(
    settings: ProviderSettings, providers: Mapping[str, ProviderEntry]
) -> tuple[Capabilities, Build]:
    entry = _get_entry(settings, providers)
    for setting in fields(settings):
        if setting.name in ("type", "protocol") or getattr(settings, setting.name) is None:
            continue
        if setting.name not in entry.settings:
            raise ProviderError(
                f"the provider {settings.type!r} takes no {setting.name!r}",
                hint="Leave it out of the job file, or name another provider.",
            )
    if settings.protocol == "current":
        return entry.capabilities, entry.build
    if settings.protocol not in entry.protocols:
        raise ProviderError(
            f"the provider {settings.type!r} does not speak the {settings.protocol} protocol",
            hint=f"It speaks: {', '.join(['current', *entry.protocols])}.",
        )
    return entry.protocols[settings.protocol]
