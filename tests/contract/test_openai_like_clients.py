"""The stand-ins answer other clients, too: OpenAI's SDK, used as the providers' examples use it."""

import io
import json
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.contract.azure_server import ACCOUNT, AZURE_BASE, AZURE_KEY, AZURE_TOKEN, AzureServer
from tests.contract.crusoe_server import CRUSOE_BASE, CRUSOE_KEY, FOUNDRY, CrusoeServer
from tests.contract.nebius_server import NEBIUS_BASE, NEBIUS_KEY, SERVED_BASE, NebiusServer
from tests.contract.openai_like_server import OpenAILikeServer
from tests.contract.serving import serve

ROW = {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]}
ROWS = (json.dumps(ROW) + "\n").encode() * 12


def connect(address: str, server: OpenAILikeServer) -> openai.OpenAI:
    """The client that the examples create."""
    return openai.OpenAI(api_key=server.KEY, base_url=f"{address}{server.BASE_PATH}", max_retries=0)


def train(client: openai.OpenAI, **fields: Any) -> Any:
    """Upload rows, create a job and poll it until it has ended and its model has a name."""
    file = client.files.create(file=("rows.jsonl", io.BytesIO(ROWS)), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(training_file=file.id, suffix="sdk", **fields)
    for _ in range(6):
        job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status == "succeeded"
    return job


def ask(client: openai.OpenAI, model: str) -> str | None:
    chat: Any = [{"role": "user", "content": "1"}]
    return client.chat.completions.create(model=model, messages=chat).choices[0].message.content


def test_the_steps_of_the_cookbook_of_nebius() -> None:
    server = NebiusServer()
    with serve(server) as address:
        client = connect(address, server)
        job = train(
            client,
            model=NEBIUS_BASE,
            hyperparameters={"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 2e-5},
        )
        assert job.hyperparameters.model_extra["learning_rate"] == 2e-5
        assert job.hyperparameters.learning_rate_multiplier is None
        checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
        assert [item.metrics.train_loss for item in checkpoints] == [3.0, 2.5]
        names = [
            client.files.retrieve(file_id).filename.split("/")[1]
            for file_id in checkpoints[-1].model_extra["result_files"]  # type: ignore[index]
        ]
        assert names == ["adapter_config.json", "adapter_model.safetensors"]
        headers = {"Authorization": f"Bearer {NEBIUS_KEY}"}
        source = f"{job.id}:{checkpoints[-1].id}"
        body = {"name": "sdk", "base_model": SERVED_BASE, "source": source}
        made = httpx2.post(f"{address}/v0/models", json=body, headers=headers).json()
        for _ in range(2):
            state = httpx2.get(f"{address}/v0/models/{made['name']}", headers=headers).json()
        assert state["status"] == "active"
        assert ask(client, made["name"]) == " 2"


def test_the_steps_of_the_example_of_crusoe(tmp_path: Path) -> None:
    server = CrusoeServer()
    with serve(server) as address:
        client = connect(address, server)
        models: list[Any] = list(client.models.list())
        model = next(item.id for item in models if item.model_name == CRUSOE_BASE)
        method = {"type": "supervised", "supervised": {"hyperparameters": {"lora_rank": 16}}}
        job = train(client, model=model, method=method)
        checkpoints: list[Any] = client.fine_tuning.jobs.checkpoints.list(job.id).data
        assert all(item.fine_tuned_model_id.startswith("ftmodel-") for item in checkpoints)
        headers = {"Authorization": f"Bearer {CRUSOE_KEY}"}
        archive = httpx2.get(
            f"{address}/v1/models/{job.fine_tuned_model}/download", headers=headers
        ).content
        assert archive.startswith(b"PK")
        url = f"{address}/v1{FOUNDRY}/loras"
        made = httpx2.post(url, json={"model_id": job.fine_tuned_model}, headers=headers)
        assert made.status_code == 202
        for _ in range(3):
            state = httpx2.get(f"{url}/{made.json()['id']}", headers=headers).json()
        assert state["status"] == "ready"
        assert ask(client, job.fine_tuned_model) == " 2"


def test_the_steps_of_the_guide_of_azure() -> None:
    server = AzureServer()
    with serve(server) as address:
        client = connect(address, server)
        with pytest.raises(openai.BadRequestError, match="does not support fine-tuning"):
            train(client, model=AZURE_BASE)
        job = train(client, model=AZURE_BASE, extra_body={"trainingType": "GlobalStandard"})
        model = {"format": "OpenAI", "name": job.fine_tuned_model, "version": "1"}
        body = {"sku": {"name": "Standard", "capacity": 1}, "properties": {"model": model}}
        url = f"{address}{ACCOUNT}/deployments/sdk?api-version=2024-10-21"
        refused = httpx2.put(url, json=body, headers={"Authorization": f"Bearer {AZURE_KEY}"})
        assert refused.status_code == 401  # the key is not for the management API
        headers = {"Authorization": f"Bearer {AZURE_TOKEN}"}
        assert httpx2.put(url, json=body, headers=headers).status_code == 201
        state = httpx2.get(url, headers=headers).json()
        assert state["properties"]["provisioningState"] == "Succeeded"
        assert ask(client, "sdk") == " 2"
