"""Together: what its own API has that no other provider has, against a stand-in for its servers."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from ftops.errors import (
    AuthFailed,
    DatasetError,
    InvalidResponse,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
    SpecError,
    Unavailable,
)
from ftops.http.request_log import RequestLog
from ftops.providers.provider import Provider, ProviderContext, find_no_deployment
from ftops.providers.registry import PROVIDERS, build_provider, get_capabilities
from ftops.records import (
    Chat,
    DeploymentRequest,
    Hyperparameters,
    Job,
    JobRequest,
    Message,
    Method,
    ProviderSettings,
    RemoteFile,
    RunStatus,
    Sampling,
    Stage,
)
from ftops.reports.results import parse_results
from ftops.spec.job_file import LoadedJob, check_provider, load_job
from tests.contract.serving import serve
from tests.contract.together_server import BASE, KEY, OTHER_BASE, WEIGHTS, TogetherServer
from tests.fakes import FakeClock
from tests.runs.bench import Bench, write_job

SETTINGS = ProviderSettings("together")
CREATE = "POST /v1/fine-tunes"
MARK = "1a2b3c4d"
CHAT = Chat((Message("user", "1 is even ->"),))
ROW = {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]}


@dataclass
class Site:
    """The provider and its stand-in server."""

    folder: Path
    server: TogetherServer = field(default_factory=TogetherServer)
    clock: FakeClock = field(default_factory=FakeClock)
    find_deployed: Callable[[str, str], str | None] = find_no_deployment

    def connect(self, key: str = KEY, settings: ProviderSettings = SETTINGS) -> Provider:
        client = self.server.connect()
        context = ProviderContext(
            {"TOGETHER_API_KEY": key},
            self.folder,
            self.clock,
            http_client=client,
            find_deployed=self.find_deployed,
        )
        return build_provider(settings, context)

    def upload(self, name: str = "train.jsonl", rows: int = 3) -> RemoteFile:
        path = self.folder / name
        path.write_text(json.dumps(ROW | {"n": name}) + "\n" + f"{json.dumps(ROW)}\n" * (rows - 1))
        return self.connect().upload_file(path, filename=name, on_bytes=lambda *_bytes: None)

    def request(self, **fields: object) -> JobRequest:
        request = JobRequest(BASE, self.upload().id, suffix="faq", mark=MARK)
        return dataclasses.replace(request, **fields)  # type: ignore[arg-type]

    def train(self, **fields: object) -> Job:
        """A succeeded job."""
        provider = self.connect()
        job = provider.create_job(self.request(**fields))
        for _ in self.server.statuses:
            job = provider.get_job(job.id)
        assert job.status == "succeeded"
        return job


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def bench(site: Site) -> Iterator[Bench]:
    bench = Bench(site.folder, site.clock)

    site.find_deployed = bench.ledger.find_call_name
    bench.provider = site.connect()  # type: ignore[assignment]
    yield bench
    bench.ledger.close()


def load_together(bench: Bench, text: str = "", **fields: object) -> LoadedJob:
    """Load a job file of Together that ends with `text`."""
    values = {"provider": "together", "model": BASE, "validation_file": None, **fields}
    job = bench.write_job(**values)
    job.path.write_text(json.dumps(json.loads(job.path.read_text()))[:-1] + text + "}")
    return load_job(job.path, environ={}, providers=PROVIDERS)


# Files


def test_the_content_goes_to_the_storage_without_the_key(site: Site) -> None:
    file = site.upload()
    assert (file.filename, file.status, file.purpose) == ("train.jsonl", "processed", "fine-tune")
    assert site.server.contents[file.id] == (site.folder / "train.jsonl").read_bytes()
    assert [call for call in site.server.requests if "GET" not in call] == [
        "POST /v1/files",
        f"PUT /bucket/{file.id}",
        f"POST /v1/files/{file.id}/preprocess",
    ]


def test_over_the_network_neither_key_nor_signature_is_logged(site: Site) -> None:
    log = RequestLog(site.folder / "requests.jsonl", site.clock, on_note=pytest.fail)
    with serve(site.server) as address:
        site.server.storage = f"{address}/storage"
        settings = ProviderSettings("together", base_url=f"{address}/v1", api_key_env="MY_KEY")
        context = ProviderContext({"MY_KEY": KEY}, site.folder, site.clock, request_log=log)
        provider = build_provider(settings, context)
        path = site.folder / "train.jsonl"
        path.write_text(f"{json.dumps(ROW)}\n" * 3)
        file = provider.upload_file(path, filename="train.jsonl", on_bytes=lambda *_bytes: None)
        job = provider.create_job(JobRequest(BASE, file.id))
        for _ in site.server.statuses:
            job = provider.get_job(job.id)
        deployment = provider.create_deployment(deployment_of(job))
        provider.get_deployment(deployment.id)
        assert provider.complete(deployment.model, [CHAT], Sampling())[0].text == " 2"
        (weights,) = provider.download_weights(job, site.folder / "weights")
        provider.close()
    assert weights.read_bytes() == WEIGHTS
    text = (site.folder / "requests.jsonl").read_text()
    assert f'"path":"/storage/bucket/{file.id}"' in text
    assert KEY not in text
    assert "X-Amz" not in text


def test_a_content_that_is_there_already_is_not_sent_again(site: Site) -> None:
    first, again = site.upload(), site.upload()
    assert first.id == again.id
    assert site.server.requests.count(f"PUT /bucket/{first.id}") == 1


def test_an_upload_reports_its_bytes_once_although_a_request_is_repeated(site: Site) -> None:
    path = site.folder / "large.jsonl"
    path.write_bytes(b"x" * 3_000_000)
    site.server.faults["POST /v1/files"] = ["503"]
    progress: list[int] = []
    provider = site.connect()
    file = provider.upload_file(
        path, filename="large.jsonl", on_bytes=lambda sent, _size: progress.append(sent)
    )
    assert (progress[0], progress[-1]) == (0, 3_000_000)
    assert progress == sorted(progress)
    assert file.bytes == 3_000_000


def test_a_file_above_the_limit_of_one_request_is_refused(site: Site) -> None:
    path = site.folder / "huge.jsonl"
    with path.open("wb") as stream:
        stream.truncate((5 << 30) + 1)  # takes no space
    with pytest.raises(DatasetError, match="at most 5,368,709,120; nothing was sent"):
        site.connect().upload_file(path, filename="huge.jsonl", on_bytes=lambda *_bytes: None)
    assert site.server.requests == []


@pytest.mark.parametrize(
    "location", ["http://storage.example/x", "ftp://storage.example/x", "https:///x", "/x", ""]
)
def test_the_content_goes_to_no_unsafe_address(site: Site, location: str) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        headers = {"Location": location, "X-Together-File-Id": "file-1"}
        return httpx2.Response(302, headers=headers)

    sent: list[httpx2.Request] = []
    client = httpx2.Client(transport=httpx2.MockTransport(handle))
    context = ProviderContext({"TOGETHER_API_KEY": KEY}, site.folder, site.clock, client)
    provider = build_provider(SETTINGS, context)
    path = site.folder / "train.jsonl"
    path.write_text("{}\n")
    with pytest.raises(InvalidResponse, match="no safe address"):
        provider.upload_file(path, filename="train.jsonl", on_bytes=lambda *_bytes: None)
    assert len(sent) == 1


def test_refused_rows_are_an_error_with_the_line(site: Site) -> None:
    site.server.checks = ("QUEUED", "INVALID_FORMAT")
    with pytest.raises(Rejected, match=r"train\.jsonl .* was not accepted: line 2: no messages"):
        site.upload()


def test_a_check_that_never_ends_is_no_success(site: Site) -> None:
    site.server.checks = ("QUEUED", "THINKING")
    with pytest.raises(Unavailable, match="is still thinking"):
        site.upload()


def test_an_upload_that_stopped_before_its_last_step_is_finished(site: Site) -> None:
    file = site.upload()
    site.server.files[file.id]["processing_status"] = "PENDING"
    found = site.connect().find_file("train.jsonl", file.bytes)
    assert found is not None
    assert (found.id, found.status) == (file.id, "processed")


def test_a_job_is_created_only_once_its_files_are_checked(site: Site) -> None:
    request = site.request()
    site.server.files[request.training_file]["processing_status"] = "QUEUED"
    assert site.connect().create_job(request).status == "pending"


# The request of a job


def test_a_request_has_the_fields_of_together(site: Site) -> None:
    validation = site.upload("validation.jsonl")
    options = {
        "lora_r": 16,
        "lora_dropout": 0.1,
        "lora_trainable_modules": "q_proj,v_proj",
        "lr_scheduler": "cosine",
        "min_lr_ratio": 0.1,
        "warmup_ratio": 0.05,
        "weight_decay": 0.01,
        "max_grad_norm": 2.0,
        "packing": False,
        "max_seq_length": 4096,
        "n_checkpoints": 2,
        "train_on_inputs": True,
    }
    request = site.request(
        validation_file=validation.id,
        hyperparameters=Hyperparameters(n_epochs=3, batch_size=16, learning_rate=1e-4),
        seed=7,
        sections={"together": options},
    )
    job = site.connect().create_job(request)
    (body,) = site.server.jobs.values()
    assert body["suffix"] == f"faq-{MARK}"
    assert body["random_seed"] == 7
    assert (body["n_epochs"], body["n_evals"], body["learning_rate"]) == (3, 3, 1e-4)
    assert body["training_method"] == {"method": "sft", "train_on_inputs": True}
    assert body["lr_scheduler"] == {
        "lr_scheduler_type": "cosine",
        "lr_scheduler_args": {"min_lr_ratio": 0.1},
    }
    assert body["training_type"] == {
        "type": "Lora",
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.1,
        "lora_trainable_modules": "q_proj,v_proj",
    }
    assert (job.seed, job.hyperparameters["batch_size"]) == (7, 16)


def test_what_is_not_set_is_left_to_the_service(site: Site) -> None:
    bodies: list[dict[str, object]] = []
    handle = site.server.handle

    def record(request: httpx2.Request) -> httpx2.Response:
        if f"{request.method} {request.url.path}" == CREATE:
            bodies.append(json.loads(request.read()))
        return handle(request)

    request = site.request(suffix=None)
    client = httpx2.Client(transport=httpx2.MockTransport(record))
    context = ProviderContext({"TOGETHER_API_KEY": KEY}, site.folder, site.clock, client)
    build_provider(SETTINGS, context).create_job(request)
    assert bodies == [
        {
            "training_file": request.training_file,
            "model": BASE,
            "batch_size": "max",
            "suffix": MARK,
            "training_method": {"method": "sft", "train_on_inputs": "auto"},
        }
    ]


def test_the_default_rank_of_the_model_completes_other_options_of_adapters(site: Site) -> None:
    site.connect().create_job(site.request(sections={"together": {"lora_dropout": 0.2}}))
    (body,) = site.server.jobs.values()
    assert body["training_type"]["lora_r"] == 8
    assert body["training_type"]["lora_alpha"] == 16


def test_dpo_has_the_preference_options(site: Site) -> None:
    request = site.request(
        method=Method.DPO,
        hyperparameters=Hyperparameters(beta=0.2),
        sections={"together": {"rpo_alpha": 0.5, "lora": False}},
    )
    site.connect().create_job(request)
    (body,) = site.server.jobs.values()
    assert body["training_method"] == {"method": "dpo", "dpo_beta": 0.2, "rpo_alpha": 0.5}
    assert body["training_type"] == {"type": "Full"}


def test_early_stopping_gets_as_many_evaluations_as_it_needs(site: Site) -> None:
    validation = site.upload("validation.jsonl")
    request = site.request(
        validation_file=validation.id,
        hyperparameters=Hyperparameters(
            n_epochs=2, early_stopping={"metric": "valid_loss", "patience": 3}
        ),
        sections={"together": {"early_stopping_min_delta": 0.01}},
    )
    site.connect().create_job(request)
    (body,) = site.server.jobs.values()
    assert (body["n_evals"], body["early_stopping_patience"]) == (5, 3)
    assert body["early_stopping_min_delta"] == 0.01


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"hyperparameters": Hyperparameters(n_epochs=21, learning_rate=0.1)},
            "n_epochs is 21, at most 20 is allowed; learning_rate is 0.1, at most 0.01 is allowed",
        ),
        ({"hyperparameters": Hyperparameters(batch_size=97)}, "batch_size is 97, at most 96"),
        (
            {"hyperparameters": Hyperparameters(batch_size=49), "method": Method.DPO},
            "batch_size is 49, at most 48",
        ),
        ({"sections": {"together": {"lora_r": 65}}}, "lora_r is 65, at most 64"),
        ({"sections": {"together": {"max_seq_length": 8}}}, "at least 256 is allowed"),
        (
            {"sections": {"together": {"lora_trainable_modules": "q_proj,head"}}},
            "lora_trainable_modules has head, and the model has k_proj, q_proj",
        ),
        ({"sections": {"together": {"n_evals": 3}}}, "n_evals needs a validation_file"),
        ({"sections": {"together": {"rpo_alpha": 0.5}}}, "rpo_alpha is for the method dpo"),
        ({"sections": {"together": {"n_checkpoints": 2}}}, "one for each of the 1 epochs"),
        (
            {"sections": {"together": {"early_stopping_warmup_evals": 2}}},
            "early_stopping_warmup_evals needs hyperparameters.early_stopping",
        ),
        (
            {"hyperparameters": Hyperparameters(early_stopping={"patience": 2})},
            "early_stopping needs a validation_file",
        ),
        (
            {"hyperparameters": Hyperparameters(learning_rate_multiplier=2.0)},
            "takes no hyperparameter 'learning_rate_multiplier'",
        ),
        ({"suffix": "s" * 32}, "has 41 characters; Together allows 40"),
        ({"metadata": {"team": "search"}}, "stores no metadata"),
    ],
)
def test_what_the_service_would_refuse_or_ignore_is_refused_before_it_is_sent(
    site: Site, fields: dict[str, object], message: str
) -> None:
    request = site.request(**fields)
    with pytest.raises(Rejected) as caught:
        site.connect().create_job(request)
    assert message in caught.value.message
    assert "nothing was sent" in caught.value.message
    assert CREATE not in site.server.requests
    assert caught.value.is_refusal


def test_a_model_without_full_training_is_trained_with_adapters_only(site: Site) -> None:
    request = site.request(model=OTHER_BASE, sections={"together": {"lora": False}})
    site.server.limits = {**site.server.limits, "supports_full_training": False}
    with pytest.raises(Rejected, match="this model is trained with adapters only"):
        site.connect().create_job(request)


def test_an_unknown_model_is_refused_with_the_nearest_ones(site: Site) -> None:
    with pytest.raises(NotFound, match="'qwen3-8b' cannot be trained") as caught:
        site.connect().create_job(site.request(model="qwen3-8b"))
    assert caught.value.hint.startswith(f"Similar models that can: {BASE}")
    assert CREATE not in site.server.requests


def test_a_trained_model_is_trained_further_from_its_checkpoint(site: Site) -> None:
    trained = site.train()
    request = site.request(model=trained.fine_tuned_model, mark="00000002")
    job = site.connect().create_job(request)
    assert site.server.jobs[job.id]["from_checkpoint"] == trained.fine_tuned_model
    found = site.connect().find_job(request)
    assert found is not None
    assert found.id == job.id


@pytest.mark.parametrize(
    "routes",
    [
        ["/v1/fine-tunes/models/supported"],
        ["/v1/fine-tunes/models/supported", "/v2/supported-models"],
        ["/v1/fine-tunes/models/limits"],
    ],
)
def test_a_missing_route_about_models_does_not_prevent_the_training(
    site: Site, routes: list[str]
) -> None:
    site.server.faults.update({f"GET {route}": ["404"] for route in routes})
    assert site.connect().create_job(site.request()).status == "pending"


def test_models_are_compared_with_the_newer_list_where_the_older_one_is_missing(site: Site) -> None:
    site.server.faults["GET /v1/fine-tunes/models/supported"] = ["404"]
    with pytest.raises(NotFound, match="'qwen3-8b' cannot be trained"):
        site.connect().create_job(site.request(model="qwen3-8b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lora_rank: 8", "unknown key 'lora_rank' under together"),
        ("lora_r: 0", "lora_r must be a whole number above 0"),
        ("lora: false, lora_r: 8", "lora_r is for adapters"),
        ("num_cycles: 0.5", "num_cycles belongs to lr_scheduler"),
        ("lr_scheduler: cosin", "did you mean 'cosine'?"),
    ],
)
def test_a_mistake_in_the_section_is_refused(bench: Bench, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_together(bench, f', "together": {{{text}}}')
    assert message in caught.value.message


def test_a_multiplier_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    job = write_job(tmp_path, provider="together", hyperparameters={"learning_rate_multiplier": 2})
    with pytest.raises(SpecError, match="together takes no learning_rate_multiplier") as caught:
        check_provider(job, get_capabilities(SETTINGS))
    assert "write learning_rate instead" in str(caught.value)


# Exactly one job


def test_a_job_whose_creation_got_no_clear_answer_is_found_by_its_mark(site: Site) -> None:
    for fault in ("503 done", "lost"):
        site.server.faults[CREATE] = [fault]
        request = site.request(mark=f"{len(site.server.jobs):08x}")
        created = site.server.created_jobs
        with pytest.raises(ProviderError) as caught:
            site.connect().create_job(request)
        assert not caught.value.is_refusal
        assert site.server.created_jobs == created + 1  # sent once, although it may be repeated
        found = site.connect().find_job(request)
        assert found is not None
        assert found.id == list(site.server.jobs)[-1]
    assert site.connect().find_job(site.request(mark="ffffffff")) is None


@pytest.mark.parametrize("fault", ["503 done", "lost"])
def test_a_503_or_a_lost_answer_after_the_creation_leaves_one_job(
    site: Site, bench: Bench, fault: str
) -> None:
    site.server.faults[CREATE] = [fault]
    site.server.list_lag = 3
    run = bench.run(load_together(bench))
    assert run.status is RunStatus.SUCCEEDED
    assert (run.job_id, site.server.created_jobs) == (next(iter(site.server.jobs)), 1)
    assert site.server.requests.count(CREATE) == 1


def test_two_runs_of_one_job_file_have_a_job_each_although_no_answer_arrives(
    site: Site, bench: Bench
) -> None:
    site.server.faults[CREATE] = ["lost", "503 done"]
    job = load_together(bench)
    runs = [bench.run(job), bench.run(job, new=True)]
    assert [run.job_id for run in runs] == list(site.server.jobs)


def test_a_503_before_the_creation_is_followed_by_one_job(site: Site, bench: Bench) -> None:
    site.server.faults[CREATE] = ["503"]
    job = load_together(bench)
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert site.server.created_jobs == 1


def test_two_equal_jobs_differ_by_their_marks(site: Site) -> None:
    provider = site.connect()
    first, second = (site.request(mark=mark) for mark in ("00000001", "00000002"))
    jobs = [provider.create_job(request) for request in (first, second)]
    found = [provider.find_job(request) for request in (first, second)]
    assert [job.id for job in jobs] == [job.id for job in found if job]


def test_without_a_mark_equal_parameters_identify_a_job(site: Site) -> None:
    provider = site.connect()
    job = provider.create_job(site.request())
    found = provider.find_job(site.request(mark=""))
    assert found is not None
    assert found.id == job.id
    for fields in ({"suffix": "other"}, {"model": OTHER_BASE}, {"validation_file": "file-9"}):
        assert provider.find_job(site.request(mark="", **fields)) is None


def test_an_odd_job_does_not_hide_the_others(site: Site) -> None:
    site.server.odd_jobs = [{"id": "ft-odd", "status": None}, {}]
    request = site.request()
    job = site.connect().create_job(request)
    found = site.connect().find_job(request)
    assert found is not None
    assert found.id == job.id


# Following


def test_a_cancellation_has_not_ended_the_job_when_it_is_requested(site: Site) -> None:
    provider = site.connect()
    job = provider.create_job(site.request())
    cancelled = provider.cancel_job(job.id)
    assert (cancelled.status, cancelled.ended) == ("cancel_requested", False)
    assert provider.get_job(job.id).status == "cancelled"
    assert provider.cancel_job(job.id).status == "cancelled"


def test_an_unknown_status_has_not_ended(site: Site, bench: Bench) -> None:
    site.server.statuses = ("pending", "running", "polishing", "completed")
    assert bench.run(load_together(bench)).status is RunStatus.SUCCEEDED
    assert "job polishing" in bench.recorder.steps


@pytest.mark.parametrize("status", ["error", "user_error"])
def test_a_failed_job_has_the_reason_of_its_last_event(site: Site, status: str) -> None:
    site.server.statuses = ("pending", "running", status)
    provider = site.connect()
    job = provider.create_job(site.request())
    for _ in range(3):
        job = provider.get_job(job.id)
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("job_error", "The loss is NaN")


def test_a_completed_job_gets_the_name_of_its_model_later(site: Site, bench: Bench) -> None:
    site.server.unnamed_looks = 8
    run = bench.run(load_together(bench))
    assert run.fine_tuned_model is not None
    assert run.fine_tuned_model.startswith("acme/Qwen3-8B-")


def test_a_job_that_vanishes_while_it_is_followed_does_not_end_the_run(
    site: Site, bench: Bench
) -> None:
    job = load_together(bench)
    provider = site.connect()
    site.server.faults["GET /v1/fine-tunes/ft-00000002"] = ["404"] * 3
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert provider.get_job("ft-00000002").status == "succeeded"


def test_events_of_one_second_and_one_message_differ_by_their_steps(site: Site) -> None:
    job = site.train()
    events = site.connect().list_events(job.id, known=frozenset())
    epochs = [event for event in events if event.type == "epoch_complete"]
    assert [event.data["step"] for event in epochs] == [3, 6]
    assert len({event.id for event in events}) == len(events)
    known = frozenset(event.id for event in events)
    assert site.connect().list_events(job.id, known=known) == []


def test_metrics_are_a_table_by_step(site: Site) -> None:
    content = site.connect().read_training_metrics(site.train())
    assert content is not None
    assert content.decode().splitlines() == [
        "step,train_loss,valid_loss,learning_rate,train_grad_norm",
        "1,2.5,,1e-05,",
        "2,2.0,2.25,,0.5",
    ]
    rows = parse_results(content)
    assert [(row.step, row.train_loss, row.valid_loss) for row in rows] == [
        (1, 2.5, None),
        (2, 2.0, 2.25),
    ]


def test_checkpoints_are_the_models_by_step(site: Site) -> None:
    job = site.train()
    site.server.odd_checkpoints = [{"step": None}]
    checkpoints = site.connect().list_checkpoints(job.id)
    assert [(item.step, item.id) for item in checkpoints] == [(3, "ml_3model"), (6, "ml_6model")]


# Money


def test_the_price_of_a_job_is_estimated_by_the_service(site: Site) -> None:
    request = site.request(hyperparameters=Hyperparameters(n_epochs=2))
    price = site.connect().estimate_cost(request)
    size = len(site.server.contents[request.training_file])
    assert price == pytest.approx(2 * size * 48e-8)
    assert site.server.created_jobs == 0


def test_a_job_above_the_credit_of_the_account_is_not_created(site: Site, bench: Bench) -> None:
    site.server.credit_usd = 0.0
    with pytest.raises(PermissionRefused, match=r"the credit of \$0\.00 of the account") as caught:
        bench.run(load_together(bench))
    assert "Add credit" in caught.value.hint
    assert site.server.created_jobs == 0


def test_a_missing_route_for_estimates_does_not_prevent_the_training(
    site: Site, bench: Bench
) -> None:
    site.server.faults["POST /v1/fine-tunes/estimate-price"] = ["404"] * 2
    assert bench.run(load_together(bench)).status is RunStatus.SUCCEEDED


def test_a_price_that_the_service_does_not_know_is_none(site: Site) -> None:
    request = site.request()
    site.server.files[request.training_file]["processing_status"] = "FAILED"
    assert site.connect().estimate_cost(request) is None


def test_a_job_reports_what_it_has_cost(site: Site) -> None:
    job = site.train()
    assert (job.trained_tokens, job.cost_usd) == (1234, 0.592)


# Models and deployments


def deployment_of(job: Job, **options: object) -> DeploymentRequest:
    return DeploymentRequest("ftops-faq", job, 7200.0, {"together": options})  # type: ignore[dict-item]


def test_a_deployment_answers_by_its_own_name_once_it_is_ready(site: Site) -> None:
    provider, request = site.connect(), deployment_of(site.train())
    deployment = provider.create_deployment(request)
    assert (deployment.status, deployment.hourly_usd) == ("provisioning", 5.5)
    with pytest.raises(Rejected, match="Unable to access model") as caught:
        provider.complete(deployment.model, [CHAT], Sampling())
    assert "ftops deploy" in caught.value.hint
    ready = provider.get_deployment(deployment.id)
    assert (ready.status, ready.model) == ("ready", "acme-project/ftops-faq/ftops-faq")
    assert provider.complete(ready.model, [CHAT], Sampling())[0].text == " 2"
    (body,) = site.server.endpoints.deployments.values()
    assert (body["inactiveTimeout"], body["autoscaling"]) == (
        120,
        {"minReplicas": 1, "maxReplicas": 1},
    )


def test_a_deployment_is_found_again_listed_and_deleted_with_its_endpoint(site: Site) -> None:
    provider, request = site.connect(), deployment_of(site.train())
    assert provider.find_deployment(request) is None
    deployment = provider.create_deployment(request)
    found = provider.find_deployment(request)
    assert found is not None
    assert found.id == deployment.id
    assert [item.id for item in provider.list_deployments()] == [deployment.id]
    provider.delete_deployment(deployment.id)
    assert site.server.endpoints.endpoints == {}
    for method in (provider.get_deployment, provider.delete_deployment):
        with pytest.raises(NotFound):
            method(deployment.id)
    assert list(provider.list_deployments()) == []


ENDPOINTS = "POST /v2/projects/proj_1/endpoints"


@pytest.mark.parametrize("fault", ["503 done", "lost"])
def test_a_lost_answer_to_an_endpoint_leaves_one_deployment(site: Site, fault: str) -> None:
    request = deployment_of(site.train())
    site.server.faults[ENDPOINTS] = [fault]
    site.connect().create_deployment(request)
    assert len(site.server.endpoints.endpoints) == len(site.server.endpoints.deployments) == 1


@pytest.mark.parametrize("fault", ["503 done", "lost"])
def test_a_lost_answer_to_a_deployment_is_found_by_its_name(site: Site, fault: str) -> None:
    request = deployment_of(site.train())
    provider = site.connect()
    provider.create_deployment(request)
    (endpoint_id,) = site.server.endpoints.endpoints
    site.server.endpoints.deployments.clear()
    site.server.faults[f"{ENDPOINTS}/{endpoint_id}/deployments"] = [fault]
    with pytest.raises(ProviderError) as caught:
        provider.create_deployment(request)
    assert not caught.value.is_refusal
    found = provider.find_deployment(request)
    assert found is not None
    assert len(site.server.endpoints.deployments) == 1


def test_a_deployment_that_fails_says_why_and_can_be_tried_again(site: Site) -> None:
    site.server.endpoints.states = ("PROVISIONING", "FAILED")
    provider, request = site.connect(), deployment_of(site.train())
    deployment = provider.get_deployment(provider.create_deployment(request).id)
    assert (deployment.status, deployment.error) == ("failed", "no capacity for the model")
    assert provider.find_deployment(request) is None
    site.server.endpoints.states = ("PROVISIONING", "READY")
    again = provider.create_deployment(request)
    assert provider.get_deployment(again.id).status == "ready"
    assert len(site.server.endpoints.deployments) == 1


def test_a_deployment_that_stopped_by_itself_costs_nothing(site: Site) -> None:
    site.server.endpoints.states = ("READY", "STOPPED")
    provider = site.connect()
    deployment = provider.get_deployment(provider.create_deployment(deployment_of(site.train())).id)
    assert deployment.ended
    assert list(provider.list_deployments()) == []


def test_the_hardware_of_a_deployment_decides_its_price(site: Site) -> None:
    provider, job = site.connect(), site.train()
    for options, usd in (
        ({}, 5.5),
        ({"hardware": "2xH100-80GB"}, 11.0),
        ({"config": "cr_2"}, 11.0),
    ):
        assert provider.estimate_hourly_cost(deployment_of(job, **options)) == usd
    before = dataclasses.replace(job, fine_tuned_model=None, deployable_model=None)
    assert provider.estimate_hourly_cost(deployment_of(before)) == 5.5
    with pytest.raises(Rejected, match=r"there are cr_2 \(2xnvidia-h100-80gb\), cr_1") as caught:
        provider.create_deployment(deployment_of(job, hardware="8xH200"))
    assert "together: {config: …}" in caught.value.hint
    assert ENDPOINTS not in site.server.requests


def test_a_missing_route_for_prices_does_not_prevent_a_deployment(site: Site) -> None:
    job = site.train()
    site.server.faults["GET /v2/public/inference-instance-types"] = ["404"]
    deployment = site.connect().create_deployment(deployment_of(job))
    assert deployment.hourly_usd is None


def test_a_trained_model_has_its_base_and_is_deleted_by_its_name(site: Site) -> None:
    job, provider = site.train(), site.connect()
    assert job.fine_tuned_model is not None
    assert provider.get_model(job.fine_tuned_model).base == BASE
    assert not provider.get_model(BASE).fine_tuned
    provider.delete_model(job.fine_tuned_model)
    assert site.server.endpoints.models == {}


def test_the_project_of_the_settings_needs_no_request(site: Site) -> None:
    job = site.train()
    site.server.requests.clear()
    provider = site.connect(settings=ProviderSettings("together", project="proj_1"))
    provider.create_deployment(deployment_of(job))
    assert "GET /v3/whoami" not in site.server.requests


@pytest.mark.parametrize("base_url", ["https://api.together.ai", "https://api.together.ai/v1/"])
def test_an_address_is_the_same_with_and_without_its_version(site: Site, base_url: str) -> None:
    provider = site.connect(settings=ProviderSettings("together", base_url=base_url))
    assert provider.account == site.connect().account
    deployment = provider.create_deployment(deployment_of(site.train()))
    provider.get_deployment(deployment.id)
    assert provider.complete(deployment.model, [CHAT], Sampling())[0].text == " 2"


# Weights


def test_weights_are_downloaded_whole_although_the_connection_breaks(site: Site) -> None:
    job = site.train()
    site.server.broken_after = 1000
    (path,) = site.connect().download_weights(job, site.folder / "weights")
    assert path.read_bytes() == WEIGHTS
    assert path.name == f"{(job.fine_tuned_model or '').partition('/')[2]}.tar.zst"
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_an_interrupted_download_continues_where_it_stopped(site: Site) -> None:
    job = site.train()
    download = "GET /v1/finetune/download"
    site.server.broken_after = 1000
    site.server.faults[download] = [""] * 2 + ["503"] * 30
    provider, folder = site.connect(), site.folder / "weights"
    with pytest.raises(ProviderError):
        provider.download_weights(job, folder)
    (part,) = folder.iterdir()
    assert part.stat().st_size == 1000
    site.server.faults.clear()
    (path,) = provider.download_weights(job, folder)
    assert path.read_bytes() == WEIGHTS


def test_all_weights_are_downloaded_from_a_job_without_adapters(site: Site) -> None:
    job = site.train(sections={"together": {"lora": False}})
    (path,) = site.connect().download_weights(job, site.folder / "weights")
    assert path.read_bytes() == WEIGHTS


def test_a_job_without_weights_is_an_error(site: Site) -> None:
    provider = site.connect()
    job = provider.create_job(site.request())
    with pytest.raises(NotFound, match="no such checkpoint"):
        provider.download_weights(job, site.folder / "weights")


# Errors


def test_the_key_is_named_when_it_is_missing_and_never_shown_when_it_is_wrong(site: Site) -> None:
    with pytest.raises(AuthFailed, match="TOGETHER_API_KEY is not set"):
        list(site.connect(key="").list_files())
    with pytest.raises(AuthFailed, match="Invalid API key") as caught:
        list(site.connect(key="wrong-key-0123456789").list_files())
    assert "wrong-key" not in str(caught.value)


def test_an_error_without_a_body_is_an_error(site: Site) -> None:
    request = site.request()
    site.server.faults[CREATE] = ["empty"]
    with pytest.raises(Unavailable) as caught:
        site.connect().create_job(request)
    assert not caught.value.is_refusal


def test_a_job_file_completes_all_stages_with_a_deployment_for_the_evaluation(
    site: Site, bench: Bench
) -> None:
    job = load_together(
        bench,
        validation_file="validation.jsonl",
        hyperparameters={"n_epochs": 2, "learning_rate": 1e-4},
        seed=7,
        suffix="numbers",
        evaluate={"against": []},
    )
    check_provider(job, get_capabilities(SETTINGS))
    run = bench.run(job)
    assert run.status is RunStatus.SUCCEEDED
    (body,) = site.server.jobs.values()
    assert (body["n_epochs"], body["n_evals"], body["learning_rate"]) == (2, 2, 1e-4)
    assert re.fullmatch(r"numbers-[0-9a-f]{8}", body["suffix"])
    followed = bench.detail(run, Stage.FOLLOW)
    assert (followed["trained_tokens"], followed["cost_usd"]) == (1234, 0.592)
    assert bench.detail(run, Stage.EVALUATE)["rows"] == 3
    assert site.server.endpoints.deployments == site.server.endpoints.endpoints == {}
    assert bench.run(job).id == run.id
    assert bench.run(job, new=True).job_id != run.job_id
    assert len(site.server.files) == 2


def test_preference_rows_train_with_the_method_dpo(site: Site, bench: Bench) -> None:
    job = load_together(bench, method="dpo", hyperparameters={"beta": 0.2})
    answers = [[{"role": "assistant", "content": text}] for text in ("Yes.", "It may be.")]
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"Is {number} a number?"}]},
            "preferred_output": answers[0],
            "non_preferred_output": answers[1],
        }
        for number in range(4)
    ]
    data = job.path.with_name("train.jsonl")
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert bench.run(job).status is RunStatus.SUCCEEDED
    (body,) = site.server.jobs.values()
    assert body["training_method"] == {"method": "dpo", "dpo_beta": 0.2}
    (content,) = site.server.contents.values()
    assert [json.loads(line) for line in content.splitlines()] == rows


def test_a_deployment_that_fails_after_a_good_training_keeps_the_model(
    site: Site, bench: Bench
) -> None:
    site.server.endpoints.states = ("PROVISIONING", "FAILED")
    job = load_together(bench, validation_file="validation.jsonl", evaluate={"against": []})
    with pytest.raises(RunError, match=r"failed \(no capacity for the model\)"):
        bench.run(job)
    assert site.server.endpoints.deployments == {}
    assert len(site.server.endpoints.models) == 1
    site.server.endpoints.states = ("PROVISIONING", "READY")
    assert bench.run(job, retry=True).status is RunStatus.SUCCEEDED
    assert site.server.created_jobs == 1
