"""A user of a server with OpenAI's API: provider, data, runs, and faults of the server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from ftops.providers.provider import Provider, ProviderContext, find_no_deployment
from ftops.providers.registry import build_provider
from ftops.records import (
    READY,
    Deployment,
    DeploymentRequest,
    Hyperparameters,
    Job,
    JobRequest,
    ProviderSettings,
)
from tests.contract.conftest import upload, write_rows
from tests.contract.openai_like_server import OpenAILikeServer
from tests.fakes import FakeClock
from tests.runs.bench import Bench

Server = TypeVar("Server", bound=OpenAILikeServer)


@dataclass
class OpenAILikeSite(Generic[Server]):
    """A provider with a stand-in as its server; no time passes."""

    settings: ProviderSettings
    server: Server
    environ: Mapping[str, str]
    home: Path
    model: str
    clock: FakeClock = field(default_factory=FakeClock)
    find_deployed: Callable[[str, str], str | None] = find_no_deployment

    def __post_init__(self) -> None:
        self.server.clock = self.clock
        self.provider = self.connect()

    def connect(self, settings: ProviderSettings | None = None, **environ: str) -> Provider:
        context = ProviderContext(
            {**self.environ, **environ},
            self.home,
            self.clock,
            http_client=self.server.connect(),
            find_deployed=self.find_deployed,
        )
        return build_provider(settings or self.settings, context)

    def open_bench(self) -> Bench:
        """A ledger and runs with this provider."""
        bench = Bench(self.home, self.clock)

        self.find_deployed = bench.ledger.find_call_name
        bench.provider = self.connect()  # type: ignore[assignment]
        return bench

    def make_request(self, **fields: object) -> JobRequest:
        """A request for a job on an uploaded file."""
        file = upload(self.provider, write_rows(self.home / "train.jsonl"), "train.jsonl")
        request = JobRequest(self.model, file.id, hyperparameters=Hyperparameters(n_epochs=2))
        return replace(request, **fields)  # type: ignore[arg-type]

    def train(self, request: JobRequest | None = None) -> Job:
        """A job that has succeeded."""
        job = self.provider.create_job(request or self.make_request())
        while not job.ended or (job.status == "succeeded" and job.fine_tuned_model is None):
            job = self.provider.get_job(job.id)
        return job

    def deploy(self, request: DeploymentRequest) -> Deployment:
        """A deployment that is ready or has failed."""
        deployment = self.provider.create_deployment(request)
        while deployment.status != READY and not deployment.ended:
            self.clock.advance(5.0)
            deployment = self.provider.get_deployment(deployment.id)
        return deployment
