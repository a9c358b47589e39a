"""Sends requests to Google's APIs with an OAuth token, which is never stored.

The token is in an environment variable, or `gcloud auth print-access-token` prints it: before the
first request, after half an hour (a token lasts an hour), and when the service refuses it.
"""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx2

from ftops.clock import Clock
from ftops.errors import AuthFailed, InvalidResponse, ProviderError
from ftops.http.api_client import ApiClient
from ftops.http.request_log import RequestLog
from ftops.http.response import MAX_PAGES, JsonObject
from ftops.providers.address import Destination
from ftops.providers.endpoint import ClientOptions, check_key, make_http_client
from ftops.providers.vertex_address import GCLOUD_COMMAND, TOKEN_VARIABLE

_COMMAND_TIMEOUT_S = 60.0
_TOKEN_AGE_S = 1800.0
_EXPIRED = (
    "The token is invalid or has expired; it lasts an hour. Without the environment variable, ftops"
    f" gets tokens from `{GCLOUD_COMMAND}`; or export a new one."
)
_NO_ROLE = (
    "The account needs the roles Vertex AI User in the project and Storage Object Admin on the"
    " bucket, and the project needs the Vertex AI API (`gcloud services enable"
    " aiplatform.googleapis.com`)."
)
_HINTS = {
    "UNAUTHENTICATED": _EXPIRED,
    "401": _EXPIRED,
    "PERMISSION_DENIED": _NO_ROLE,
    "403": _NO_ROLE,
    "RESOURCE_EXHAUSTED": "A quota of the project is used up: run the same command again later, or"
    " request more under IAM & Admin, Quotas.",
}


@dataclass(frozen=True, slots=True)
class GoogleClient:
    """Connections, and the token that each request has."""

    http: httpx2.Client
    token: str = field(repr=False)
    created_s: float = 0.0

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        authorization = {"Authorization": f"Bearer {self.token}"}
        return self.http.request(
            method, url, headers={**authorization, **(headers or {})}, **options
        )


class GoogleApi(ApiClient[GoogleClient]):
    """An `ApiClient` with the hints for Google's error codes."""

    @staticmethod
    def get_hint(code: str | None, _host: str) -> str:
        return _HINTS.get(code or "", "")


def list_pages(
    api: GoogleApi, name: str, url: str, key: str, **params: str
) -> Iterator[JsonObject]:
    """The items `key` of all pages of a list; a page without items has no `key`."""
    token: str | None = ""
    for _ in range(MAX_PAGES):
        sent = {**params, **({"pageToken": token} if token else {})}
        page = api.fetch(f"list {name}", partial(_get, url, sent))
        yield from page.list_objects(key)
        token = page.find_text("nextPageToken")
        if token is None:
            return
    raise InvalidResponse(f"list {name}: the list does not end after {MAX_PAGES} pages")


def _get(url: str, params: Mapping[str, str], client: GoogleClient) -> httpx2.Response:
    return client.request("GET", url, params=params)


class GoogleEndpoint:
    """An address on the network with a token; `check_trust` runs before the token is read."""

    def __init__(
        self,
        destination: Destination,
        environ: Mapping[str, str],
        clock: Clock,
        *,
        check_trust: Callable[[], None],
        http_client: object | None = None,
        request_log: RequestLog | None = None,
    ) -> None:
        self._destination = destination
        self._environ = environ
        self._clock = clock
        self._check_trust = check_trust
        self._options = ClientOptions(
            destination.base_url, "", http_client=http_client, request_log=request_log
        )
        self._client: GoogleClient | None = None
        self._token = ""
        self._retired: list[GoogleClient] = []  # closed late: another thread may be using one
        self._lock = threading.Lock()

    @property
    def secret(self) -> str:
        return self._token

    def get_client(self) -> GoogleClient:
        with self._lock:
            if self._client is None or self._is_old(self._client):
                self._check_trust()
                token = self._read_token()
                if self._client is not None:
                    self._retired.append(self._client)
                self._client = GoogleClient(
                    make_http_client(replace(self._options, key=token)),
                    token,
                    self._clock.monotonic_s(),
                )
                self._token = token
            return self._client

    def is_renewed_after(self, client: GoogleClient, failure: ProviderError) -> bool:
        """Get another token when the service refuses the one that gcloud printed."""
        if self._destination.key_command is None or not isinstance(failure, AuthFailed):
            return False
        with self._lock:
            if self._client is client:
                self._retired.append(client)
                self._client = None
        return True

    def close(self) -> None:
        with self._lock:
            clients = [*self._retired, *([self._client] if self._client else [])]
            self._retired, self._client = [], None
        for client in clients:
            if client.http is not self._options.http_client:
                client.http.close()

    def _is_old(self, client: GoogleClient) -> bool:
        age_s = self._clock.monotonic_s() - client.created_s
        return self._destination.key_command is not None and age_s > _TOKEN_AGE_S

    def _read_token(self) -> str:
        command, variable = self._destination.key_command, self._destination.key_variable
        if command is not None:
            return print_token(command, self._destination.base_url, self._environ)
        if variable is None:  # a server on this machine
            return "none"
        token = self._environ.get(variable, "").strip()
        check_key(token, self._destination.base_url, variable)
        return token


def print_token(command: str, base_url: str, environ: Mapping[str, str]) -> str:
    """The output of a command that prints a token; AuthFailed with its error when it fails."""
    name, *arguments = command.split()
    program = shutil.which(name, path=environ.get("PATH", ""))
    if program is None:
        raise _no_token(base_url, command, f"there is no program {name}")
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            env=dict(environ),
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _no_token(base_url, command, str(error)) from error
    token = done.stdout.strip()
    if done.returncode != 0 or not token or not token.isascii() or len(token.split()) != 1:
        lines = done.stderr.strip().splitlines()
        raise _no_token(base_url, command, lines[0] if lines else f"exit code {done.returncode}")
    return token


def _no_token(base_url: str, command: str, reason: str) -> AuthFailed:
    return AuthFailed(
        f"no token for {base_url}: `{command}` fails: {reason}",
        hint="Install the Google Cloud CLI and run `gcloud auth login`, or export a token as"
        f" {TOKEN_VARIABLE}.",
    )
