"""Crusoe's fine-tuning: names of models, curves, weights, and deployments by its cloud API.

Jobs name a base model by an opaque id. A fine-tuned model is either loaded as an adapter beside its
base model, or deployed on GPUs that are rented by the hour.
"""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from ftops.errors import AuthFailed, NotFound, PermissionRefused, ProviderError, Rejected
from ftops.http.response import JsonObject
from ftops.providers.openai_options import CrusoeOptions
from ftops.providers.openai_response import read_decimal
from ftops.providers.openai_server import Deployments, ModelNames, OpenAIServer, render_metrics
from ftops.records import Deployment, DeploymentRequest, Job, Json
from ftops.text import find_nearest

# Both are Crusoe's; one of them may refuse the key.
CLOUD_URLS = ("https://api.crusoecloud.com/v1", "https://api.cloud.crusoe.ai/v1")
PROJECT_VARIABLE = "CRUSOE_PROJECT_ID"
_ADAPTER_STATUSES = {"expired": "deleted"}
_READY_STATUSES = ("ready", "running", "active")
_FAILED_STATUSES = ("failed", "error")


class CrusoeModelNames(ModelNames):
    """Readable names of base models, and the ids by which jobs name them."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server
        self._catalog: dict[str, JsonObject] = {}  # by id
        self._is_readable = True  # until the catalogue could not be read
        self._lock = threading.Lock()

    def get_trainable_id(self, model: str) -> str:
        catalog = self._load()
        entry = catalog.get(self._find_id(catalog, model) or "")
        tunable = sorted(map(_get_name, filter(_is_tunable, catalog.values())))
        if entry is not None and (_is_tunable(entry) or not _is_base(entry)):
            return entry.get_text("id")
        near = find_nearest(model, tunable)
        error = NotFound if entry is None else Rejected
        reason = "has no model" if entry is None else "does not fine-tune"
        raise error(
            f"Crusoe {reason} {model!r}; no job was created",
            hint=(f"Did you mean {near!r}? " if near else "")
            + f"It fine-tunes: {', '.join(tunable) or 'nothing now'}.",
        )

    def get_id(self, model: str) -> str:
        return self._find_id(self._load(), model) or model

    def get_name(self, model_id: str) -> str:
        try:
            catalog = self._load() if self._is_readable else {}
        except ProviderError:  # the name is only shown
            self._is_readable, catalog = False, {}
        entry = catalog.get(model_id)
        return _get_name(entry) if entry and _is_base(entry) else model_id

    def _load(self) -> dict[str, JsonObject]:
        with self._lock:
            if not self._catalog:
                listed = self._server.fetch("list the models", "GET", "/models")
                self._catalog = {
                    entry.get_text("id"): entry for entry in listed.get_objects("data")
                }
            return self._catalog

    def _find_id(self, catalog: Mapping[str, JsonObject], model: str) -> str | None:
        if model in catalog:
            return model
        named = (model_id for model_id, entry in catalog.items() if _get_name(entry) == model)
        return next(named, None)


def _get_name(entry: JsonObject) -> str:
    return entry.find_text("model_name") or entry.get_text("id")


def _is_base(entry: JsonObject) -> bool:
    return entry.find_text("model_type") in (None, "base_model")


def _is_tunable(entry: JsonObject) -> bool:
    return _is_base(entry) and entry.values.get("fine_tuning_available") is True


def read_metrics_route(server: OpenAIServer, job: Job) -> bytes | None:
    """The curves of the job, which the server keeps as one series for each metric."""
    fields = server.fetch(
        f"read the metrics of {job.id}", "GET", f"/fine_tuning/jobs/{job.id}/metrics"
    )
    series = {
        item.find_text("metric_name"): [point.values.get("value") for point in _get_points(item)]
        for item in fields.get_objects("metrics")
    }
    losses, steps = series.get("ev_loss", []), series.get("ev_current_step", [])
    if len(steps) != len(losses):
        steps = list(range(1, len(losses) + 1))
    rows: list[dict[str, Json]] = [
        {"step": step, "train_loss": loss} for step, loss in zip(steps, losses, strict=True)
    ]
    evaluations = series.get("ev_eval_loss", [])
    for number, loss in enumerate(evaluations, start=1):
        if rows:  # evaluations have no steps of their own; they are evenly spaced
            rows[max(0, round(number * len(rows) / len(evaluations)) - 1)]["valid_loss"] = loss
    return render_metrics(rows)


def _get_points(item: JsonObject) -> list[JsonObject]:
    return item.get_objects("data") if item.values.get("data") else []


def download_adapter(server: OpenAIServer, job: Job, folder: Path) -> list[Path]:
    """Write the archive of the adapter, as the server sends it."""
    model = job.fine_tuned_model
    if not model:
        raise NotFound(f"{job.id} has no model yet")
    action = f"download the weights of {model}"
    return [server.download(action, f"/models/{model}/download", folder, f"{model}.zip")]


class CrusoeDeployments(Deployments):
    """Deployments of the cloud API; an id is the path of the deployment there."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server
        self._url = ""

    def check_deployment(self, sections: Mapping[str, Mapping[str, Json]]) -> None:
        self._get_project_path(_read_options(sections))

    def create_deployment(self, request: DeploymentRequest) -> Deployment:
        options, model = _read_options(request.sections), _get_model(request.job)
        action = f"deploy {model}"
        if options.deployment == "adapter":
            path = f"{self._get_project_path(options)}/loras"
            fields = self._server.send_once(action, self._get_url(path), {"model_id": model})
            return _read_adapter(fields, path, request.name)
        flavor = self._get_flavor(request, options)
        path = f"{self._get_project_path(options)}/selfserve/deployments"
        body: dict[str, Json] = {
            "deployment_name": request.name,
            "fine_tuned_model": model,
            "flavor_id": flavor.get_text("id"),
            "replicas": options.replicas,
        }
        fields = self._server.send_once(action, self._get_url(path), body)
        return Deployment(
            id=f"{path}/{fields.get_text('id')}",
            name=request.name,
            model=request.name,
            status=fields.find_text("status") or "pending",
            created_at=self._server.api.clock.now(),
            hourly_usd=_get_hourly_cost(flavor, options),
        )

    def find_deployment(self, request: DeploymentRequest) -> Deployment | None:
        options, model = _read_options(request.sections), _get_model(request.job)
        is_adapter = options.deployment == "adapter"
        listed = (
            self._list_adapters(options, request.name)
            if is_adapter
            else self._list_dedicated(options)
        )
        wanted = model if is_adapter else request.name
        return next((item for item in listed if item.model == wanted and not item.ended), None)

    def get_deployment(self, deployment_id: str) -> Deployment:
        path, _, number = deployment_id.rpartition("/")
        fields = self._server.fetch(
            f"look up the deployment {number}", "GET", self._get_url(deployment_id)
        )
        is_adapter = path.endswith("/loras")
        deployment = _read_adapter(fields, path) if is_adapter else _read_dedicated(fields, path)
        if deployment.status == "deleted":
            raise NotFound(f"the deployment {number} is deleted")
        return deployment

    def list_deployments(self) -> Iterator[Deployment]:
        options = CrusoeOptions()
        yield from self._list_adapters(options)
        for deployment in self._list_dedicated(options):
            yield self.get_deployment(deployment.id)  # the list has no prices

    def delete_deployment(self, deployment_id: str) -> None:
        number = deployment_id.rpartition("/")[2]
        self._server.delete(f"delete the deployment {number}", self._get_url(deployment_id))

    def estimate_hourly_cost(self, request: DeploymentRequest) -> float | None:
        options = _read_options(request.sections)
        if options.deployment == "adapter":
            return 0.0
        return _get_hourly_cost(self._get_flavor(request, options), options)

    def _list_adapters(self, options: CrusoeOptions, name: str = "") -> list[Deployment]:
        path = f"{self._get_project_path(options)}/loras"
        listed = self._server.fetch_list("list the adapters", self._get_url(path))
        return [_read_adapter(fields, path, name) for fields in listed]

    def _list_dedicated(self, options: CrusoeOptions) -> list[Deployment]:
        path = f"{self._get_project_path(options)}/selfserve/deployments"
        listed = self._server.fetch_list("list the deployments", self._get_url(path))
        return [_read_dedicated(fields, path) for fields in listed]

    def _get_flavor(self, request: DeploymentRequest, options: CrusoeOptions) -> JsonObject:
        """The hardware that the job file names, or the cheapest for its base model."""
        url = self._get_url(f"{self._get_project_path(options)}/selfserve/flavors")
        flavors = self._server.fetch_list("list the hardware", url)
        if options.flavor is not None:
            fitting = [item for item in flavors if item.find_text("id") == options.flavor]
        else:
            fitting = [
                item
                for item in flavors
                if item.values.get("lora_suitable") is True
                and item.find_text("model_name") in (None, request.job.model)
            ]
        if not fitting:
            ids = ", ".join(item.get_text("id") for item in flavors)
            raise NotFound(
                f"Crusoe has no hardware {options.flavor or f'for {request.job.model}'};"
                " nothing was deployed",
                hint=f"Name one as `crusoe: {{flavor: …}}`: {ids or 'there is none now'}.",
            )
        return min(fitting, key=lambda item: _get_price(item) or float("inf"))

    def _get_project_path(self, options: CrusoeOptions) -> str:
        context = self._server.context
        environ = context.environ if context else {}
        project = options.project or self._server.settings.project or environ.get(PROJECT_VARIABLE)
        if not project:
            raise ProviderError(
                "Crusoe deploys models in a project, and none is named; nothing was sent",
                hint=f"Write `crusoe: {{project: ID}}` in the job file, or export"
                f" {PROJECT_VARIABLE}=ID.",
            )
        return f"projects/{project}/foundry"

    def _get_url(self, path: str) -> str:
        """The address of a path of the cloud API, at the host that accepts the key.

        A server at another address gets the key at that address alone.
        """
        if not self._server.is_own:
            return f"{self._server.base_url}/{path}"
        if not self._url:
            self._url = self._get_cloud_url("/".join(path.split("/")[:3]))
        return f"{self._url}/{path}"

    def _get_cloud_url(self, project_path: str) -> str:
        for url in CLOUD_URLS[:-1]:
            try:
                self._server.fetch_list(
                    "list the hardware", f"{url}/{project_path}/selfserve/flavors"
                )
            except (AuthFailed, PermissionRefused):
                continue
            return url
        return CLOUD_URLS[-1]


def _read_options(sections: Mapping[str, Mapping[str, Json]]) -> CrusoeOptions:
    return CrusoeOptions.model_validate(sections.get("crusoe", {}))


def _get_model(job: Job) -> str:
    model = job.deployable_model or job.fine_tuned_model
    if not model:
        raise NotFound(f"{job.id} has no model yet; nothing was deployed")
    return model


def _get_price(flavor: JsonObject) -> float | None:
    return read_decimal(flavor.values.get("price_per_hour"))


def _get_hourly_cost(flavor: JsonObject, options: CrusoeOptions) -> float | None:
    price = _get_price(flavor)
    return None if price is None else price * options.replicas


def _read_adapter(fields: JsonObject, path: str, name: str = "") -> Deployment:
    """A loaded adapter: it has no name of its own, and is called by the name of its model."""
    status, model = fields.find_text("status") or "pending", fields.find_text("model_id") or ""
    return Deployment(
        id=f"{path}/{fields.get_text('id')}",
        name=name or fields.find_text("endpoint_alias") or model,
        model=model,
        status=_ADAPTER_STATUSES.get(status, status),
        created_at=fields.find_time("created_at"),
        hourly_usd=0.0,
        error=fields.find_text("last_error") or "",
    )


def _read_dedicated(fields: JsonObject, path: str) -> Deployment:
    status, name = fields.find_text("status") or "pending", fields.find_text("deployment_name")
    if status in _READY_STATUSES:
        status = "ready" if fields.find_int("available_replicas") != 0 else "starting"
    return Deployment(
        id=f"{path}/{fields.get_text('id')}",
        name=name or "",
        model=name or "",
        status="failed" if status in _FAILED_STATUSES else status,
        created_at=fields.find_time("created_at"),
        hourly_usd=read_decimal(fields.values.get("hourly_cost")),
    )
