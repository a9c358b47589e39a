"""A stand-in for Crusoe: its API for jobs, its cloud API for deployments, its inference host."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

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

CRUSOE_KEY = "crusoe-key-0123456789"
CRUSOE_BASE = "meta-llama/Llama-3.1-8B-Instruct"
CRUSOE_PROJECT = "project-7"
MODEL_IDS = {"model-0a1b2c": CRUSOE_BASE, "model-3d4e5f": "openai/gpt-oss-120b"}
NOT_TUNABLE = {"model-9z8y7x": "zai/GLM-5.2"}
FOUNDRY = f"/projects/{CRUSOE_PROJECT}/foundry"
FLAVORS = [
    {
        "id": "flavor-h200",
        "model_name": CRUSOE_BASE,
        "price_per_hour": "6.00",
        "gpu_type": "H200",
        "lora_suitable": True,
    },
    {
        "id": "flavor-h100",
        "model_name": CRUSOE_BASE,
        "price_per_hour": "5.50",
        "gpu_type": "H100",
        "lora_suitable": True,
    },
    {
        "id": "flavor-l40",
        "model_name": CRUSOE_BASE,
        "price_per_hour": "1.00",
        "gpu_type": "L40S",
        "lora_suitable": False,
    },
]


@dataclass
class CrusoeServer(OpenAILikeServer):
    """Jobs name models by opaque ids; events are in no order; curves have a route of their own."""

    KEY: ClassVar[str] = CRUSOE_KEY
    MODELS: ClassVar[tuple[str, ...]] = (*MODEL_IDS, *NOT_TUNABLE)
    HYPERPARAMETERS: ClassVar[Mapping[str, Check]] = {
        "n_epochs": is_auto_or(is_int(1, 50)),
        "batch_size": is_auto_or(is_in(*(2**power for power in range(4, 11)))),
        "learning_rate_multiplier": is_auto_or(is_number(1e-9, 100)),
        "learning_rate": is_auto_or(is_number(1e-9, 1)),
        "lr_scheduler": is_in("cosine", "constant", "constant_with_warmup", "linear"),
        "lora_variant": is_in("lora", "rslora"),
        "lora_rank": is_int(2, 256),
        "lora_alpha": is_int(1, 512),
        "lora_dropout": is_number(0, 1),
        "warmup_ratio": is_number(0, 1),
        "weight_decay": is_number(0, 1),
        "early_stopping_patience": is_int(1, 1000),
        "checkpoint_steps": is_int(20, 10**6),
        "eval_steps_per_epoch": is_int(1, 10**4),
        "overlong_row_behavior": is_in("error", "drop"),
    }
    FIELDS: ClassVar[Mapping[str, Check]] = {"suffix": is_text(64)}

    statuses: tuple[str, ...] = ("queued", "running", "succeeded")
    adapters: dict[str, Fields] = field(default_factory=dict)
    dedicated: dict[str, Fields] = field(default_factory=dict)
    busy_deletes: int = 0  # deletions that are refused with 429
    hosts: set[str] = field(default_factory=set)  # that the key was sent to
    refusing_hosts: frozenset[str] = frozenset()

    def is_authorized(self, request: httpx2.Request) -> bool:
        self.hosts.add(request.url.host)
        return super().is_authorized(request) and request.url.host not in self.refusing_hosts

    def routes(self) -> list[Route]:
        return [
            (r"POST /fine_tuning/jobs/estimate_price", self._estimate_price),
            (r"GET /fine_tuning/jobs/([^/]+)/metrics", self._get_metrics),
            (r"GET /models/([^/]+)/download", self._download),
            (rf"POST {FOUNDRY}/loras", self._load_adapter),
            (rf"GET {FOUNDRY}/loras", lambda _request: self._array(self.adapters)),
            (rf"(GET|DELETE) {FOUNDRY}/loras/(.+)", self._use_adapter),
            (rf"GET {FOUNDRY}/selfserve/flavors", self._list_flavors),
            (rf"POST {FOUNDRY}/selfserve/deployments", self._deploy),
            (rf"GET {FOUNDRY}/selfserve/deployments", self._list_dedicated),
            (rf"(GET|DELETE) {FOUNDRY}/selfserve/deployments/(.+)", self._use_dedicated),
            *super().routes(),
        ]

    def check_job(self, body: Fields) -> httpx2.Response | None:
        if body.get("model") in NOT_TUNABLE:
            return self.refuse(400, "this model is not available for fine-tuning", param="model")
        return super().check_job(body)

    def describe_base(self, name: str) -> Fields:
        return {
            "id": name,
            "object": "model",
            "created": 1,
            "owned_by": "crusoe",
            "model_type": "base_model",
            "model_name": {**MODEL_IDS, **NOT_TUNABLE}[name],
            "fine_tuning_available": name in MODEL_IDS,
            "inference_available": True,
        }

    def name_model(self, job: Fields) -> str | None:
        name = f"ftmodel-{job['id'].removeprefix('ftjob-')}"
        self.tuned[name] = {
            "id": name,
            "object": "model",
            "created": self.now(),
            "owned_by": "acme",
            "model_type": "adapter",
            "model_name": f"{job.get('suffix') or 'adapter'}",
            "base_model": MODEL_IDS[job["model"]],
        }
        return name

    def make_events(self, job: Fields) -> list[Fields]:
        """Twelve events, four of each second, in no order."""
        events = [
            {
                "id": f"ftevent-{job['id']}-{number}",
                "object": "fine_tuning.job.event",
                "created_at": job["created_at"] + number // 4,
                "level": "info",
                "message": f"step {number}",
                "type": "metrics",
                "data": {"step": number, "train_loss": 2.0},
            }
            for number in range(12)
        ]
        return [*events[1::2], *events[::2]]

    def make_checkpoints(self, job: Fields) -> list[Fields]:
        return [
            {
                "id": f"ckpt-{job['id']}-{step}",
                "object": "fine_tuning.job.checkpoint",
                "created_at": job["created_at"],
                "fine_tuning_job_id": job["id"],
                "fine_tuned_model_id": f"ftmodel-{job['id']}-{step}",
                "fine_tuned_model_checkpoint": f"{job.get('suffix')} at {step}",
                "step_number": step,
                "metrics": {"train_loss": 2.0, "valid_loss": 1.5},
            }
            for step in (40, 20)
        ]

    def answers(self, model: str) -> bool:
        dedicated = {item["deployment_name"] for item in self.dedicated.values()}
        loaded = {item["model_id"] for item in self.adapters.values() if item["status"] == "ready"}
        return model in dedicated | loaded

    def _estimate_price(self, request: httpx2.Request) -> httpx2.Response:
        refusal = self.check_job(json.loads(request.read()))
        return refusal or self.ok({"estimated_price": "0.42", "currency": "USD"})

    def _get_metrics(self, _request: httpx2.Request, job_id: str) -> httpx2.Response:
        if job_id not in self.jobs:
            return self._refuse_job(job_id)
        series: dict[str, list[float]] = {
            "ev_current_step": [10, 20, 30, 40],
            "ev_loss": [2.5, 2.0, 1.75, 1.5],
            "ev_eval_loss": [2.25, 1.625],
            "ev_total_steps": [40, 40, 40, 40],
        }
        metrics: list[Fields] = [
            {"metric_name": name, "data": [{"value": value} for value in values]}
            for name, values in series.items()
        ]
        return self.ok({"metrics": metrics})

    def _download(self, _request: httpx2.Request, model: str) -> httpx2.Response:
        if model not in self.tuned:
            return self.refuse(404, f"no model {model}")
        return httpx2.Response(200, content=b"PK" + bytes(5000))

    # The cloud API

    def refuse_cloud(self, status: int, message: str) -> httpx2.Response:
        return httpx2.Response(status, json={"code": str(status), "message": message})

    def _array(self, items: Mapping[str, Fields]) -> httpx2.Response:
        return httpx2.Response(200, json=list(items.values()))

    def _load_adapter(self, request: httpx2.Request) -> httpx2.Response:
        body: Fields = json.loads(request.read())
        if body.keys() != {"model_id"} or body["model_id"] not in self.tuned:
            return self.refuse_cloud(400, "bad_request")
        number = self.make_id("lora-")
        self.adapters[number] = {
            "id": number,
            "model_id": body["model_id"],
            "status": "pending",
            "endpoint_alias": f"alias-{number}",
            "created_at": self.clock.now().isoformat(),
            "last_error": "",
        }
        return httpx2.Response(202, json=self.adapters[number])

    def _use_adapter(self, _request: httpx2.Request, verb: str, number: str) -> httpx2.Response:
        adapter = self.adapters.get(number)
        if adapter is None:
            return self.refuse_cloud(404, "not_found")
        if verb == "DELETE":
            return self._start_deletion(adapter)
        if adapter["status"] == "deleting":
            del self.adapters[number]
            return httpx2.Response(200, json=adapter)
        following = {"pending": "downloading", "downloading": "loading", "loading": "ready"}
        adapter["status"] = following.get(adapter["status"], adapter["status"])
        if self.faults.deployment_error and adapter["status"] == "ready":
            adapter |= {"status": "failed", "last_error": self.faults.deployment_error}
        return httpx2.Response(200, json=adapter)

    def _start_deletion(self, item: Fields) -> httpx2.Response:
        if self.busy_deletes:
            self.busy_deletes -= 1
            return self.refuse_cloud(429, "wait until the deployment is created")
        item["status"] = "deleting"
        return httpx2.Response(202)

    def _list_flavors(self, _request: httpx2.Request) -> httpx2.Response:
        return self.ok({"flavors": FLAVORS})

    def _deploy(self, request: httpx2.Request) -> httpx2.Response:
        body: Fields = json.loads(request.read())
        flavor = next((item for item in FLAVORS if item["id"] == body.get("flavor_id")), None)
        expected = {"deployment_name", "fine_tuned_model", "flavor_id", "replicas"}
        if body.keys() - expected or flavor is None or body["fine_tuned_model"] not in self.tuned:
            return self.refuse_cloud(400, "bad_request")
        number = self.make_id("deployment-")
        price = float(str(flavor["price_per_hour"])) * body["replicas"]
        self.dedicated[number] = {
            "id": number,
            "deployment_name": body["deployment_name"],
            "fine_tuned_model": body["fine_tuned_model"],
            "status": "provisioning",
            "available_replicas": 0,
            "target_replicas": body["replicas"],
            "created_at": self.clock.now().isoformat(),
            "hourly_cost": f"{price:.2f}",
        }
        return httpx2.Response(202, json={"id": number, "status": "provisioning"})

    def _list_dedicated(self, _request: httpx2.Request) -> httpx2.Response:
        shown = [
            {name: value for name, value in item.items() if name != "hourly_cost"}
            for item in self.dedicated.values()
        ]
        return self.ok({"deployments": shown})

    def _use_dedicated(self, _request: httpx2.Request, verb: str, number: str) -> httpx2.Response:
        item = self.dedicated.get(number)
        if item is None:
            return self.refuse_cloud(404, "not_found")
        if verb == "DELETE":
            return self._start_deletion(item)
        if item["status"] == "deleting":
            del self.dedicated[number]
        elif item["status"] == "provisioning":
            item |= {"status": "running", "available_replicas": item["target_replicas"]}
            if self.faults.deployment_error:
                item |= {"status": "failed", "available_replicas": 0}
        return self.ok(item)
