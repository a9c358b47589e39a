"""The provider `huggingface` with a stand-in for the Hub: whole runs, faults, special cases.

The library of the Hub drives the same stand-in, so that it answers what the library expects.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from ftops.errors import (
    DatasetError,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
    SpecError,
)
from ftops.http.request_log import RequestLog
from ftops.providers.huggingface import HuggingFaceProvider
from ftops.providers.huggingface_job import JobLog, estimate_timeout_s
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import PROVIDERS, build_provider, get_capabilities
from ftops.records import (
    Hyperparameters,
    JobRequest,
    Method,
    ProviderSettings,
    RunStatus,
    Sampling,
    Stage,
)
from ftops.spec.job_file import LoadedJob, check_provider, load_job
from tests.contract.huggingface_server import HUB_BASE, HUB_KEY, NAMESPACE, HubServer
from tests.contract.serving import serve
from tests.fakes import FakeClock
from tests.runs.bench import Bench

CREATE = rf"POST /api/jobs/{NAMESPACE}$"
SETTINGS = ProviderSettings("huggingface")
ENVIRON = {"HF_TOKEN": HUB_KEY}
FILE = f"hf://datasets/{NAMESPACE}/ftops-data/rows.jsonl"


@dataclass
class Site:
    """The provider and its server."""

    folder: Path
    server: HubServer = field(default_factory=HubServer)
    clock: FakeClock = field(default_factory=FakeClock)

    def connect(self) -> Provider:
        context = ProviderContext(
            ENVIRON, self.folder, self.clock, http_client=self.server.connect()
        )
        return build_provider(SETTINGS, context)

    def upload(self, provider: Provider, text: str = '{"prompt": "a", "completion": "b"}\n') -> str:
        path = self.folder / "rows.jsonl"
        path.write_text(text)
        file = provider.upload_file(path, filename="rows.jsonl", on_bytes=lambda *_: None)
        assert file.id == FILE
        return file.id

    def train(self, provider: Provider, **fields: Any) -> str:
        """Upload rows, create a job and return its id."""
        return provider.create_job(JobRequest(HUB_BASE, self.upload(provider), **fields)).id

    def get_arguments(self) -> dict[str, str]:
        """The arguments of `trl` in the only job."""
        (body,) = self.server.bodies
        pairs = body["command"][5:]
        return dict(zip(pairs[::2], pairs[1::2], strict=True))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def bench(site: Site) -> Iterator[Bench]:
    bench = Bench(site.folder, site.clock)
    bench.provider = site.connect()  # type: ignore[assignment]
    yield bench
    bench.ledger.close()


def write_job(bench: Bench, **fields: Any) -> LoadedJob:
    return bench.write_job(provider="huggingface", model=HUB_BASE, **fields)


def test_a_job_file_completes_a_run(site: Site, bench: Bench) -> None:
    job = write_job(
        bench,
        suffix="numbers",
        seed=7,
        hyperparameters={"n_epochs": 2, "batch_size": 4, "learning_rate": 0.0002},
    )
    check_provider(job, get_capabilities(SETTINGS))
    run = bench.run(job)
    assert run.status is RunStatus.SUCCEEDED
    ((job_id, made),) = site.server.jobs.items()
    assert (run.job_id, run.fine_tuned_model) == (job_id, f"{NAMESPACE}/numbers-{run.id}")
    assert made["labels"]["ftops_run"] == run.id
    assert made["labels"]["ftops_key"] == run.key[:32] or made["labels"]["ftops_key"] == run.key
    arguments = site.get_arguments()
    assert arguments["--num_train_epochs"] == "2"
    assert arguments["--per_device_train_batch_size"] == "4"
    assert arguments["--learning_rate"] == "0.0002"
    assert (arguments["--seed"], arguments["--use_peft"]) == ("7", "true")
    assert (arguments["--hub_private_repo"], arguments["--eval_strategy"]) == ("true", "epoch")
    assert all(repository.is_private for repository in site.server.repositories.values())
    table = bench.provider.read_training_metrics(bench.provider.get_job(job_id))
    assert table is not None
    assert table.decode().splitlines() == [
        "step,train_loss,valid_loss,grad_norm,learning_rate",
        "1,2.5,,1.2,2e-05",
        "2,1.5,1.75,0.9,1e-05",
    ]
    messages = [event.message for event in bench.ledger.list_events(run.id)]
    assert messages[:2] == ["Loading weights", "Step 1: train_loss 2.5"]
    assert bench.ledger.get_stage(run.id, Stage.EVALUATE).status == "skipped"


def test_preferences_are_written_for_trl(site: Site, bench: Bench) -> None:
    job = write_job(bench, method="dpo", validation_file=None, hyperparameters={"beta": 0.1})
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"{number} + 1 ="}]},
            "preferred_output": [{"role": "assistant", "content": str(number + 1)}],
            "non_preferred_output": [{"role": "assistant", "content": "?"}],
        }
        for number in range(12)
    ]
    (bench.folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert site.server.bodies[0]["command"][4] == "dpo"
    assert site.get_arguments()["--beta"] == "0.1"
    data = site.server.repositories["dataset", f"{NAMESPACE}/ftops-data"]
    ((content, _),) = data.files.values()
    assert json.loads(content.splitlines()[0]) == {
        "prompt": [{"role": "user", "content": "0 + 1 ="}],
        "chosen": [{"role": "assistant", "content": "1"}],
        "rejected": [{"role": "assistant", "content": "?"}],
    }


def test_a_message_without_weight_is_refused(site: Site) -> None:
    path = site.folder / "rows.jsonl"
    answer = {"role": "assistant", "content": "b", "weight": 0}
    path.write_text(json.dumps({"messages": [answer]}) + "\n")
    with pytest.raises(DatasetError, match=r"1 row \(the first: 1\)"):
        site.connect().write_training_file(path, site.folder / "into", Method.SUPERVISED)


def test_a_section_of_the_job_file_is_sent(site: Site, bench: Bench) -> None:
    path = write_job(bench).path
    document = json.loads(path.read_text())
    document["huggingface"] = {
        "flavor": "a100-large",
        "timeout": "1h30m",
        "image": "acme/trl:1",
        "lora_r": 8,
        "assistant_only_loss": True,
    }
    path.write_text(json.dumps(document))
    bench.run(load_job(path, environ={}, providers=PROVIDERS))
    (body,) = site.server.bodies
    assert (body["flavor"], body["timeoutSeconds"]) == ("a100-large", 5400)
    assert body["dockerImage"] == "acme/trl:1"
    arguments = site.get_arguments()
    assert (arguments["--lora_r"], arguments["--assistant_only_loss"]) == ("8", "true")
    document["huggingface"] = {"lora": False, "lora_r": 8}
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="lora_r is for adapters"):
        load_job(path, environ={}, providers=PROVIDERS)


def test_a_timeout_is_always_sent_and_grows_with_the_rows() -> None:
    request = JobRequest(HUB_BASE, FILE, hyperparameters=Hyperparameters(n_epochs=2))
    assert estimate_timeout_s(request, 0) == 1800
    assert estimate_timeout_s(request, 4_000_000) == 1800 + 2 * 10_000 + 40  # whole minutes
    assert estimate_timeout_s(request, 10**12) == 7 * 86_400
    named = replace(request, sections={"huggingface": {"timeout": "90m"}})
    assert estimate_timeout_s(named, 10**12) == 5400


def test_the_estimate_is_the_price_of_the_machine_until_the_timeout(site: Site) -> None:
    provider = site.connect()
    request = JobRequest(
        HUB_BASE, site.upload(provider), sections={"huggingface": {"timeout": "2h"}}
    )
    assert provider.estimate_cost(request) == pytest.approx(0.006667 * 120)


def test_an_unknown_machine_is_refused_before_the_job_is_sent(site: Site) -> None:
    provider = site.connect()
    with pytest.raises(Rejected, match="no flavor 't4-smal'") as caught:
        site.train(provider, sections={"huggingface": {"flavor": "t4-smal"}})
    assert "t4-small" in caught.value.hint
    assert site.server.bodies == []


@pytest.mark.parametrize("status", [None, 503])
def test_a_lost_answer_leaves_one_job(site: Site, bench: Bench, status: int | None) -> None:
    site.server.fail(CREATE, status, has_effect=True)
    site.server.listing_lag = 2
    run = bench.run(write_job(bench))
    assert run.status is RunStatus.SUCCEEDED
    assert list(site.server.jobs) == [run.job_id]
    assert site.server.count(CREATE) == 1


def test_a_second_job_of_a_run_has_a_label_and_a_repository_of_its_own(
    site: Site, bench: Bench
) -> None:
    job = write_job(bench)
    site.server.stages = ("SCHEDULING", "ERROR")
    with pytest.raises(RunError, match="ERROR"):
        bench.run(job)
    site.server.stages = ("SCHEDULING", "COMPLETED")
    site.server.fail(CREATE, None, has_effect=True)
    run = bench.run(job, retry=True)
    assert run.job_id is not None
    assert bench.provider.get_job(run.job_id).metadata["ftops_run"] == f"{run.id}.2"
    names = {body["labels"]["name"] for body in site.server.bodies}
    assert len(site.server.jobs) == len(names) == 2


def test_a_malformed_job_in_the_list_hides_no_other(site: Site) -> None:
    site.server.odd_jobs = [{"labels": {"ftops_run": "run-a"}}, {"id": 7}, {"status": None}]
    provider = site.connect()
    job_id = site.train(provider, metadata={"ftops_run": "run-a"})
    found = provider.find_job(JobRequest(HUB_BASE, FILE, metadata={"ftops_run": "run-a"}))
    assert found is not None
    assert found.id == job_id


def test_an_unknown_stage_is_followed_until_the_job_ends(site: Site, bench: Bench) -> None:
    site.server.stages = ("SCHEDULING", "MIGRATING", "RUNNING", "COMPLETED")
    assert bench.run(write_job(bench)).status is RunStatus.SUCCEEDED
    assert "job migrating" in bench.recorder.steps


@pytest.mark.parametrize("message", [None, "Job failed with exit code: 1"])
def test_a_failed_job_has_the_last_line_of_its_log(
    site: Site, bench: Bench, message: str | None
) -> None:
    site.server.stages = ("RUNNING", "ERROR")
    site.server.message = message
    site.server.log = ("{'loss': '2.5'}", "Traceback", "ValueError: no chat template")
    with pytest.raises(RunError, match="ValueError: no chat template") as caught:
        bench.run(write_job(bench))
    assert (message or "") in caught.value.message


def test_a_completed_job_without_a_model_has_failed(site: Site, bench: Bench) -> None:
    site.server.pushes = False
    with pytest.raises(RunError, match=r"the job completed, and acme/.* has no model"):
        bench.run(write_job(bench))


def test_a_model_that_appears_late_is_awaited(site: Site, bench: Bench) -> None:
    site.server.late = 2
    run = bench.run(write_job(bench))
    assert run.fine_tuned_model is not None
    assert "job storing" in bench.recorder.steps


def test_a_job_that_is_gone_ends_no_run(site: Site, bench: Bench) -> None:
    job = write_job(bench)
    for _ in range(2_000):  # for longer than a command asks
        site.server.fail(rf"GET /api/jobs/{NAMESPACE}/\w+$", 404)
    with pytest.raises(NotFound, match="was not seen to end"):
        bench.run(job)
    site.server.recover()
    run = bench.run(job)
    assert (run.status, list(site.server.jobs)) == (RunStatus.SUCCEEDED, [run.job_id])


def test_a_lack_of_credit_has_the_next_step(site: Site) -> None:
    site.server.has_credit = False
    with pytest.raises(PermissionRefused, match="create the job: Pre-paid credit") as caught:
        site.train(site.connect())
    assert not caught.value.is_refusal  # the next command looks for the job
    assert "settings/billing" in caught.value.hint
    assert site.server.count(CREATE) == 1


def test_rows_are_never_sent_to_a_public_repository(site: Site) -> None:
    provider = site.connect()
    site.upload(provider)
    site.server.repositories["dataset", f"{NAMESPACE}/ftops-data"].is_private = False
    commits = site.server.count("/commit/")
    with pytest.raises(Rejected, match="is public; nothing was sent"):
        site.upload(provider, "{}\n")
    assert site.server.count("/commit/") == commits


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of the library
def test_a_large_file_goes_to_the_storage_without_the_key(site: Site) -> None:
    site.server.large_from = 1
    provider = site.connect()
    text = '{"prompt": "a", "completion": "b"}\n' * 50
    file_id = site.upload(provider, text)  # the storage refuses a request with a key
    assert site.server.count(r"PUT /[0-9a-f]{64}$") == 1
    assert provider.read_file(file_id) == text.encode()


def test_weights_are_the_files_of_the_repository_without_its_checkpoints(site: Site) -> None:
    provider = site.connect()
    job_id = site.train(provider, suffix="numbers")
    while not (job := provider.get_job(job_id)).ended:
        pass
    folder = site.folder / "weights"
    files = provider.download_weights(job, folder)
    names = {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    assert {path.name for path in files} == {path.name for path in folder.iterdir()} == names
    weights = (folder / "adapter_model.safetensors").read_bytes()
    assert weights == f"weights of {job.fine_tuned_model}".encode()
    with pytest.raises(Rejected, match="does not serve"):
        provider.complete(job.fine_tuned_model or "", ["a"], Sampling())


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of the library
def test_a_refusal_of_the_storage_is_an_error_of_the_provider(site: Site) -> None:
    site.server.large_from = 1
    site.server.has_storage = False
    with pytest.raises(Rejected, match=r"upload rows\.jsonl: full"):
        site.upload(site.connect())


def test_a_model_of_another_owner_is_not_deleted(site: Site) -> None:
    provider = site.connect()
    with pytest.raises(NotFound):
        provider.delete_model(HUB_BASE)
    assert site.server.count("DELETE") == 0


def test_every_request_is_in_the_log_and_the_key_is_not(tmp_path: Path) -> None:
    server, clock = HubServer(), FakeClock()
    log = RequestLog(tmp_path / "requests.jsonl", clock, on_note=lambda _text: None)
    with serve(server) as address:
        settings = ProviderSettings("huggingface", base_url=address, api_key_env="HF_TOKEN")
        context = ProviderContext(ENVIRON, tmp_path, clock, request_log=log, typed=settings)
        provider = build_provider(settings, context)
        path = tmp_path / "rows.jsonl"
        path.write_text("{}\n")
        provider.upload_file(path, filename="rows.jsonl", on_bytes=lambda *_: None)
        provider.close()
    text = (tmp_path / "requests.jsonl").read_text()
    logged = [json.loads(line) for line in text.splitlines()]
    assert [f"{entry['method']} {entry['path']}" for entry in logged] == server.requests
    assert HUB_KEY not in text


def test_without_its_library_the_provider_names_the_command_that_installs_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ProviderError, match="needs huggingface_hub") as caught:
        site.connect()
    assert "pip install 'ftops[huggingface]'" in caught.value.hint


def test_metrics_are_read_from_json_and_from_the_dicts_of_trl() -> None:
    lines = [
        '{"loss": 2.0, "epoch": 0.5}',
        "{'loss': nan, 'epoch': 1.0}",
        "{'loss': '1e-3'}",
        "{not a dict",
        "{'eval_loss': 0.5, 'eval_samples_per_second': 3.0}",
        "[" * 5000,
    ]
    at = "2026-11-30T12:00:00.123Z"
    stream = [f"data: {json.dumps({'data': line, 'timestamp': at})}" for line in lines]
    log = JobLog.read([": keep-alive", *stream, "data: {truncated"])
    assert log.steps == {1: {"train_loss": 2.0}, 2: {"train_loss": 0.001, "valid_loss": 0.5}}
    assert len({event.id for event in log.events}) == len(lines)
    assert log.last_text == "[" * 5000


def test_the_library_of_the_hub_drives_the_stand_in() -> None:
    server = HubServer()
    with serve(server) as address:
        hub = HfApi(endpoint=address, token=HUB_KEY)
        machines = {machine.name: machine.unit_cost_usd for machine in hub.list_jobs_hardware()}
        assert machines["t4-small"] == 0.006667
        made = hub.run_job(
            image="huggingface/trl",
            command=["trl", "env"],
            flavor="t4-small",
            timeout="1h",
            labels={"ftops_run": "run-a"},
            namespace=NAMESPACE,
        )
        listed = list(hub.list_jobs(namespace=NAMESPACE, labels={"ftops_run": "run-a"}))
        assert [job.id for job in listed] == [made.id]
        assert list(hub.list_jobs(namespace=NAMESPACE, labels={"ftops_run": "run-b"})) == []
        lines = list(hub.fetch_job_logs(job_id=made.id, namespace=NAMESPACE))
        assert lines == list(server.log[1:])
        hub.cancel_job(job_id=made.id, namespace=NAMESPACE)
        cancelled = hub.inspect_job(job_id=made.id, namespace=NAMESPACE)
        assert cancelled.status.stage == "CANCELED"


def test_the_request_of_the_provider_is_that_of_the_library(site: Site) -> None:
    provider = site.connect()
    assert isinstance(provider, HuggingFaceProvider)
    site.train(provider, metadata={"ftops_run": "run-a"})
    (ours,) = site.server.bodies
    with serve(site.server) as address:
        HfApi(endpoint=address, token=HUB_KEY).run_job(
            image=ours["dockerImage"],
            command=ours["command"],
            env=ours["environment"],
            secrets=ours["secrets"],
            flavor=ours["flavor"],
            timeout=ours["timeoutSeconds"],
            labels=ours["labels"],
            namespace=NAMESPACE,
        )
    assert {**site.server.bodies[1], "volumes": ours["volumes"]} == ours
