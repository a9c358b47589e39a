"""The provider of a job file: its name, or a mapping with its settings."""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Protocol, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag

from ftops.capabilities import Capabilities
from ftops.records import JobProtocol, ProviderSettings
from ftops.spec.section import Expected, Section

_PROVIDER = r"^[a-z][a-z0-9_-]*$"
_URL = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"


class ProviderSpec(Section):
    """A provider with another address, key or project than the default."""

    LABEL: ClassVar[str] = "provider"

    type: Annotated[str, Expected("the name of a provider, such as openai or local")] = Field(
        pattern=_PROVIDER, max_length=64, description="Name of the provider (docs/providers.md)."
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
        description="Environment variable that holds the key. The key itself is not allowed in a"
        " job file.",
    )
    organization: str | None = Field(
        None, min_length=1, max_length=128, description="Organization that is billed."
    )
    project: str | None = Field(
        None, min_length=1, max_length=128, description="Project of the job."
    )
    location: str | None = Field(
        None, min_length=1, max_length=64, description="Region in which the job runs."
    )
    bucket: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Bucket for the files, where the provider stores none itself.",
    )
    protocol: JobProtocol = Field(
        "current",
        description="Protocol of the fine-tuning API: `legacy` is `/v1/fine-tunes`, which OpenAI"
        " offered until 2024. It takes prompts and completions, but no metadata and no seed, which"
        " stay in the ledger; `auto` omits a hyperparameter, so that the server uses its default.",
    )


def _provider_shape(value: object) -> str:
    return "name" if not isinstance(value, dict | ProviderSpec) else "mapping"


Provider: TypeAlias = Annotated[
    Annotated[str, Field(pattern=_PROVIDER, max_length=64), Tag("name")]
    | Annotated[ProviderSpec, Tag("mapping")],
    Discriminator(_provider_shape),
]


class KnownProvider(Protocol):
    """What the job file needs to know of a provider.

    `sections` are the sections of the job file that only this provider reads, such as
    `together: {…}`: each is a strict Pydantic model, imported when a job file is read.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def sections(self) -> Mapping[str, Callable[[], type[BaseModel]]]: ...


def read_provider(value: object) -> ProviderSettings:
    """The settings of a provider, from a value in a valid job file."""
    spec = value if isinstance(value, str) else ProviderSpec.model_validate(value)
    return to_provider_settings(spec)


def to_provider_settings(provider: str | ProviderSpec) -> ProviderSettings:
    """The settings of a provider, from its name or its mapping."""
    if isinstance(provider, str):
        return ProviderSettings(type=provider)
    return ProviderSettings(
        type=provider.type,
        base_url=provider.base_url.rstrip("/") if provider.base_url else None,
        api_key_env=provider.api_key_env,
        organization=provider.organization,
        project=provider.project,
        location=provider.location,
        bucket=provider.bucket,
        protocol=provider.protocol,
    )
