"""The address of Vertex, whose host has the region, and the settings of its account.

The settings have the environment variables of Google's own clients. They become parts of addresses,
so that no other text is accepted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ftops.errors import ProviderError
from ftops.http.address import read_origin
from ftops.providers.address import Destination, ServerAddress, read_base_url
from ftops.records import ProviderSettings

TOKEN_VARIABLE = "GOOGLE_OAUTH_ACCESS_TOKEN"
GCLOUD_COMMAND = "gcloud auth print-access-token"
_REGION = "us-central1"
_STORAGE = "https://storage.googleapis.com"
_HOST = "aiplatform.googleapis.com"
_GLOBAL = "global"
Setting = Literal["project", "location", "bucket"]
# The variable of each setting, and its valid values.
_SETTINGS: Mapping[str, tuple[str, str]] = {
    "project": ("GOOGLE_CLOUD_PROJECT", r"[a-z0-9]([a-z0-9:.-]{0,126}[a-z0-9])?"),
    "location": ("GOOGLE_CLOUD_LOCATION", rf"[a-z]+-[a-z]+[0-9]+|{_GLOBAL}"),
    "bucket": ("GOOGLE_CLOUD_STORAGE_BUCKET", r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"),
}


@dataclass(frozen=True)  # without slots, which break super()
class VertexAddress(ServerAddress):
    """The address of Vertex in the region of the settings.

    If the variable of the token is not set, gcloud prints one, for Google's own addresses alone.
    """

    def get_destination(
        self, settings: ProviderSettings, environ: Mapping[str, str]
    ) -> Destination:
        """As for other addresses; also ProviderError without a project."""
        get_setting("project", settings, environ)
        destination = super().get_destination(settings, environ)
        if not self.is_own(destination.base_url):  # that server has the routes of both services
            return destination
        destination = replace(destination, storage_url=_STORAGE)
        is_set = bool(environ.get(self.key_variable, "").strip())
        if destination.key_variable != self.key_variable or is_set:
            return destination
        return replace(destination, key_variable=None, key_command=GCLOUD_COMMAND)

    def get_base_url(self, settings: ProviderSettings, environ: Mapping[str, str]) -> str:
        """The address in the settings, else that of the region."""
        if settings.base_url:
            return read_base_url(settings.base_url)
        location = get_setting("location", settings, environ)
        return self.base_url if location == _GLOBAL else _get_regional(self.base_url, location)

    def is_own_host(self, host: str) -> bool:
        """Whether the host is Vertex in any region."""
        own = read_origin(self.base_url)[1]
        region, dash, rest = host.rpartition(f"-{own}")
        return host == own or (
            bool(dash) and not rest and re.fullmatch(_SETTINGS["location"][1], region) is not None
        )


VERTEX = VertexAddress(
    f"https://{_HOST}/v1beta1",
    TOKEN_VARIABLE,
    account_variables={
        variable: (f"the {name}", name) for name, (variable, _) in _SETTINGS.items()
    },
)


def get_setting(name: Setting, settings: ProviderSettings, environ: Mapping[str, str]) -> str:
    """A setting of the job file, else of the environment; only the location has a default.

    ProviderError, with what to write, if it is missing or invalid.
    """
    variable, pattern = _SETTINGS[name]
    value = getattr(settings, name) or environ.get(variable, "").strip()
    if name == "location":
        value = value or _REGION
    if not value:
        raise ProviderError(
            f"the provider {settings.type!r} needs a {name}, and none is named; nothing was sent",
            hint=f"Add `{name}` to the provider in the job file, as in"
            f" `provider: {{type: {settings.type}, {name}: …}}`, or export {variable}=….",
        )
    value = value.removeprefix("gs://").rstrip("/") if name == "bucket" else value
    if not re.fullmatch(pattern, value):
        raise ProviderError(
            f"{value!r} is no {name} of Google Cloud; nothing was sent",
            hint=f"Correct `{name}` of the provider in the job file, or {variable}.",
        )
    return value


def _get_regional(base_url: str, location: str) -> str:
    return base_url.replace(_HOST, f"{location}-{_HOST}")
