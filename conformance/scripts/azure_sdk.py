"""Azure's SDKs: azure-ai-projects for the jobs, azure-mgmt-cognitiveservices for deployments.

They refuse to send a token without TLS, except where `enforce_https=False` says so.
"""

import os
import time
from typing import Any

import openai
from azure.ai.projects import AIProjectClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient

from conformance.scripts.outcomes import KEPT, attempt, refusal, wait_until, write_chats

ADDRESS = os.environ["AZURE_BASE_URL"]
BASE = "gpt-4.1-mini-2025-04-14"
GROUP, ACCOUNT = "group-1", "acme"
PLAIN_HTTP = {"enforce_https": False, "polling_interval": 0}


class FixedToken:
    """A credential that is one token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


PROJECT = AIProjectClient(endpoint=ADDRESS, credential=FixedToken(os.environ["AZURE_API_KEY"]))
CLIENT: Any = PROJECT.get_openai_client(max_retries=0)
JOBS = CLIENT.fine_tuning.jobs
DEPLOYMENTS: Any = CognitiveServicesManagementClient(
    FixedToken(os.environ["AZURE_TOKEN"]), "sub-1", base_url=ADDRESS
).deployments


def create(**fields: Any) -> Any:
    body = {"model": BASE, "training_file": KEPT["file"], **fields}
    return JOBS.create(**body, extra_body={"trainingType": "GlobalStandard"})


def render_deployment(model: str, sku: str = "GlobalStandard") -> dict[str, Any]:
    described = {"format": "OpenAI", "name": model, "version": "1"}
    return {"sku": {"name": sku, "capacity": 1}, "properties": {"model": described}}


@attempt("files.create, retrieve, content")
def _() -> None:
    path = write_chats("train.jsonl")
    with path.open("rb") as file:
        KEPT["file"] = CLIENT.files.create(file=file, purpose="fine-tune").id
    assert CLIENT.files.retrieve(KEPT["file"]).filename == "train.jsonl"
    assert CLIENT.files.content(KEPT["file"]).read() == path.read_bytes()


@attempt("jobs.create with trainingType, a suffix, a seed and metadata")
def _() -> None:
    hyperparameters = {"n_epochs": "auto", "batch_size": "auto"}
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    job = create(method=method, suffix="colours", seed=7, metadata={"team": "search"})
    KEPT["job"] = job.id


@attempt("jobs.retrieve until succeeded, jobs.list, checkpoints.list")
def _() -> None:
    job = wait_until(
        lambda: JOBS.retrieve(KEPT["job"]), lambda job: job.status in ("succeeded", "failed")
    )
    assert job.status == "succeeded"
    KEPT["model"] = job.fine_tuned_model
    assert KEPT["job"] in [listed.id for listed in JOBS.list(limit=1)]
    assert JOBS.checkpoints.list(KEPT["job"]).data[0].step_number > 0


@attempt("jobs.create on preferences (dpo); cancel")
def _() -> None:
    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}
    assert JOBS.cancel(create(method=method).id).status == "cancelled"


@attempt("a token is refused by the SDK without TLS")
def _() -> None:
    refusal(Exception, lambda: list(DEPLOYMENTS.list(GROUP, ACCOUNT)))


@attempt("deployments.begin_create_or_update, get, list")
def _() -> None:
    deployment = render_deployment(KEPT["model"])
    poller = DEPLOYMENTS.begin_create_or_update(GROUP, ACCOUNT, "colours", deployment, **PLAIN_HTTP)
    assert poller.result().properties.provisioning_state == "Succeeded"
    made = DEPLOYMENTS.get(GROUP, ACCOUNT, "colours", enforce_https=False)
    assert (made.properties.model.name, made.sku.capacity) == (KEPT["model"], 1)
    names = [item.name for item in DEPLOYMENTS.list(GROUP, ACCOUNT, enforce_https=False)]
    assert "colours" in names


@attempt("chat.completions.create by the name of the deployment")
def _() -> None:
    messages = [{"role": "user", "content": "thing 1 is green"}]
    answer = CLIENT.chat.completions.create(model="colours", messages=messages)
    assert answer.choices[0].message.content == " 2"
    refusal(
        openai.NotFoundError,
        lambda: CLIENT.chat.completions.create(model=KEPT["model"], messages=messages),
    )


@attempt("deployments.begin_delete")
def _() -> None:
    DEPLOYMENTS.begin_delete(GROUP, ACCOUNT, "colours", **PLAIN_HTTP).result()
    refusal(
        ResourceNotFoundError,
        lambda: DEPLOYMENTS.get(GROUP, ACCOUNT, "colours", enforce_https=False),
    )


@attempt("refused: an unknown sku, an unknown file, a job without trainingType")
def _() -> None:
    refusal(
        HttpResponseError,
        lambda: DEPLOYMENTS.begin_create_or_update(
            GROUP, ACCOUNT, "other", render_deployment(KEPT["model"], "Fast"), **PLAIN_HTTP
        ),
    )
    refusal(openai.BadRequestError, lambda: create(training_file="file-none"))
    refusal(openai.BadRequestError, lambda: JOBS.create(model=BASE, training_file=KEPT["file"]))


@attempt("models.delete, files.delete")
def _() -> None:
    assert CLIENT.models.delete(KEPT["model"]).deleted
    assert CLIENT.files.delete(KEPT["file"]).deleted
