"""Every provider, with a real engine (`SITES`) or a stand-in for its server (`STAND_INS`).

The engine's two trainers are separate sites.
"""

import contextlib
import dataclasses
import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.engine.base_models import BaseModelStore
from ftops.engine.settings import EngineFolder
from ftops.errors import NotFound
from ftops.providers.engine_process import start_engine, stop_engine
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider, get_capabilities
from ftops.records import (
    READY,
    DeploymentRequest,
    Hyperparameters,
    Job,
    JobRequest,
    Method,
    ProviderSettings,
    RemoteFile,
)
from tests.contract.azure_server import AZURE_BASE, AZURE_ENVIRON, AzureServer
from tests.contract.crusoe_server import CRUSOE_BASE, CRUSOE_KEY, CRUSOE_PROJECT, CrusoeServer
from tests.contract.huggingface_server import HUB_BASE, HUB_KEY, HubServer
from tests.contract.kiln import KILN
from tests.contract.kiln_server import KILN_KEY, KilnServer
from tests.contract.nebius_server import NEBIUS_BASE, NEBIUS_KEY, NebiusServer
from tests.contract.openai_server import BASE_MODEL, KEY, OpenAIServer
from tests.contract.together_server import BASE as TOGETHER_BASE
from tests.contract.together_server import KEY as TOGETHER_KEY
from tests.contract.together_server import TogetherServer
from tests.contract.vertex_server import BUCKET, PROJECT, TOKEN, VERTEX_BASE, VertexServer
from tests.fakes import FakeClock

Site = Callable[[Path], Provider]


def local(home: Path) -> Provider:
    """The engine, started by the provider."""
    return build_provider(ProviderSettings("local"), ProviderContext({}, home, SystemClock()))


def openai(home: Path) -> Provider:
    """The provider `openai`, with the address and token of the engine."""
    address = start_engine(home / "engine")
    settings = ProviderSettings("openai", base_url=address.base_url, api_key_env="ENGINE_TOKEN")
    return build_provider(
        settings, ProviderContext({"ENGINE_TOKEN": address.token}, home, SystemClock())
    )


def local_legacy(home: Path) -> Provider:
    """The engine, with the legacy protocol."""
    settings = ProviderSettings("local", protocol="legacy")
    return build_provider(settings, ProviderContext({}, home, SystemClock()))


def openai_legacy(home: Path) -> Provider:
    """The provider `openai` with the legacy protocol, and the engine as its server."""
    address = start_engine(home / "engine")
    settings = ProviderSettings(
        "openai", base_url=address.base_url, api_key_env="ENGINE_TOKEN", protocol="legacy"
    )
    return build_provider(
        settings, ProviderContext({"ENGINE_TOKEN": address.token}, home, SystemClock())
    )


SITES: dict[tuple[str, str], Site] = {
    ("local", "current"): local,
    ("openai", "current"): openai,
    ("local", "legacy"): local_legacy,
    ("openai", "legacy"): openai_legacy,
}


def openai_stand_in(home: Path) -> Provider:
    """The provider `openai` with a stand-in for its server."""
    context = ProviderContext(
        {"OPENAI_API_KEY": KEY}, home, SystemClock(), http_client=OpenAIServer().connect()
    )
    return build_provider(ProviderSettings("openai"), context)


def kiln_stand_in(home: Path) -> Provider:
    """A provider with its own API and a stand-in for its server."""
    client = KilnServer().connect()
    context = ProviderContext({"KILN_KEY": KILN_KEY}, home, FakeClock(), http_client=client)
    return build_provider(ProviderSettings("kiln"), context, {"kiln": KILN})


def vertex_stand_in(home: Path) -> Provider:
    """The provider `vertex` with a stand-in for Google's servers."""
    client = VertexServer().connect()
    environ = {"GOOGLE_OAUTH_ACCESS_TOKEN": TOKEN}
    settings = ProviderSettings("vertex", project=PROJECT, bucket=BUCKET)
    context = ProviderContext(environ, home, FakeClock(), http_client=client)
    return build_provider(settings, context)


def together_stand_in(home: Path) -> Provider:
    """The provider `together` with a stand-in for its servers and its storage."""
    client = TogetherServer().connect()
    context = ProviderContext(
        {"TOGETHER_API_KEY": TOGETHER_KEY}, home, FakeClock(), http_client=client
    )
    return build_provider(ProviderSettings("together"), context)


def huggingface_stand_in(home: Path) -> Provider:
    """The provider `huggingface` with a stand-in for the Hub."""
    client = HubServer().connect()
    context = ProviderContext({"HF_TOKEN": HUB_KEY}, home, FakeClock(), http_client=client)
    return build_provider(ProviderSettings("huggingface"), context)


def nebius_stand_in(home: Path) -> Provider:
    """The provider `nebius` with a stand-in for its server."""
    context = ProviderContext(
        {"NEBIUS_API_KEY": NEBIUS_KEY}, home, FakeClock(), http_client=NebiusServer().connect()
    )
    return build_provider(ProviderSettings("nebius"), context)


def crusoe_stand_in(home: Path) -> Provider:
    """The provider `crusoe` with a stand-in for its servers."""
    environ = {"CRUSOE_API_KEY": CRUSOE_KEY, "CRUSOE_PROJECT_ID": CRUSOE_PROJECT}
    context = ProviderContext(environ, home, FakeClock(), http_client=CrusoeServer().connect())
    return build_provider(ProviderSettings("crusoe"), context)


def azure_stand_in(home: Path) -> Provider:
    """The provider `azure` with a stand-in for a resource and the management API."""
    context = ProviderContext(AZURE_ENVIRON, home, FakeClock(), http_client=AzureServer().connect())
    return build_provider(ProviderSettings("azure"), context)


def local_lora(home: Path) -> Provider:
    """The engine, whose jobs fine-tune a small random model with the trainer `lora`."""
    pytest.importorskip("peft")
    module = importlib.import_module("tests.engine.lora.random_model")
    store = BaseModelStore(EngineFolder(home / "engine").base_models)
    store.add(PRETRAINED, module.write_random_model)
    return local(home)


PRETRAINED = "small"
STAND_INS: dict[tuple[str, str], Site] = {
    ("openai", "stand-in"): openai_stand_in,
    ("kiln", "stand-in"): kiln_stand_in,
    ("vertex", "stand-in"): vertex_stand_in,
    ("together", "stand-in"): together_stand_in,
    ("huggingface", "stand-in"): huggingface_stand_in,
    ("nebius", "stand-in"): nebius_stand_in,
    ("crusoe", "stand-in"): crusoe_stand_in,
    ("azure", "stand-in"): azure_stand_in,
}
# Providers whose models are checkpoints, and in no list until they are deployed.
UNLISTED = frozenset({"nebius"})
# Base models of providers that list the models of the account alone.
PUBLIC_BASES = {"huggingface": HUB_BASE}
# Providers with one deployment for each model, which has no name of ours.
FOUND_BY_MODEL = frozenset({"crusoe"})
BASE_MODELS = (
    PRETRAINED,
    "ada",
    BASE_MODEL,
    "clay",
    VERTEX_BASE,
    TOGETHER_BASE,
    NEBIUS_BASE,
    CRUSOE_BASE,
    AZURE_BASE,
)
# Batch sizes and the most epochs that a provider accepts, where the tests would exceed them.
BOUNDS = {
    "together": ((1, 96), 20),
    "nebius": ((1, 32), 20),
    "crusoe": ((16, 1024), 50),
    "azure": ((1, 256), 50),
}
ALL_SITES: dict[tuple[str, str], Site] = {**SITES, **STAND_INS, ("local", "lora"): local_lora}
# Marks a test that every provider passes; the other tests need an engine.
every_site = pytest.mark.parametrize(
    "provider", sorted(ALL_SITES), ids="-".join, indirect=True, scope="session"
)


@pytest.fixture(scope="session", params=sorted(SITES), ids="-".join)
def provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Provider]:
    home = tmp_path_factory.mktemp(f"contract-{'-'.join(request.param)}")
    site_provider = ALL_SITES[request.param](home)
    yield site_provider
    site_provider.close()
    stop_engine(home / "engine")


@dataclass(frozen=True)
class Trained:
    """A succeeded job with its request."""

    file: RemoteFile
    request: JobRequest
    job: Job

    @property
    def model(self) -> str:
        assert self.job.fine_tuned_model is not None
        return self.job.fine_tuned_model


def write_rows(path: Path, count: int = 24) -> Path:
    """Write rows with two labels, in the prompt and completion format."""
    rows = [
        {
            "prompt": f"{number} is {'even' if number % 2 else 'odd'} ->",
            "completion": f" {number % 2}",
        }
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def upload(provider: Provider, path: Path, filename: str) -> RemoteFile:
    return provider.upload_file(path, filename=filename, on_bytes=lambda sent, total: None)


def speaks_legacy(provider: Provider) -> bool:
    return provider.capabilities == get_capabilities(
        ProviderSettings(provider.name, protocol="legacy")
    )


def adapt_request(request: JobRequest, provider: Provider) -> JobRequest:
    """The request without the fields that this provider refuses."""
    capabilities = provider.capabilities
    return dataclasses.replace(
        request,
        seed=request.seed if capabilities.seed else None,
        metadata=request.metadata if capabilities.metadata else {},
        hyperparameters=adapt_hyperparameters(request.hyperparameters, provider),
    )


def adapt_hyperparameters(hyperparameters: Hyperparameters, provider: Provider) -> Hyperparameters:
    """The hyperparameters within the bounds of this provider."""
    if "batch_size" not in provider.capabilities.hyperparameters:
        return dataclasses.replace(hyperparameters, batch_size="auto")
    if provider.name not in BOUNDS:
        return hyperparameters
    (least, most), most_epochs = BOUNDS[provider.name]
    size, epochs = hyperparameters.batch_size, hyperparameters.n_epochs
    return dataclasses.replace(
        hyperparameters,
        batch_size=size if size == "auto" else min(max(size, least), most),
        n_epochs=epochs if epochs == "auto" else min(epochs, most_epochs),
    )


def get_base_model(provider: Provider) -> str:
    """A base model of the provider."""
    if provider.name in PUBLIC_BASES:
        return PUBLIC_BASES[provider.name]
    names = {model.id for model in provider.list_models()}
    return next(model for model in BASE_MODELS if model in names)


def wait_for_end(provider: Provider, job: Job) -> Job:
    """Wait until the job has ended; fail after 100 seconds."""
    clock = SystemClock()
    end_s = clock.monotonic_s() + 100
    while not job.ended:
        assert clock.monotonic_s() < end_s, job
        clock.sleep(0.05)
        job = provider.get_job(job.id)
    return job


def wait_for_status(provider: Provider, job: Job, status: str) -> None:
    """Wait until the job has the status; fail if it ends before."""
    clock = SystemClock()
    end_s = clock.monotonic_s() + 60
    while (job := provider.get_job(job.id)).status != status:
        assert not job.ended, job
        assert clock.monotonic_s() < end_s, job
        clock.sleep(0.05)


def make_deployment_request(job: Job, name: str) -> DeploymentRequest:
    return DeploymentRequest(name, job, max_s=7200.0)


def wait_for_deletion(provider: Provider, deployment_id: str) -> None:
    """Wait until the provider has no such deployment; a deletion may take some time."""
    for _ in range(20):
        try:
            if provider.get_deployment(deployment_id).ended:
                return
        except NotFound:
            return
        provider.clock.sleep(0.01)
    raise AssertionError(f"{deployment_id} is still there")


@contextlib.contextmanager
def deployed(provider: Provider, job: Job) -> Iterator[str]:
    """The name of the job's model in requests, deployed for the block where that is required."""
    if provider.find_deployment_rule({}) is None:
        assert job.fine_tuned_model is not None
        yield job.fine_tuned_model
        return
    deployment = provider.create_deployment(make_deployment_request(job, "ftops-contract-9"))
    for _ in range(50):
        if deployment.status == READY:
            break
        provider.clock.sleep(0.01)
        deployment = provider.get_deployment(deployment.id)
    yield deployment.model
    provider.delete_deployment(deployment.id)
    wait_for_deletion(provider, deployment.id)


@pytest.fixture(scope="session")
def trained(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One succeeded job of each provider."""
    folder = tmp_path_factory.mktemp("rows")
    path = write_rows(folder / "train.jsonl")
    path = provider.write_training_file(path, folder / "written", Method.SUPERVISED)
    file = upload(provider, path, "contract-train.jsonl")
    request = JobRequest(
        model=get_base_model(provider),
        training_file=file.id,
        suffix="contract",
        hyperparameters=Hyperparameters(n_epochs=1, batch_size=4),
        seed=7,
        metadata={"ftops_run": "run-contract", "ftops_key": "key-contract", "team": "search"},
    )
    request = adapt_request(request, provider)
    return Trained(file, request, wait_for_end(provider, provider.create_job(request)))
