"""A stand-in for Nebius Token Factory."""

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
    is_in,
    is_int,
    is_number,
    is_text,
)

NEBIUS_KEY = "nebius-key-0123456789"
NEBIUS_BASE = "meta-llama/Llama-3.1-8B-Instruct"
SERVED_BASE = "meta-llama/Meta-Llama-3.1-8B-Instruct"


@dataclass
class NebiusServer(OpenAILikeServer):
    """Jobs run at once; the curve is in the checkpoints; adapters are served by `/v0/models`."""

    KEY: ClassVar[str] = NEBIUS_KEY
    MODELS: ClassVar[tuple[str, ...]] = (NEBIUS_BASE, "Qwen/Qwen3-32B")
    HYPERPARAMETERS: ClassVar[Mapping[str, Check]] = {
        "batch_size": is_int(1, 32),
        "learning_rate": is_number(0, 1),
        "learning_rate_multiplier": is_number(0, 1),  # an absolute rate here, as in its cookbook
        "n_epochs": is_int(1, 20),
        "warmup_ratio": is_number(0, 1),
        "weight_decay": is_number(0, 1),
        "packing": is_in(True, False),
        "max_grad_norm": is_number(0, 1000),
        "context_length": is_int(1, 131_072),
        "lora": is_in(True, False),
        "lora_r": is_int(8, 128),
        "lora_alpha": is_int(8, 1024),
        "lora_dropout": is_number(0, 1),
    }
    FIELDS: ClassVar[Mapping[str, Check]] = {
        "suffix": is_text(64),
        "seed": is_int(0, 2**31 - 1),
        "tags": is_text(64),
    }

    deployed: dict[str, Fields] = field(default_factory=dict)
    lags: dict[str, int] = field(default_factory=dict)
    deployment_lag: int = 0  # looks at a new deployment before it is found

    def routes(self) -> list[Route]:
        return [
            (r"POST /v0/models", self._deploy),
            (r"GET /v0/models", self._list_deployed),
            (r"GET /v0/models/(.+)", self._get_deployed),
            (r"DELETE /models/(.+-LoRa:.+)", self._undeploy),
            *super().routes(),
        ]

    def check_job(self, body: Fields) -> httpx2.Response | None:
        """Hyperparameters are under `method` or at the top, not both."""
        if "method" in body and "hyperparameters" in body:
            return self.refuse_field("hyperparameters", "method has hyperparameters, too")
        if "hyperparameters" not in body:
            return super().check_job(body)
        body = dict(body)
        method = {"hyperparameters": body.pop("hyperparameters")}
        return super().check_job({**body, "method": {"type": "supervised", "supervised": method}})

    def add_file(self, name: str, content: bytes, purpose: str = "fine-tune") -> Fields:
        """Files have no status, although OpenAI's SDK declares one."""
        file = super().add_file(name, content, purpose)
        file["status"] = None
        return file

    def make_job(self, body: Fields) -> Fields:
        method = body.get("method", {}).get("supervised", {})
        sent = method.get("hyperparameters") or body.get("hyperparameters", {})
        rate = sent.get("learning_rate") or sent.get("learning_rate_multiplier") or 1e-5
        defaults = {"batch_size": 8, "n_epochs": 3, "lora": False}
        used = {**defaults, **sent, "learning_rate": rate, "learning_rate_multiplier": None}
        return {
            "hyperparameters": used,
            "method": None,
            "organization_id": "",
            "result_files": [],
            "seed": body.get("seed", 42),
            "suffix": body.get("suffix"),
            "trained_steps": 0,
            "total_steps": 0,
        }

    def name_model(self, job: Fields) -> str | None:
        return None

    def make_events(self, job: Fields) -> list[Fields]:
        """Few events, oldest first."""
        messages = ["Job is submitted", "Dataset 'training' processed successfully"]
        if job["status"] == "succeeded":
            messages.append("Training completed successfully")
        return [
            {
                "id": f"ftevent-{job['id']}-{number}",
                "object": "fine_tuning.job.event",
                "created_at": job["created_at"] + number,
                "level": "info",
                "message": message,
                "type": "message",
                "data": None,
            }
            for number, message in enumerate(messages)
        ]

    def make_checkpoints(self, job: Fields) -> list[Fields]:
        """One for each epoch, with the files of the adapter."""
        if "checkpoints" not in job:
            epochs = job["hyperparameters"]["n_epochs"]
            job["checkpoints"] = [self._make_checkpoint(job, epoch + 1) for epoch in range(epochs)]
        return list(job["checkpoints"])

    def _make_checkpoint(self, job: Fields, epoch: int) -> Fields:
        checkpoint_id = self.make_id("ftckpt_")
        files = [
            self.add_file(
                f"{checkpoint_id}/{name}", f"{name} {epoch}".encode(), "fine-tune-results"
            )
            for name in ("adapter_config.json", "adapter_model.safetensors")
        ]
        return {
            "id": checkpoint_id,
            "object": "fine_tuning.job.checkpoint",
            "created_at": job["created_at"] + epoch,
            "fine_tuned_model_checkpoint": "",
            "fine_tuning_job_id": job["id"],
            "step_number": 10 * epoch,
            "metrics": {
                "step": 10 * epoch,
                "train_loss": 3.5 - epoch / 2,
                "valid_loss": 3.25 - epoch / 2,
                "valid_mean_token_accuracy": None,
            },
            "result_files": [file["id"] for file in files],
        }

    def show_job(self, job: Fields) -> Fields:
        return {key: value for key, value in super().show_job(job).items() if key != "checkpoints"}

    def refuse_field(self, name: str, reason: str) -> httpx2.Response:
        problem = {"loc": ["body", name], "msg": reason, "type": "value_error"}
        return httpx2.Response(422, json={"detail": [problem]})

    def answers(self, model: str) -> bool:
        return super().answers(model) or self.deployed.get(model, {}).get("status") == "active"

    def _deploy(self, request: httpx2.Request) -> httpx2.Response:
        body: Fields = json.loads(request.read())
        if body.keys() - {"name", "base_model", "source", "description"}:
            return self.refuse_field("body", "Extra inputs are not permitted")
        if body.get("base_model") != SERVED_BASE:
            return self.refuse_field("base_model", "This model does not support LoRA")
        job_id, _, checkpoint_id = body["source"].partition(":")
        job = self.jobs.get(job_id)
        known = [item["id"] for item in self.make_checkpoints(job)] if job else []
        if checkpoint_id not in known:
            return self.refuse(404, f"no checkpoint {body['source']}")
        self.ids += 1
        name = f"{SERVED_BASE}-LoRa:{body['name']}-J{self.ids:03d}"
        self.deployed[name] = {
            "name": name,
            "base_model": SERVED_BASE,
            "source": body["source"],
            "description": body.get("description"),
            "created_at": self.now(),
            "status": "validating",
        }
        self.lags[name] = self.deployment_lag
        return self.ok(self.deployed[name])

    def _get_deployed(self, _request: httpx2.Request, name: str) -> httpx2.Response:
        model = self.deployed.get(name)
        if model is None or self.lags[name] > 0:
            self.lags[name] = self.lags.get(name, 0) - 1
            return self.refuse(404, f"Model {name} not found")
        status = model["status"]
        if status == "validating":
            error = self.faults.deployment_error
            model["status"] = "error" if error else "active"
            model["status_reason"] = error or None
            if not error:
                created = model["created_at"]
                self.tuned[name] = {
                    "id": name, "object": "model", "created": created, "owned_by": "me"
                }  # fmt: skip
        job_id, _, checkpoint_id = model["source"].partition(":")
        shown = {name: model.get(name) for name in ("name", "created_at", "description")}
        reason = model.get("status_reason") if status != "validating" else None
        state = {"status": status, "status_reason": reason}
        return self.ok({**shown, **state, "job_id": job_id, "checkpoint_id": checkpoint_id})

    def _list_deployed(self, _request: httpx2.Request) -> httpx2.Response:
        bases = [{"name": SERVED_BASE, "status": "active"}]
        return self.ok({"data": [*bases, *self.deployed.values()]})

    def _undeploy(self, _request: httpx2.Request, name: str) -> httpx2.Response:
        if self.deployed.pop(name, None) is None:
            return self.refuse(404, f"Model {name} not found")
        self.tuned.pop(name, None)
        return self.ok({"id": name, "object": "model", "deleted": True})
