"""Deploys models at Together: an endpoint, which costs nothing, with one deployment of the model.

A deployment costs by the hour for each replica, and stops by itself after a time without requests.
It is called by its own name, past the routing of its endpoint.
https://docs.together.ai/docs/dedicated-endpoints
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

from ftops.errors import NotFound, ProviderError, Rejected, Unavailable
from ftops.http.response import JsonObject
from ftops.providers.together_client import TogetherClient, get_last_part, quote_id
from ftops.providers.together_request import read_options
from ftops.records import READY, Deployment, DeploymentRequest, Json

_STATE = "DEPLOYMENT_STATE_"
# Stopped: without replicas, so without costs and answers. Other states are not ready yet.
_STATUSES = {"READY": READY, "FAILED": "failed", "STOPPED": "deleted"}
_SERVING = ("SCALING", "DEGRADED")  # with at least one replica
_IDLE_MINUTES = (30, 1440)  # the bounds of `inactiveTimeout`


@dataclass(frozen=True, slots=True)
class Config:
    """How a model is served: the path of the configuration, and what an hour of it costs."""

    path: str
    id: str
    hardware: str
    hourly_usd: float | None


class TogetherDeployments:
    """The endpoints and deployments of one project."""

    def __init__(self, api: TogetherClient) -> None:
        self._api = api
        self._prices: dict[str, float] | None = None  # of an hour in US dollars, by hardware

    def create(self, request: DeploymentRequest) -> Deployment:
        """Deploy the model of the job; the deployment itself is one request."""
        model = self.get_registered_model(
            request.job.deployable_model or request.job.fine_tuned_model or request.job.id
        )
        config = self._choose_config(request, _get_reference(model, self._project))
        low, high = _IDLE_MINUTES
        body: dict[str, Json] = {
            "name": request.name,
            "model": f"projects/{self._project}/models/{model.get_text('id')}",
            "config": config.path,
            "autoscaling": {"minReplicas": 1, "maxReplicas": 1},
            "inactiveTimeout": min(max(math.ceil(request.max_s / 60), low), high),
        }
        endpoint_id = self._get_or_create_endpoint(request.name)
        path = f"{self._endpoints}/{quote_id(endpoint_id)}/deployments"
        for old in self._list_in(endpoint_id):
            if old.name == request.name and old.ended:  # it keeps the name
                self._delete(old.id)
        return self._read(self._api.post_once(f"deploy {request.name}", path, body))

    def find(self, request: DeploymentRequest) -> Deployment | None:
        """The deployment of that name that serves, or is on its way to."""
        endpoint_id = self._find_endpoint(request.name)
        found = None if endpoint_id is None else list(self._list_in(endpoint_id))
        named = [item for item in found or () if item.name == request.name and not item.ended]
        return named[-1] if named else None

    def get(self, deployment_id: str) -> Deployment:
        """The deployment; NotFound once it is deleted."""
        return self._read(self._api.get("look up the deployment", self._get_path(deployment_id)))

    def list(self) -> Iterator[Deployment]:
        """Every deployment of the project that has not ended."""
        for endpoint in self._api.list_pages("list the endpoints", self._endpoints):
            deployments = self._list_in(endpoint.get_text("id"))
            yield from (deployment for deployment in deployments if not deployment.ended)

    def delete(self, deployment_id: str) -> None:
        """Delete the deployment, then its endpoint, if that has no other."""
        try:
            self._delete(deployment_id)
        finally:
            # The empty endpoint costs nothing, and the next deployment of this name uses it.
            with contextlib.suppress(NotFound, Rejected, Unavailable):
                endpoint = self._get_path(deployment_id).rpartition("/deployments/")[0]
                self._api.delete("delete the endpoint", self._api.prepare("DELETE", endpoint))

    def estimate_hourly_cost(self, request: DeploymentRequest) -> float | None:
        """The price of an hour; before the training, that of a deployment of the base model."""
        name = request.job.deployable_model or request.job.fine_tuned_model
        if name is None:
            reference = self._find_base_reference(request.job.model)
        else:
            reference = _get_reference(self.get_registered_model(name), self._project)
        return self._choose_config(request, reference).hourly_usd if reference else None

    def list_registered_models(self) -> Iterator[JsonObject]:
        """The trained models of the project, under names such as `project/model`."""
        return self._api.list_pages("list the models", f"/v2/projects/{self._project}/models")

    def list_base_models(self) -> Iterator[JsonObject]:
        """The models of the service that can be trained."""
        path = "/v2/supported-models"
        return self._api.list_pages("list the base models", path, product="PRODUCT_FINE_TUNING")

    def get_registered_model(self, name: str) -> JsonObject:
        """The trained model of that name; a name without its project is enough."""
        last = get_last_part(name)
        for model in self.list_registered_models():
            if get_last_part(model.get_text("name")) == last:
                return model
        raise NotFound(f"the project {self._project} has no model {name!r}")

    @property
    def _project(self) -> str:
        return quote_id(self._api.project)

    @property
    def _endpoints(self) -> str:
        return f"/v2/projects/{self._project}/endpoints"

    def _delete(self, deployment_id: str) -> None:
        request = self._api.prepare("DELETE", self._get_path(deployment_id))
        self._api.delete("delete the deployment", request)

    def _get_path(self, deployment_id: str) -> str:
        endpoint, slash, deployment = deployment_id.partition("/")
        if not slash:
            raise NotFound(f"there is no deployment {deployment_id!r}")
        return f"{self._endpoints}/{quote_id(endpoint)}/deployments/{quote_id(deployment)}"

    def _list_in(self, endpoint_id: str) -> Iterator[Deployment]:
        path = f"{self._endpoints}/{quote_id(endpoint_id)}/deployments"
        return map(self._read, self._api.list_pages("list the deployments", path))

    def _find_endpoint(self, name: str) -> str | None:
        for endpoint in self._api.list_pages("list the endpoints", self._endpoints):
            if get_last_part(endpoint.get_text("name")) == name:
                return endpoint.get_text("id")
        return None

    def _get_or_create_endpoint(self, name: str) -> str:
        """The id of the endpoint of that name, which an interrupted command may have created."""
        if found := self._find_endpoint(name):
            return found
        action = f"create the endpoint {name}"
        try:
            return self._api.post_once(action, self._endpoints, {"name": name}).get_text("id")
        except ProviderError:
            if found := self._find_endpoint(name):
                return found
            raise

    def _find_base_reference(self, base: str) -> str | None:
        """The path of a base model."""
        for model in self.list_base_models():
            if model.find_text("name") == base:
                return model.find_text("baseModel")
        return None

    def _choose_config(self, request: DeploymentRequest, reference: str) -> Config:
        """The configuration that the job file names, else the cheapest one for the model."""
        options = read_options(request.sections)
        configs = list(self._list_configs(reference))
        fitting = [
            config
            for config in configs
            if options.config in (None, config.id)
            and (options.hardware is None or _is_same_hardware(options.hardware, config.hardware))
        ]
        if not fitting:
            offered = ", ".join(f"{item.id} ({item.hardware})" for item in configs) or "none"
            raise Rejected(
                f"no configuration fits the deployment {request.name}: there are {offered};"
                " nothing was deployed",
                hint="Write one of them in the job file: `together: {config: …}`, or the instance"
                " type as `hardware`."
                if configs
                else "It cannot be deployed here; `ftops models download` gets the weights.",
            )
        return min(fitting, key=lambda config: (_order_price(config.hourly_usd), config.id))

    def _list_configs(self, reference: str) -> Iterator[Config]:
        path = f"/v2/projects/{self._project}/configs"
        for fields in self._api.list_pages(
            "list the configurations", path, referenceModel=reference
        ):
            config_id, owner = fields.get_text("id"), fields.get_text("projectId")
            selectors = {
                item.find_text("key"): item.find_text("value")
                for item in fields.get_objects("selectors")
            }
            hardware = f"{selectors.get('accelerator_count')}x{selectors.get('accelerator_type')}"
            price = self._find_price(hardware)
            yield Config(f"projects/{owner}/configs/{config_id}", config_id, hardware, price)

    def _find_price(self, hardware: str) -> float | None:
        """The price of an hour of one replica; None if it is unknown."""
        if self._prices is None:
            self._prices = self._fetch_prices()
        return next(
            (usd for name, usd in self._prices.items() if _is_same_hardware(name, hardware)), None
        )

    def _fetch_prices(self) -> dict[str, float]:
        prices: dict[str, float] = {}
        with contextlib.suppress(ProviderError):  # a price is no reason not to deploy
            path = "/v2/public/inference-instance-types"
            for item in self._api.list_pages("list the instance types", path):
                cents = item.values.get("priceCentsPerHour")
                for name in (item.find_text("name"), item.find_text("id")):
                    if name and isinstance(cents, int | float):
                        prices[name] = cents / 100
        return prices

    def _read(self, fields: JsonObject) -> Deployment:
        status = fields.get_object("status")
        word = (status.find_text("state") or "").removeprefix(_STATE)
        is_serving = word in _SERVING and (status.find_int("readyReplicas") or 0) > 0
        name = fields.get_text("name")
        return Deployment(
            id=f"{fields.get_text('endpointId')}/{fields.get_text('id')}",
            name=get_last_part(name),
            model=name,
            status=READY if is_serving else _STATUSES.get(word, word.lower() or "unknown"),
            created_at=fields.find_time("createdAt"),
            hourly_usd=self._find_price(fields.find_text("hardware") or ""),
            error=(status.find_text("message") or "") if word == "FAILED" else "",
        )


def _get_reference(model: JsonObject, project: str) -> str:
    """The path of the model for which configurations are made: its base, or itself."""
    return model.find_text("baseModel") or f"projects/{project}/models/{model.get_text('id')}"


def _is_same_hardware(name: str, other: str) -> bool:
    return _normalize(name) == _normalize(other)


def _normalize(hardware: str) -> str:
    return hardware.lower().replace("nvidia-", "")


def _order_price(hourly_usd: float | None) -> float:
    return math.inf if hourly_usd is None else hourly_usd
