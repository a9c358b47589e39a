"""All providers, by the name that a job file calls them.

A new one is a line here and a module with a `build_…` function. Asking what a provider takes costs
nothing: its module, and with it the OpenAI client, is imported only when a provider is built.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from ftops.capabilities import BatchRule, Capabilities, EpochRule
from ftops.errors import ProviderError
from ftops.providers.context import ProviderContext
from ftops.providers.provider import Provider
from ftops.records import (
    Hyperparameters,
    JobProtocol,
    Method,
    ProviderSettings,
)
from ftops.text import find_nearest

__all__ = ["PROVIDERS", "ProviderContext", "ProviderEntry", "build_provider", "get_capabilities"]

Build = Callable[[ProviderSettings, Capabilities, ProviderContext], Provider]


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider: `summary` is for people, `takes` names the settings that it reads.

    `capabilities` holds what it takes by each protocol that it speaks.
    """

    summary: str
    capabilities: Mapping[JobProtocol, Capabilities]
    takes: frozenset[str]
    build: Build


def _build_local(
    settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext
) -> Provider:
    # Imported here, like its neighbour: this is the door before the OpenAI client, which takes most
    # of a second to import and is not needed to check a job file.
    from ftops.providers.local import build_local

    return build_local(settings, capabilities, context)


def _build_openai(
    settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext
) -> Provider:
    from ftops.providers.openai import build_openai

    return build_openai(settings, capabilities, context)


_EVERY_HYPERPARAMETER = frozenset(field.name for field in fields(Hyperparameters))
_BOTH_METHODS = frozenset({Method.SUPERVISED, Method.DPO})
_AUTO_BATCH = BatchRule(share=0.002, most=256)  # as OpenAI has described it since 2021
_LEGACY = Capabilities(
    suffix_max=40,
    hyperparameters=_EVERY_HYPERPARAMETER - {"beta"},
    metadata=False,
    seed=False,
    chats=False,
    pauses=False,
    poll_every_s=10.0,  # events come at once, over a stream
    auto_epochs=EpochRule(target=4, least_seen=0, most_seen=sys.maxsize, most=4),
    auto_batch=_AUTO_BATCH,
)

PROVIDERS: Mapping[str, ProviderEntry] = {
    "local": ProviderEntry(
        summary="the built-in engine on this machine, started when it is needed",
        capabilities={
            "current": Capabilities(
                suffix_max=64,
                hyperparameters=_EVERY_HYPERPARAMETER,
                needs_key=False,
                poll_every_s=0.3,
                poll_queued_s=2.0,
                listing_lag_s=2.0,
                file_listing_lag_s=0.0,
                any_row_format=True,
                untrained_bases=True,
                tools=False,
                methods=_BOTH_METHODS,
                max_concurrent_requests=4,
                prompts_per_request=64,
            ),
            "legacy": replace(
                _LEGACY,
                needs_key=False,
                max_concurrent_requests=4,
                prompts_per_request=64,
                untrained_bases=True,
                poll_every_s=5.0,
                listing_lag_s=2.0,
                file_listing_lag_s=0.0,
            ),
        },
        takes=frozenset(),
        build=_build_local,
    ),
    "openai": ProviderEntry(
        summary="OpenAI, and every server that speaks its fine-tuning API at another `base_url`",
        capabilities={
            "current": Capabilities(
                suffix_max=64,
                hyperparameters=frozenset(
                    {"n_epochs", "batch_size", "learning_rate_multiplier", "beta"}
                ),
                methods=_BOTH_METHODS,
                moderation=True,
                min_rows=10,
                poll_every_s=10.0,
                # the policy of OpenAI's cookbook: an estimate, not a promise
                auto_epochs=EpochRule(target=3, least_seen=100, most_seen=25_000, most=25),
                auto_batch=_AUTO_BATCH,
            ),
            "legacy": _LEGACY,
        },
        takes=frozenset({"base_url", "api_key_env", "organization", "project"}),
        build=_build_openai,
    ),
}


def get_capabilities(settings: ProviderSettings) -> Capabilities:
    """What the provider of `settings` takes; needs no key and sends nothing.

    Raises ProviderError for a provider that does not exist, a setting that it would ignore, or a
    protocol that it does not speak.
    """
    return _get_capabilities(settings, _get_entry(settings))


def build_provider(settings: ProviderSettings, context: ProviderContext) -> Provider:
    """The provider of `settings`; nothing is sent and nothing started before its first use."""
    entry = _get_entry(settings)
    return entry.build(settings, _get_capabilities(settings, entry), context)


def require_moderation(settings: ProviderSettings) -> None:
    """ProviderError, which names those that do, when that provider judges no texts."""
    if get_capabilities(settings).moderation:
        return
    able = [
        name
        for name, entry in sorted(PROVIDERS.items())
        if any(one.moderation for one in entry.capabilities.values())
    ]
    raise ProviderError(
        f"the provider {settings.type!r} has no moderation endpoint",
        hint=f"There is one at: {', '.join(able)}. Leave --moderate out, or name one: --for"
        f" {able[0]}/MODEL.",
    )


def _get_capabilities(settings: ProviderSettings, entry: ProviderEntry) -> Capabilities:
    found = entry.capabilities.get(settings.protocol)
    if found is None:
        raise ProviderError(
            f"the provider {settings.type!r} does not speak the {settings.protocol} protocol",
            hint=f"It speaks: {', '.join(entry.capabilities)}.",
        )
    return found


def _get_entry(settings: ProviderSettings) -> ProviderEntry:
    entry = PROVIDERS.get(settings.type)
    if entry is None:
        names = ", ".join(sorted(PROVIDERS))
        near = find_nearest(settings.type, PROVIDERS)
        raise ProviderError(
            f"there is no provider {settings.type!r}",
            hint=(f"Did you mean {near!r}? " if near else "") + f"There are: {names}.",
        )
    for field in fields(settings):
        if getattr(settings, field.name) is None or field.name in ("type", "protocol"):
            continue
        if field.name not in entry.takes:
            raise ProviderError(
                f"the provider {settings.type!r} takes no {field.name!r}",
                hint="Leave it out of the job file, or name another provider.",
            )
    return entry
