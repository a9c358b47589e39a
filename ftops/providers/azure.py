"""Deployments of Azure: by its management API, with a token of Microsoft Entra.

The token is that of the environment variable AZURE_TOKEN, or of the Azure command line; it is kept
in memory and sent to management.azure.com alone.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2

from ftops.clock import Clock
from ftops.errors import AuthFailed, NotFound, ProviderError, Rejected
from ftops.http.address import is_loopback
from ftops.http.api_client import ApiClient
from ftops.http.client import LoggingClient
from ftops.http.response import JsonObject
from ftops.http.retry import RetryPolicy
from ftops.providers.openai_options import AzureOptions
from ftops.providers.openai_server import Deployments, OpenAIServer
from ftops.providers.provider import ProviderContext
from ftops.records import Deployment, DeploymentRequest, Json

MANAGEMENT_URL = "https://management.azure.com"
TOKEN_VARIABLE = "AZURE_TOKEN"
TOKEN_COMMAND = ("az", "account", "get-access-token", "--resource", MANAGEMENT_URL)
_API_VERSION = "2024-10-21"
_SUBSCRIPTION, _RESOURCE_GROUP = "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"
_COMMAND_TIMEOUT_S = 60.0
_TOKEN_LIFE_S = 1800.0  # of a token from the command, which lives for at least an hour
_HOURLY_USD = {"DeveloperTier": 0.0}  # of other kinds of deployment:
_USUAL_HOURLY_USD = 1.70
_DEVELOPER_LIFE = timedelta(hours=24)
_STATUSES = {"succeeded": "ready", "canceled": "failed"}

RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


class TokenEndpoint:
    """Azure's management API; its token is read when it is needed, and again when it is refused."""

    def __init__(
        self, context: ProviderContext, *, run_command: RunCommand = subprocess.run
    ) -> None:
        self.secret = ""
        self._context = context
        self._run_command = run_command
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None
        self._until_s = 0.0

    def get_client(self) -> httpx2.Client:
        with self._lock:
            if self._client is None or self._context.clock.monotonic_s() >= self._until_s:
                self._connect()
            assert self._client is not None
            return self._client

    def is_renewed_after(self, client: httpx2.Client, failure: ProviderError) -> bool:
        """Read the token again when it was refused; one from the environment stays the same."""
        if not isinstance(failure, AuthFailed) or self._context.environ.get(TOKEN_VARIABLE):
            return False
        with self._lock:
            if self._client is client:
                self._until_s = 0.0
        return True

    def close(self) -> None:
        if self._client is not None and self._context.http_client is None:
            self._client.close()

    def _connect(self) -> None:
        self.secret = self._read_token()
        self._until_s = self._context.clock.monotonic_s() + _TOKEN_LIFE_S
        self.close()
        if self._context.http_client is not None:
            self._client = cast(httpx2.Client, self._context.http_client)
        elif self._context.request_log is not None:
            self._client = LoggingClient(
                self._context.request_log, secret=self.secret, trust_env=True
            )
        else:
            self._client = httpx2.Client(follow_redirects=False)

    def _read_token(self) -> str:
        if token := self._context.environ.get(TOKEN_VARIABLE, "").strip():
            return token
        try:
            result = self._run_command(
                TOKEN_COMMAND,
                capture_output=True,
                text=True,
                timeout=_COMMAND_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            token = json.loads(result.stdout)["accessToken"] if result.returncode == 0 else ""
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
            token = ""
        if not isinstance(token, str) or not token:
            raise AuthFailed(
                "no token for Azure's management API: `az account get-access-token` gave none",
                hint=f"Sign in with `az login`, or export {TOKEN_VARIABLE}=… with a token for"
                f" {MANAGEMENT_URL}.",
            )
        return token


class AzureDeployments(Deployments):
    """Deployments of a resource; an id is the path of the deployment in the management API."""

    def __init__(self, server: OpenAIServer, *, run_command: RunCommand = subprocess.run) -> None:
        self._server = server
        self._context = cast(ProviderContext, server.context)
        # The token never goes to an address that a job file names, except on this machine.
        is_local = is_loopback(server.base_url)
        parts = urlsplit(server.base_url)
        self._root = f"{parts.scheme}://{parts.netloc}" if is_local else MANAGEMENT_URL
        self._endpoint = TokenEndpoint(self._context, run_command=run_command)
        self._api: ApiClient[httpx2.Client] = ApiClient(
            self._endpoint, clock=self._clock, retries=RetryPolicy()
        )

    @property
    def _clock(self) -> Clock:
        return self._server.api.clock

    def check_deployment(self, sections: Mapping[str, Mapping[str, Json]]) -> None:
        self._get_account_path(_read_options(sections))

    def create_deployment(self, request: DeploymentRequest) -> Deployment:
        """Put the deployment under its name; Rejected if another model has that name."""
        options, model = _read_options(request.sections), request.job.fine_tuned_model
        if not model:
            raise NotFound(f"{request.job.id} has no model yet; nothing was deployed")
        if earlier := self.find_deployment(request):
            return earlier
        path = f"{self._get_account_path(options)}/deployments/{request.name}"
        body: dict[str, Json] = {
            "sku": {"name": options.sku, "capacity": options.capacity},
            "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
        }
        action = f"deploy {model}"
        response = self._api.send_once(
            action, lambda client: self._request(client, "PUT", path, json=body)
        )
        return self._read(self._api.parse(response, action), path)

    def find_deployment(self, request: DeploymentRequest) -> Deployment | None:
        options = _read_options(request.sections)
        path = f"{self._get_account_path(options)}/deployments/{request.name}"
        try:
            fields = self._fetch(f"look up the deployment {request.name}", path)
        except NotFound:
            return None
        deployed = _get_model_name(fields)
        if deployed != request.job.fine_tuned_model:
            raise Rejected(
                f"the deployment {request.name} has another model: {deployed}; it is unchanged",
                hint="Name another deployment in `deploy`.",
            )
        return self._read(fields, path)

    def get_deployment(self, deployment_id: str) -> Deployment:
        name = deployment_id.rpartition("/")[2]
        return self._read(self._fetch(f"look up the deployment {name}", deployment_id))

    def list_deployments(self) -> Iterator[Deployment]:
        """The deployments of fine-tuned models; those of base models cost nothing by the hour."""
        path: str | None = f"{self._get_account_path(AzureOptions())}/deployments"
        while path:
            page = self._fetch("list the deployments", path)
            for fields in page.get_objects("value"):
                if ".ft-" in _get_model_name(fields):
                    yield self._read(fields)
            path = (page.find_text("nextLink") or "").removeprefix(self._root)

    def delete_deployment(self, deployment_id: str) -> None:
        name = deployment_id.rpartition("/")[2]
        self._api.delete(
            f"delete the deployment {name}",
            lambda client: self._request(client, "DELETE", deployment_id),
        )

    def estimate_hourly_cost(self, request: DeploymentRequest) -> float | None:
        return _get_hourly_usd(_read_options(request.sections).sku)

    def _fetch(self, action: str, path: str) -> JsonObject:
        return self._api.fetch(action, lambda client: self._request(client, "GET", path))

    def _request(
        self, client: httpx2.Client, method: str, path: str, **content: Any
    ) -> httpx2.Response:
        url = f"{self._root}{path}"
        if "api-version=" not in path:
            url += f"?api-version={_API_VERSION}"
        headers = {"Authorization": f"Bearer {self._endpoint.secret}"}
        return client.request(method, url, headers=headers, **content)

    def _read(self, fields: JsonObject, path: str = "") -> Deployment:
        state = (fields.get_object("properties").find_text("provisioningState") or "").lower()
        sku = fields.get_object("sku").find_text("name") or ""
        created_at = fields.get_object("systemData").find_time("createdAt")
        name = fields.get_text("name")
        is_developer = sku == "DeveloperTier" and created_at is not None
        return Deployment(
            id=fields.find_text("id") or path,
            name=name,
            model=name,  # requests name the deployment, not its model
            status=_STATUSES.get(state, state or "creating"),
            created_at=created_at,
            hourly_usd=_get_hourly_usd(sku),
            expires_at=created_at + _DEVELOPER_LIFE if created_at and is_developer else None,
        )

    def _get_account_path(self, options: AzureOptions) -> str:
        environ: Mapping[str, str] = self._context.environ
        host = urlsplit(self._server.base_url).hostname or ""
        parts = {
            "subscription": options.subscription or environ.get(_SUBSCRIPTION),
            "resource_group": options.resource_group or environ.get(_RESOURCE_GROUP),
            "account": options.account or host.partition(".")[0],
        }
        missing = [name for name, value in parts.items() if not value]
        if missing:
            raise ProviderError(
                f"Azure deploys a model in a resource: {' and '.join(missing)} of it"
                f" {'is' if len(missing) == 1 else 'are'} missing; nothing was sent",
                hint="Write `azure: {subscription: …, resource_group: …}` in the job file, or"
                f" export {_SUBSCRIPTION} and {_RESOURCE_GROUP}.",
            )
        return (
            f"/subscriptions/{parts['subscription']}/resourceGroups/{parts['resource_group']}"
            f"/providers/Microsoft.CognitiveServices/accounts/{parts['account']}"
        )


def _read_options(sections: Mapping[str, Mapping[str, Json]]) -> AzureOptions:
    return AzureOptions.model_validate(sections.get("azure", {}))


def _get_model_name(fields: JsonObject) -> str:
    return fields.get_object("properties").get_object("model").find_text("name") or ""


def _get_hourly_usd(sku: str) -> float:
    return _HOURLY_USD.get(sku, _USUAL_HOURLY_USD)
