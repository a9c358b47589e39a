"""Nebius Token Factory: curves and weights from checkpoints, and serverless deployments.

A deployed adapter is billed by the token, and answers at the address of the API.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from ftops.errors import NotFound, Rejected
from ftops.http.response import JsonObject
from ftops.providers.openai_options import NebiusOptions
from ftops.providers.openai_response import read_checkpoint, read_ids
from ftops.providers.openai_server import Deployments, OpenAIServer, render_metrics
from ftops.records import Deployment, DeploymentRequest, Job, Json

# Bases whose adapters can be deployed, by their names in jobs: their names in deployments.
SERVED_BASES = {
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B-Instruct",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.1-8B": "meta-llama/Meta-Llama-3.1-8B",
    "meta-llama/Llama-3.3-70B-Instruct": "meta-llama/Llama-3.3-70B-Instruct",
}
_STATUSES = {"active": "ready", "error": "failed"}
_LAG_S = 60.0  # until a new deployment can be looked up


def read_checkpoint_metrics(server: OpenAIServer, job: Job) -> bytes | None:
    """The metrics of each checkpoint: there is one for each epoch, and no other curve."""
    checkpoints = map(read_checkpoint, server.list_checkpoints(job.id))
    return render_metrics([{**item.metrics, "step": item.step} for item in checkpoints])


def download_last_checkpoint(server: OpenAIServer, job: Job, folder: Path) -> list[Path]:
    """Write the files of the last checkpoint: adapter or weights, tokenizer, configuration."""
    paths = []
    for file_id in read_ids(_get_last_checkpoint(server, job).values.get("result_files")):
        file = server.fetch(f"look up the file {file_id}", "GET", f"/files/{file_id}")
        name = file.find_text("filename") or file_id
        path = folder / PurePosixPath(name).name
        if not path.is_file() or path.stat().st_size != file.find_int("bytes"):
            url = f"/files/{file_id}/content"
            path = server.download(f"download {name}", url, folder, name)
        paths.append(path)
    if not paths:
        raise NotFound(f"the last checkpoint of {job.id} has no files")
    return paths


class NebiusDeployments(Deployments):
    """Adapters that are served under a name which Nebius completes."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server
        self._root = server.base_url.removesuffix("/v1")
        self._created: dict[str, tuple[Deployment, float]] = {}  # with the time, monotonic

    def is_served(self, model: str, sections: Mapping[str, Mapping[str, Json]]) -> bool:
        """Only adapters of some bases are served."""
        return NebiusOptions.model_validate(sections.get("nebius", {})).lora and (
            model in SERVED_BASES
        )

    def create_deployment(self, request: DeploymentRequest) -> Deployment:
        base = SERVED_BASES.get(request.job.model)
        if base is None:
            raise Rejected(
                f"Nebius does not deploy models that were fine-tuned from {request.job.model};"
                " nothing was sent",
                hint=f"It deploys adapters of {', '.join(SERVED_BASES)}. `ftops models download`"
                " fetches the weights of the others.",
            )
        checkpoint = _get_last_checkpoint(self._server, request.job).get_text("id")
        body = {
            "name": request.name,
            "base_model": base,
            "source": f"{request.job.id}:{checkpoint}",
            "description": "created by ftops",
        }
        action = f"deploy {request.job.id}"
        deployment = _read_deployment(
            self._server.send_once(action, f"{self._root}/v0/models", body)
        )
        self._created[deployment.id] = deployment, self._server.api.clock.monotonic_s()
        return deployment

    def find_deployment(self, request: DeploymentRequest) -> Deployment | None:
        for deployment in self.list_deployments():
            if deployment.name == request.name and not deployment.ended:
                return deployment
        return None

    def get_deployment(self, deployment_id: str) -> Deployment:
        url = f"{self._root}/v0/models/{deployment_id}"
        try:
            fields = self._server.fetch(f"look up the deployment {deployment_id}", "GET", url)
        except NotFound:
            deployment, created_s = self._created.get(deployment_id, (None, 0.0))
            if deployment and self._server.api.clock.monotonic_s() - created_s < _LAG_S:
                return deployment
            raise
        deployment = _read_deployment(fields)
        if deployment.status == "deleted":
            raise NotFound(f"the deployment {deployment_id} is deleted")
        return deployment

    def list_deployments(self) -> Iterator[Deployment]:
        listed = self._server.fetch_list("list the deployments", f"{self._root}/v0/models")
        return map(_read_deployment, filter(_is_adapter, listed))

    def delete_deployment(self, deployment_id: str) -> None:
        action = f"delete the deployment {deployment_id}"
        self._server.delete(action, f"/models/{deployment_id}")
        self._created.pop(deployment_id, None)

    def estimate_hourly_cost(self, _request: DeploymentRequest) -> float | None:
        return 0.0


def _get_last_checkpoint(server: OpenAIServer, job: Job) -> JsonObject:
    checkpoints = server.list_checkpoints(job.id)
    if not checkpoints:
        raise NotFound(f"{job.id} has no checkpoints")
    return checkpoints[-1]


def _is_adapter(fields: JsonObject) -> bool:
    return "-LoRa:" in (fields.find_text("name") or "")


def _read_deployment(fields: JsonObject) -> Deployment:
    """The record of a deployed model; its name is ours between a prefix and four characters."""
    model, status = fields.get_text("name"), fields.find_text("status") or "validating"
    own_name = re.sub(r"-[A-Za-z0-9]{4}$", "", model.rpartition(":")[2])
    return Deployment(
        id=model,
        name=own_name,
        model=model,
        status=_STATUSES.get(status, status),
        created_at=fields.find_time("created_at"),
        hourly_usd=0.0,
        error=fields.find_text("status_reason") or "",
    )
