"""Which provider is asked: by its name, or spelled out in a mapping."""

from typing import Annotated, ClassVar, TypeAlias

from pydantic import Discriminator, Field, Tag

from ftops.records import JobProtocol, ProviderSettings
from ftops.spec.section import Expected, Section

_PROVIDER = r"^[a-z][a-z0-9_-]*$"
_URL = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"


class ProviderSpec(Section):
    """Which provider trains, spelled out: for another address, key or project than usual."""

    LABEL: ClassVar[str] = "provider"

    type: Annotated[str, Expected("the name of a provider, such as openai or local")] = Field(
        pattern=_PROVIDER, max_length=64, description="Name of the provider, such as `openai`."
    )
    base_url: Annotated[str | None, Expected("an address such as https://host/v1")] = Field(
        None,
        pattern=_URL,
        max_length=2048,
        description="Address of a server that speaks the provider's protocol.",
    )
    api_key_env: Annotated[
        str | None,
        Expected("the name of an environment variable, such as OPENAI_API_KEY", private=True),
    ] = Field(
        None,
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        max_length=128,
        description="Environment variable that holds the key. The key itself never stands here.",
    )
    organization: Annotated[str | None, Expected("text")] = Field(
        None, min_length=1, max_length=128, description="Organization that pays."
    )
    project: Annotated[str | None, Expected("text")] = Field(
        None, min_length=1, max_length=128, description="Project that the job belongs to."
    )
    protocol: Annotated[
        JobProtocol, Expected("current or legacy", choices=("current", "legacy"))
    ] = Field(
        "current",
        description="How jobs are asked for: `legacy` is `/v1/fine-tunes`, which OpenAI had"
        " until 2024. It takes prompts and completions, neither metadata nor a seed; `auto`"
        " leaves a hyperparameter out, so that the server takes its own default.",
    )


def _provider_shape(value: object) -> str:
    return "name" if not isinstance(value, dict | ProviderSpec) else "mapping"


Provider: TypeAlias = Annotated[
    Annotated[str, Field(pattern=_PROVIDER, max_length=64), Tag("name")]
    | Annotated[ProviderSpec, Tag("mapping")],
    Discriminator(_provider_shape),
]


def read_provider(value: object) -> ProviderSettings:
    """The provider that a plain value of a valid job file means."""
    spec = value if isinstance(value, str) else ProviderSpec.model_validate(value)
    return to_provider_settings(spec)


def to_provider_settings(provider: str | ProviderSpec) -> ProviderSettings:
    """The provider as the other rooms know it, whichever way it was written."""
    if isinstance(provider, str):
        return ProviderSettings(type=provider)
    return ProviderSettings(
        type=provider.type,
        base_url=provider.base_url.rstrip("/") if provider.base_url else None,
        api_key_env=provider.api_key_env,
        organization=provider.organization,
        project=provider.project,
        protocol=provider.protocol,
    )
