"""A stand-in for an Azure OpenAI resource and for the management API that deploys its models."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx2

from tests.contract.openai_like_server import (
    Check,
    Fields,
    OpenAILikeServer,
    Route,
    is_auto_or,
    is_in,
    is_int,
    is_number,
    is_text,
)

AZURE_KEY = "azure-key-0123456789"
AZURE_TOKEN = "entra-token-0123456789"
AZURE_BASE = "gpt-4.1-mini-2025-04-14"
AZURE_URL = "https://acme.openai.azure.com/openai/v1"
AZURE_ENVIRON = {
    "AZURE_OPENAI_API_KEY": AZURE_KEY,
    "AZURE_OPENAI_BASE_URL": AZURE_URL,
    "AZURE_TOKEN": AZURE_TOKEN,
    "AZURE_SUBSCRIPTION_ID": "sub-1",
    "AZURE_RESOURCE_GROUP": "group-1",
}
ACCOUNT = (
    "/subscriptions/sub-1/resourceGroups/group-1/providers/Microsoft.CognitiveServices"
    "/accounts/acme"
)
RESULTS = (
    "/subscriptions/sub-1/providers/Microsoft.CognitiveServices/locations/eastus2/operationResults"
)
MANAGEMENT_HOST = "management.azure.com"


def _is_metadata(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= 16


@dataclass
class AzureServer(OpenAILikeServer):
    """Jobs start as `pending` and have nulls; models answer under the names of deployments."""

    KEY: ClassVar[str] = AZURE_KEY
    BASE_PATH: ClassVar[str] = "/openai/v1"
    MODELS: ClassVar[tuple[str, ...]] = (AZURE_BASE,)
    METHODS: ClassVar[tuple[str, ...]] = ("supervised", "dpo")
    HYPERPARAMETERS: ClassVar[Mapping[str, Check]] = {
        "n_epochs": is_auto_or(is_int(1, 50)),
        "batch_size": is_auto_or(is_int(1, 256)),
        "learning_rate_multiplier": is_auto_or(is_number(1e-9, 100)),
        "beta": is_auto_or(is_number(0, 2)),
    }
    FIELDS: ClassVar[Mapping[str, Check]] = {
        "suffix": is_text(64),
        "seed": is_int(0, 2**31 - 1),
        "metadata": _is_metadata,
        "trainingType": is_in("Standard", "GlobalStandard", "Developer"),
    }

    statuses: tuple[str, ...] = ("pending", "running", "succeeded")
    keeps_metadata: bool = True
    deployments: dict[str, Fields] = field(default_factory=dict)
    tokens: list[tuple[str, str]] = field(default_factory=list)  # host, authorization
    token: str = AZURE_TOKEN

    def is_authorized(self, request: httpx2.Request) -> bool:
        authorization = request.headers.get("authorization", "")
        self.tokens.append((request.url.host, authorization))
        expected = self.token if request.url.path.startswith("/subscriptions/") else self.KEY
        return authorization == f"Bearer {expected}"

    def routes(self) -> list[Route]:
        return [
            (rf"(GET|PUT|DELETE) {ACCOUNT}/deployments/([^/]+)", self._use_deployment),
            (rf"GET {ACCOUNT}/deployments", self._list_deployments),
            (rf"GET {RESULTS}/([^/]+)", self._finish_deletion),
            *super().routes(),
        ]

    def check_job(self, body: Fields) -> httpx2.Response | None:
        if "trainingType" not in body:
            return self.refuse(400, "base model does not support fine-tuning", param="model")
        return super().check_job(body)

    def make_job(self, body: Fields) -> Fields:
        sent = body.get("method", {}).get("supervised", {}).get("hyperparameters", {})
        used = {**sent, "n_epochs": -1 if sent.get("n_epochs") == "auto" else sent.get("n_epochs")}
        kept = {} if self.keeps_metadata else {"metadata": None}
        nulls: Fields = {"organization_id": None, "result_files": None, "error": {}}
        return {"hyperparameters": used, **nulls, **kept}

    def name_model(self, job: Fields) -> str | None:
        suffix = f"-{job['suffix']}" if job.get("suffix") else ""
        name = f"{job['model']}.ft-{job['id'].removeprefix('ftjob-')}{suffix}"
        self.tuned[name] = {"id": name, "object": "model", "created": self.now(), "owned_by": "me"}
        return name

    def make_checkpoints(self, job: Fields) -> list[Fields]:
        return [
            {
                "id": f"ftchkpt-{step}",
                "object": "fine_tuning.job.checkpoint",
                "created_at": job["created_at"],
                "fine_tuning_job_id": job["id"],
                "fine_tuned_model_checkpoint": f"{job['fine_tuned_model']}:ckpt-step-{step}",
                "step_number": step,
                "metrics": {"step": step, "train_loss": 1.5},
            }
            for step in (10, 20)
        ]

    def answers(self, model: str) -> bool:
        deployment = self.deployments.get(model)
        return deployment is not None and _get_state(deployment) == "Succeeded"

    # The management API

    def refuse_management(self, status: int, code: str, message: str) -> httpx2.Response:
        return httpx2.Response(status, json={"error": {"code": code, "message": message}})

    def _use_deployment(self, request: httpx2.Request, verb: str, name: str) -> httpx2.Response:
        if request.url.params.get("api-version") not in ("2024-10-21", "2025-09-01"):
            return self.refuse_management(400, "MissingApiVersionParameter", "no api-version")
        if verb == "PUT":
            return self._put_deployment(name, json.loads(request.read()))
        deployment = self.deployments.get(name)
        if deployment is None:
            return self.refuse_management(404, "DeploymentNotFound", f"no deployment {name}")
        state = _get_state(deployment)
        if verb == "DELETE":
            deployment["properties"]["provisioningState"] = "Deleting"
            location = request.url.copy_with(path=f"{RESULTS}/{name}")
            return httpx2.Response(202, headers={"Location": str(location)})
        if state == "Deleting":
            del self.deployments[name]
        elif state == "Creating":
            end = "Failed" if self.faults.deployment_error else "Succeeded"
            deployment["properties"]["provisioningState"] = end
        return self.ok(deployment)

    def _finish_deletion(self, _request: httpx2.Request, name: str) -> httpx2.Response:
        self.deployments.pop(name, None)
        return httpx2.Response(204)

    def _put_deployment(self, name: str, body: Fields) -> httpx2.Response:
        model = body.get("properties", {}).get("model", {})
        sku = body.get("sku", {})
        if body.keys() != {"sku", "properties"} or model.get("format") != "OpenAI":
            return self.refuse_management(400, "InvalidRequestContent", "unknown fields")
        if model.get("name") not in self.tuned or model.get("version") != "1":
            return self.refuse_management(400, "DeploymentModelNotSupported", "no such model")
        if sku.get("name") not in ("Standard", "GlobalStandard", "DeveloperTier"):
            return self.refuse_management(400, "InvalidSku", f"no sku {sku.get('name')}")
        self.deployments[name] = {
            "id": f"{ACCOUNT}/deployments/{name}",
            "name": name,
            "sku": sku,
            "systemData": {"createdAt": self.clock.now().isoformat()},
            "properties": {"model": model, "provisioningState": "Creating"},
        }
        return httpx2.Response(201, json=self.deployments[name])

    def _list_deployments(self, _request: httpx2.Request) -> httpx2.Response:
        base = {
            "id": f"{ACCOUNT}/deployments/chat",
            "name": "chat",
            "sku": {"name": "GlobalStandard", "capacity": 10},
            "properties": {"model": {"name": AZURE_BASE}, "provisioningState": "Succeeded"},
        }
        return self.ok({"value": [base, *self.deployments.values()]})


def _get_state(deployment: Fields) -> str:
    return str(deployment["properties"]["provisioningState"])
