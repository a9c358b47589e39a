"""A provider with an API unlike OpenAI's; `kiln_server.py` stands in for its server.

It shows what a new provider needs: the required methods, the optional ones that it has, and one
`ProviderEntry`. Files are called datasets, jobs have numbers and phases instead of statuses, no
metadata, no events and no results file; a trained model needs a deployment.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from ftops.capabilities import Capabilities, DeploymentRule, Naming
from ftops.errors import NotFound, Rejected
from ftops.http.api_client import ApiClient, FixedEndpoint
from ftops.http.response import JsonObject
from ftops.http.retry import RetryPolicy
from ftops.providers.address import ServerAddress
from ftops.providers.provider import (
    JobFilter,
    OnBytes,
    Provider,
    ProviderContext,
    UploadCheckpoint,
    any_job,
)
from ftops.providers.registry import ProviderEntry
from ftops.records import (
    READY,
    Completion,
    Deployment,
    DeploymentRequest,
    Job,
    JobRequest,
    Json,
    Model,
    Prompt,
    ProviderSettings,
    RemoteFile,
    RowFormat,
    Sampling,
)

ADDRESS = ServerAddress("https://kiln.example/v2", key_variable="KILN_KEY")
_STATUSES = {"DONE": "succeeded", "CRACKED": "failed", "STOPPED": "cancelled"}


class KilnOptions(BaseModel):
    """The section `kiln` of the job file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    queue: Literal["day", "night"] = Field("day", description="When the training starts.")
    layers: int | None = Field(None, ge=1, le=64, description="Layers that are trained.")


class KilnProvider(Provider):
    """Trains at kiln.example."""

    def __init__(
        self, settings: ProviderSettings, capabilities: Capabilities, context: ProviderContext, /
    ) -> None:
        self.name = settings.type
        self.account = "kiln:acme"
        self.capabilities = capabilities
        self.clock = context.clock
        client = context.http_client
        assert isinstance(client, httpx2.Client)
        key = context.environ[ADDRESS.key_variable]
        client.headers["x-kiln-key"] = key
        self._api: ApiClient[httpx2.Client] = ApiClient(
            FixedEndpoint(client, key), clock=context.clock, retries=RetryPolicy(attempts=3)
        )

    def row_format(self, model: str) -> RowFormat:
        return RowFormat.COMPLETION

    def upload_file(
        self,
        path: Path,
        *,
        filename: str,
        on_bytes: OnBytes,
        checkpoint: UploadCheckpoint | None = None,
    ) -> RemoteFile:
        content = path.read_bytes()
        on_bytes(0, len(content))
        fields = self._fetch("POST", "/datasets", params={"label": filename}, content=content)
        on_bytes(len(content), len(content))
        return _read_file(fields.get_object("dataset"))

    def find_file(self, filename: str, size: int) -> RemoteFile | None:
        files = [
            file for file in self.list_files() if (file.filename, file.bytes) == (filename, size)
        ]
        return max(files, key=lambda file: file.created_at, default=None)

    def get_file(self, file_id: str) -> RemoteFile:
        return _read_file(self._fetch("GET", _path(file_id)).get_object("dataset"))

    def list_files(self) -> Iterator[RemoteFile]:
        cursor: str | None = ""
        while cursor is not None:
            page = self._fetch("GET", "/datasets", params={"cursor": cursor})
            yield from map(_read_file, page.get_objects("datasets"))
            cursor = page.find_text("next")

    def read_file(self, file_id: str) -> bytes:
        return self._api.send(
            f"read {file_id}",
            lambda client: client.get(f"{ADDRESS.base_url}{_path(file_id)}/raw").content,
        )

    def delete_file(self, file_id: str) -> None:
        self._delete(_path(file_id))

    def create_job(self, request: JobRequest) -> Job:
        action = f"train {request.model}"
        response = self._api.send_once(
            action,
            lambda client: client.post(f"{ADDRESS.base_url}/trainings", json=_render(request)),
        )
        return _read_job(self._api.parse(response, action).get_object("training"))

    def find_job(self, request: JobRequest, *, job_filter: JobFilter = any_job) -> Job | None:
        wanted = _render(request)
        identity = {name: wanted[name] for name in ("base", "dataset", "holdout", "label")}
        # An intent in the ledger has no hyperparameters.
        numbers = {name: wanted[name] for name in ("passes", "rate")}
        identity |= {name: value for name, value in numbers.items() if value not in (None, "auto")}
        for fields in self._fetch("GET", "/trainings").get_objects("trainings"):
            job = _read_job(fields)
            if fields.values.items() >= identity.items() and job_filter(job):
                return job
        return None

    def get_job(self, job_id: str) -> Job:
        return _read_job(self._fetch("GET", f"/trainings/{job_id}").get_object("training"))

    def cancel_job(self, job_id: str) -> Job:
        return _read_job(self._fetch("POST", f"/trainings/{job_id}/stop").get_object("training"))

    def list_models(self) -> Iterator[Model]:
        return map(self._read_model, self._fetch("GET", "/models").get_objects("models"))

    def get_model(self, model: str) -> Model:
        for listed in self.list_models():
            if listed.id == model:
                return listed
        raise NotFound(f"there is no model {model!r}")

    def delete_model(self, model: str) -> None:
        self._delete(f"/models/{model}")

    def complete(
        self, model: str, prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Completion]:
        body = {"prompts": list(prompts), "max": sampling.max_tokens, "stop": sampling.stop}
        fields = self._fetch("POST", f"/deployments/{model}/generate", json=body)
        return [Completion(item.get_text("text")) for item in fields.get_objects("outputs")]

    def create_deployment(self, request: DeploymentRequest) -> Deployment:
        model = request.job.fine_tuned_model or ""
        action = f"deploy {model}"
        body = {"label": request.name, "idle_s": request.max_s}
        response = self._api.send_once(
            action,
            lambda client: client.post(f"{ADDRESS.base_url}/deployments/{model}", json=body),
        )
        return _read_deployment(self._api.parse(response, action))

    def find_deployment(self, request: DeploymentRequest) -> Deployment | None:
        named = (each for each in self.list_deployments() if each.name == request.name)
        return next(named, None)

    def get_deployment(self, deployment_id: str) -> Deployment:
        return _read_deployment(self._fetch("GET", f"/deployments/{deployment_id}"))

    def list_deployments(self) -> Iterator[Deployment]:
        fields = self._fetch("GET", "/deployments")
        return map(_read_deployment, fields.get_objects("deployments"))

    def delete_deployment(self, deployment_id: str) -> None:
        self._delete(f"/deployments/{deployment_id}")

    def _fetch(self, method: str, path: str, **options: Any) -> JsonObject:
        return self._api.fetch(
            f"{method} {path}",
            lambda client: client.request(method, ADDRESS.base_url + path, **options),
        )

    def _delete(self, path: str) -> None:
        self._api.delete(f"DELETE {path}", lambda client: client.delete(ADDRESS.base_url + path))

    def _read_model(self, fields: JsonObject) -> Model:
        name = fields.get_text("name")
        base = self.capabilities.naming.find_base_model(name)
        return Model(name, _read_time(fields), "kiln", base=base)


def _render(request: JobRequest) -> dict[str, Json]:
    return {
        "base": request.model,
        "dataset": request.training_file,
        "holdout": request.validation_file,
        "label": request.suffix,
        "passes": request.hyperparameters.n_epochs,
        "rate": request.hyperparameters.learning_rate,
        **KilnOptions.model_validate(request.sections.get("kiln", {})).model_dump(),
    }


def _path(file_id: str) -> str:
    if not file_id.startswith("kiln://"):
        raise Rejected(f"{file_id!r} is not the id of a dataset")
    return "/" + file_id.removeprefix("kiln://")


def _read_time(fields: JsonObject) -> datetime:
    return datetime.fromtimestamp((fields.find_int("at_ms") or 0) / 1000, UTC)


def _read_file(fields: JsonObject) -> RemoteFile:
    size = fields.find_int("size") or 0
    name = fields.get_text("label")
    return RemoteFile(fields.get_text("uri"), name, size, "fine-tune", _read_time(fields))


def _read_job(fields: JsonObject) -> Job:
    phase = fields.get_text("phase")
    return Job(
        id=str(fields.find_int("number")),
        status=_STATUSES.get(phase, phase.lower()),
        model=fields.get_text("base"),
        created_at=_read_time(fields),
        fine_tuned_model=fields.find_text("model"),
        training_file=fields.find_text("dataset"),
        validation_file=fields.find_text("holdout"),
    )


def _read_deployment(fields: JsonObject) -> Deployment:
    model, state = fields.get_text("model"), fields.get_text("state")
    return Deployment(
        id=model,
        name=fields.get_text("label"),
        model=model,
        status={"up": READY, "cracked": "failed"}.get(state, state),
        hourly_usd=(fields.find_int("cents_an_hour") or 0) / 100,
        error=fields.find_text("reason") or "",
    )


KILN = ProviderEntry(
    summary="kiln.example",
    capabilities=Capabilities(
        suffix_max=20,
        hyperparameters=frozenset({"n_epochs", "learning_rate"}),
        metadata=False,
        seed=False,
        pauses=False,
        chats=False,
        deployment=DeploymentRule(hourly_usd=3.0, ends="idle"),
        curve="none",
        naming=Naming(r"kiln://datasets/\d+", r"\d+", r"(.+)@\d+"),
    ),
    build=KilnProvider,
    address=ADDRESS,
    sections={"kiln": lambda: KilnOptions},
)
