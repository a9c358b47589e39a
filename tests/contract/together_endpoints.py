"""The part of the stand-in for Together that speaks version 2: models, endpoints, deployments."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

PROJECT = "proj_1"
SLUG = "acme-project"
_STATE = "DEPLOYMENT_STATE_"
_BODY = frozenset({"name", "model", "config", "autoscaling", "inactiveTimeout"})
_PAGE = 1  # entries of a page of a list


def refuse(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> httpx2.Response:
    """An error as Together sends it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return httpx2.Response(status, json={"error": error})


@dataclass
class TogetherEndpoints:
    """The project of the key: its registered models, endpoints and deployments."""

    states: tuple[str, ...] = ("PROVISIONING", "READY")
    prices: dict[str, int] = field(  # in cents an hour
        default_factory=lambda: {"1xnvidia-h100-80gb": 550, "2xnvidia-h100-80gb": 1100}
    )
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: int = 0

    def register(self, name: str, base: str) -> str:
        """Add a trained model; returns its name with the project."""
        model_id = self._make_id("ml")
        self.models[model_id] = {
            "id": model_id,
            "name": f"{SLUG}/{name}",
            "organizationId": "org_1",
            "projectId": PROJECT,
            "visibility": "VISIBILITY_PRIVATE",
            "weights": {},
            "baseModel": f"projects/proj_public/models/{_make_base_id(base)}",
        }
        return f"{SLUG}/{name}"

    def is_ready(self, name: str) -> bool:
        """Whether requests to the name of a deployment are answered."""
        return any(
            (item["name"], item["state"]) == (name, "READY") for item in self.deployments.values()
        )

    def answer(self, request: httpx2.Request, call: str) -> httpx2.Response:
        project = f"/v2/projects/{PROJECT}"
        routes: tuple[tuple[str, Callable[..., httpx2.Response]], ...] = (
            (r"GET /v3/whoami", self._show_project),
            (r"GET /v2/supported-models", self._list_supported),
            (r"GET /v2/public/inference-instance-types", self._list_hardware),
            (rf"GET {project}/models", lambda request: _list(request, self.models)),
            (rf"(GET|DELETE) {project}/models/([^/]+)", self._use_model),
            (rf"GET {project}/configs", self._list_configs),
            (rf"(GET|POST) {project}/endpoints", self._use_endpoints),
            (rf"DELETE {project}/endpoints/([^/]+)", self._delete_endpoint),
            (rf"(GET|POST) {project}/endpoints/([^/]+)/deployments", self._use_deployments),
            (
                rf"(GET|DELETE) {project}/endpoints/([^/]+)/deployments/([^/]+)",
                self._use_deployment,
            ),
        )
        for pattern, method in routes:
            if match := re.fullmatch(pattern, call):
                return method(request, *match.groups())
        return refuse(404, f"no route {call}")

    def _show_project(self, _request: httpx2.Request) -> httpx2.Response:
        body = {
            "type": "project_api_key",
            "api_key": {"id": "key_1"},
            "organization": {"id": "org_1", "name": "Acme"},
            "project": {"id": PROJECT, "name": "Acme", "slug": SLUG},
        }
        return httpx2.Response(200, json=body)

    def _list_supported(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.params.get("product") != "PRODUCT_FINE_TUNING":
            return refuse(400, "product is missing", param="product")
        models = {
            name: {
                "name": name,
                "baseModel": f"projects/proj_public/models/{_make_base_id(name)}",
                "status": "ACTIVE",
            }
            for name in ("Qwen/Qwen3-8B", "Qwen/Qwen3-14B")
        }
        return _list(request, models)

    def _list_hardware(self, _request: httpx2.Request) -> httpx2.Response:
        types = [
            {
                "id": f"hw_{number}",
                "name": name.replace("nvidia-", ""),
                "description": f"{name[0]} GPUs of the type H100",
                "gpuCount": int(name[0]),
                "gpuMemoryGib": 80,
                "gpuType": "H100",
                "priceCentsPerHour": cents,
                "regions": [],
            }
            for number, (name, cents) in enumerate(self.prices.items())
        ]
        return httpx2.Response(200, json={"object": "list", "data": types})  # all, without pages

    def _use_model(self, _request: httpx2.Request, verb: str, model_id: str) -> httpx2.Response:
        if model_id not in self.models:
            return refuse(404, f"model {model_id} not found")
        if verb == "GET":
            return httpx2.Response(200, json=self.models[model_id])
        if any(item["modelId"] == model_id for item in self.deployments.values()):
            return refuse(400, f"model {model_id} is deployed")
        del self.models[model_id]
        return httpx2.Response(200, json={})

    def _list_configs(self, request: httpx2.Request) -> httpx2.Response:
        reference = request.url.params.get("referenceModel", "")
        if not re.fullmatch(r"projects/proj_public/models/ml_[a-z0-9-]+", reference):
            return refuse(400, f"there is no model {reference!r}", param="referenceModel")
        configs = {
            str(count): {
                "id": f"cr_{count}",
                "projectId": "proj_public",
                "referenceModel": reference,
                "referenceModelId": reference.rpartition("/")[2],
                "certifications": [],
                "selectors": [
                    {"key": "accelerator_type", "value": "nvidia-h100-80gb"},
                    {"key": "accelerator_count", "value": str(count)},
                ],
            }
            for count in (2, 1)
        }
        return _list(request, configs)

    def _use_endpoints(self, request: httpx2.Request, verb: str) -> httpx2.Response:
        if verb == "GET":
            return _list(request, self.endpoints)
        body = json.loads(request.read())
        name = f"{SLUG}/{body.get('name')}"
        if body.keys() - {"name", "visibility"} or not _is_name(body.get("name")):
            return refuse(400, "a name of lower-case letters, digits and hyphens is needed")
        if any(item["name"] == name for item in self.endpoints.values()):
            return refuse(409, f"endpoint {name} already exists")
        endpoint_id = self._make_id("ep")
        self.endpoints[endpoint_id] = {
            "id": endpoint_id,
            "name": name,
            "projectId": PROJECT,
            "createdAt": "2026-11-22T12:00:00Z",
            "updatedAt": "2026-11-22T12:00:00Z",
            "etag": "1",
            "visibility": body.get("visibility", "VISIBILITY_PRIVATE"),
            "endpointType": "ENDPOINT_TYPE_DEDICATED",
            "deployments": [],
            "trafficSplit": [],
        }
        return httpx2.Response(200, json=self.endpoints[endpoint_id])

    def _delete_endpoint(self, _request: httpx2.Request, endpoint_id: str) -> httpx2.Response:
        if endpoint_id not in self.endpoints:
            return refuse(404, f"endpoint {endpoint_id} not found")
        if self._get_deployments(endpoint_id):
            return refuse(400, "delete the deployments first")
        del self.endpoints[endpoint_id]
        return httpx2.Response(200, json={})

    def _use_deployments(
        self, request: httpx2.Request, verb: str, endpoint_id: str
    ) -> httpx2.Response:
        if endpoint_id not in self.endpoints:
            return refuse(404, f"endpoint {endpoint_id} not found")
        if verb == "GET":
            shown = {item["id"]: _show(item) for item in self._get_deployments(endpoint_id)}
            return _list(request, shown)
        body = json.loads(request.read())
        if body.keys() != _BODY or not _is_name(body["name"]):
            return refuse(400, f"unexpected fields or name: {body}")
        if body["inactiveTimeout"] and not 30 <= body["inactiveTimeout"] <= 1440:
            return refuse(400, "inactiveTimeout must be 0 or 30 to 1440", param="inactiveTimeout")
        if body["model"].rpartition("/")[2] not in self.models:
            return refuse(404, f"model {body['model']} not found", param="model")
        name = f"{self.endpoints[endpoint_id]['name']}/{body['name']}"
        if any(item["name"] == name for item in self.deployments.values()):
            return refuse(409, f"deployment {name} already exists")
        count = re.fullmatch(r"projects/proj_public/configs/cr_([12])", body["config"])
        if count is None:
            return refuse(404, f"config {body['config']} not found", param="config")
        deployment_id = self._make_id("dep")
        self.deployments[deployment_id] = {
            "id": deployment_id,
            "endpointId": endpoint_id,
            "projectId": PROJECT,
            "createdAt": "2026-11-22T12:00:00Z",
            "updatedAt": "2026-11-22T12:00:00Z",
            "etag": "1",
            "trafficMode": "TRAFFIC_MODE_LIVE",
            **body,
            "name": name,
            "model": f"{body['model']}/revisions/rv_1",
            "modelId": body["model"].rpartition("/")[2],
            "modelRevisionId": "rv_1",
            "configId": f"cr_{count[1]}",
            "hardware": f"{count[1]}xnvidia-h100-80gb",
            "state": self.states[0],
        }
        return httpx2.Response(200, json=_show(self.deployments[deployment_id]))

    def _use_deployment(
        self, _request: httpx2.Request, verb: str, endpoint_id: str, deployment_id: str
    ) -> httpx2.Response:
        deployment = self.deployments.get(deployment_id)
        if deployment is None or deployment["endpointId"] != endpoint_id:
            return refuse(404, f"deployment {deployment_id} not found")
        if verb == "DELETE":
            del self.deployments[deployment_id]
            return httpx2.Response(200, json={})
        following = dict(zip(self.states, self.states[1:], strict=False))
        deployment["state"] = following.get(deployment["state"], deployment["state"])
        return httpx2.Response(200, json=_show(deployment))

    def _get_deployments(self, endpoint_id: str) -> list[dict[str, Any]]:
        return [item for item in self.deployments.values() if item["endpointId"] == endpoint_id]

    def _make_id(self, kind: str) -> str:
        self.ids += 1
        return f"{kind}_{self.ids}"


def _make_base_id(base: str) -> str:
    return f"ml_{base.rpartition('/')[2].lower()}"


def _is_name(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name) is not None


def _show(deployment: dict[str, Any]) -> dict[str, Any]:
    state = deployment["state"]
    message = "no capacity for the model" if state == "FAILED" else ""
    replicas = 1 if state in ("READY", "DEGRADED") else 0
    status = {"state": f"{_STATE}{state}", "message": message, "readyReplicas": replicas}
    return {name: value for name, value in deployment.items() if name != "state"} | {
        "status": status
    }


def _list(request: httpx2.Request, items: dict[str, dict[str, Any]]) -> httpx2.Response:
    """A page of a list, from the cursor in `after` on."""
    start = int(request.url.params.get("after", "0"))
    page = list(items.values())[start : start + _PAGE]
    following = str(start + _PAGE) if start + _PAGE < len(items) else None
    return httpx2.Response(200, json={"object": "list", "data": page, "next_cursor": following})
