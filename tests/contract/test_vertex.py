"""The provider `vertex` with a stand-in for Google's servers: whole runs, faults, special cases."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ftops.errors import (
    AuthFailed,
    DatasetError,
    NotFound,
    PermissionRefused,
    ProviderError,
    Rejected,
    RunError,
    SpecError,
)
from ftops.http.request_log import RequestLog
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import PROVIDERS, build_provider, find_destination, get_capabilities
from ftops.records import (
    Chat,
    Hyperparameters,
    JobEvent,
    JobRequest,
    Message,
    Method,
    ProviderSettings,
    RunStatus,
    Sampling,
    Stage,
    ToolCall,
)
from ftops.runs.preview import preview
from ftops.spec.job_file import LoadedJob, check_provider, load_job
from tests.contract.serving import serve
from tests.contract.vertex_server import (
    BUCKET,
    PROJECT,
    TOKEN,
    VERTEX_BASE,
    VertexServer,
    check_row,
)
from tests.fakes import FakeClock
from tests.runs.bench import Bench

VARIABLE = "GOOGLE_OAUTH_ACCESS_TOKEN"
CREATE = r"POST .*/tuningJobs$"
SETTINGS = ProviderSettings("vertex", project=PROJECT, bucket=BUCKET)
ENVIRON = {VARIABLE: TOKEN}
FILE = f"gs://{BUCKET}/ftops/rows.jsonl"


@dataclass
class Site:
    """A bench with the provider and its servers."""

    folder: Path
    server: VertexServer = field(default_factory=VertexServer)
    clock: FakeClock = field(default_factory=FakeClock)

    def connect(
        self, settings: ProviderSettings = SETTINGS, environ: dict[str, str] | None = None
    ) -> Provider:
        context = ProviderContext(
            ENVIRON if environ is None else environ,
            self.folder,
            self.clock,
            http_client=self.server.connect(),
        )
        return build_provider(settings, context)

    def train(self, provider: Provider, **fields: Any) -> str:
        """Upload rows, create a job and return its id."""
        rows = {
            "contents": [{"role": role, "parts": [{"text": "a"}]} for role in ("user", "model")]
        }
        path = self.folder / "rows.jsonl"
        path.write_text(json.dumps(rows) + "\n")
        file = provider.upload_file(path, filename="rows.jsonl", on_bytes=lambda *_: None)
        assert file.id == FILE
        return provider.create_job(JobRequest(VERTEX_BASE, file.id, **fields)).id


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
    return bench.write_job(provider="vertex", model=VERTEX_BASE, evaluate={"against": []}, **fields)


def find_upload_digests(ledger: Ledger, account: str, site: Site) -> dict[str, str | None]:
    """For each object its id in the ledger, found by the digest of its content."""
    digests = {}
    for (bucket, name), (content, _) in site.server.objects.items():
        upload = ledger.find_upload(account, hashlib.sha256(content).hexdigest())
        digests[f"gs://{bucket}/{name}"] = upload.file_id if upload else None
    return digests


def test_a_job_file_completes_a_run(site: Site, bench: Bench) -> None:
    job = write_job(
        bench,
        suffix="numbers",
        hyperparameters={"n_epochs": 2, "learning_rate_multiplier": 0.5},
    )
    check_provider(job, get_capabilities(SETTINGS))
    run = bench.run(job)
    assert run.status is RunStatus.SUCCEEDED
    (body,) = [body for body in site.server.bodies if "baseModel" in body]
    assert body["labels"] == {"ftops_run": run.id, "ftops_key": run.key[:32]}
    assert body["tunedModelDisplayName"] == "numbers"
    assert body["supervisedTuningSpec"]["hyperParameters"] == {
        "epochCount": 2,
        "learningRateMultiplier": 0.5,
    }
    (job_id,) = site.server.jobs
    tuned = site.server.jobs[job_id]["tunedModel"]
    assert (run.job_id, run.fine_tuned_model) == (job_id, tuned["endpoint"])
    assert bench.provider.get_job(job_id).deployable_model == tuned["model"]
    assert bench.detail(run, Stage.FOLLOW)["trained_tokens"] == 2 * 120
    assert bench.detail(run, Stage.EVALUATE)["rows"] == 3
    messages = [event.message for event in bench.ledger.list_events(run.id)]
    assert (
        messages
        == [
            f"Created the job {job_id}",
            "Running: tuning",
            "Training data: 12 rows, 120 billable tokens",
            "Succeeded",
        ]
        or messages[0] == f"Created the job {job_id}"
    )


def test_the_ledger_has_the_digest_of_the_rows_that_were_sent(site: Site, bench: Bench) -> None:
    run = bench.run(write_job(bench))
    digests = find_upload_digests(bench.ledger, bench.provider.account, site)
    assert len(digests) == 2
    assert all(file_id == name for name, file_id in digests.items())
    detail = bench.detail(run, Stage.UPLOAD)
    assert {detail["training_file"], detail["validation_file"]} == set(digests)
    contents = [content for content, _ in site.server.objects.values()]
    assert detail["bytes"] == detail["sent_bytes"] == sum(map(len, contents))
    for content in contents:
        for line in content.splitlines():
            check_row(json.loads(line), is_preference=False)
    again = bench.run(write_job(bench), new=True)
    assert bench.detail(again, Stage.UPLOAD)["sent_bytes"] == 0
    assert site.server.count("POST /upload") == 2


def test_a_preview_has_the_names_of_the_uploaded_files(site: Site, bench: Bench) -> None:
    job = write_job(bench)
    expected = preview(job, bench.provider).uploads
    assert site.server.requests == []
    bench.run(job)
    names = {name.removeprefix("ftops/") for _, name in site.server.objects}
    assert set(expected) == names


def test_preferences_are_tuned_with_their_own_spec(site: Site, bench: Bench) -> None:
    job = write_job(
        bench, method="dpo", validation_file=None, hyperparameters={"beta": 0.1, "n_epochs": 1}
    )
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"{number} + 1 ="}]},
            "preferred_output": [{"role": "assistant", "content": str(number + 1)}],
            "non_preferred_output": [{"role": "assistant", "content": "?"}],
        }
        for number in range(12)
    ]
    path = bench.folder / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert bench.run(job).status is RunStatus.SUCCEEDED
    (body,) = [body for body in site.server.bodies if "baseModel" in body]
    assert body["preferenceOptimizationSpec"]["hyperParameters"] == {"epochCount": 1, "beta": 0.1}
    ((content, _),) = site.server.objects.values()
    check_row(json.loads(content.splitlines()[0]), is_preference=True)


def test_a_section_of_the_job_file_is_sent(site: Site, bench: Bench) -> None:
    path = write_job(bench).path
    document = json.loads(path.read_text())
    document["vertex"] = {"adapter_size": 4, "export_last_checkpoint_only": True}
    path.write_text(json.dumps(document))
    bench.run(load_job(path, environ={}, providers=PROVIDERS))
    spec = site.server.bodies[0]["supervisedTuningSpec"]
    assert spec["hyperParameters"]["adapterSize"] == "ADAPTER_SIZE_FOUR"
    assert spec["exportLastCheckpointOnly"] is True
    (job_id,) = site.server.jobs
    assert bench.provider.list_checkpoints(job_id) == []
    document["vertex"] = {"adapter_size": 5}
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="adapter_size must be"):
        load_job(path, environ={}, providers=PROVIDERS)


@pytest.mark.parametrize("status", [None, 503])
def test_a_lost_answer_leaves_one_job(site: Site, bench: Bench, status: int | None) -> None:
    site.server.fail(CREATE, status, has_effect=True)
    site.server.listing_lag = 2
    run = bench.run(write_job(bench))
    assert run.status is RunStatus.SUCCEEDED
    assert list(site.server.jobs) == [run.job_id]
    assert site.server.count(CREATE) == 1


def test_a_request_that_was_lost_is_sent_again_by_the_next_command(
    site: Site, bench: Bench
) -> None:
    site.server.fail(CREATE, 503)
    job = write_job(bench)
    with pytest.raises(RunError, match="may or may not exist"):
        bench.run(job)
    assert site.server.jobs == {}
    assert bench.run(job).status is RunStatus.SUCCEEDED
    assert len(site.server.jobs) == 1


def test_a_job_of_another_ledger_is_found_by_its_key(site: Site, bench: Bench) -> None:
    job = write_job(bench)
    first = bench.run(job)
    bench.ledger.close()
    (bench.home / "ledger.db").rename(bench.home / "lost.db")
    bench.ledger = Ledger(bench.home / "ledger.db", bench.clock)
    assert bench.run(job).job_id == first.job_id
    assert len(site.server.jobs) == 1


def test_a_second_job_of_a_run_has_a_label_of_its_own(site: Site, bench: Bench) -> None:
    job = write_job(bench)
    site.server.states = ("JOB_STATE_PENDING", "JOB_STATE_FAILED")
    with pytest.raises(RunError, match="the provider gives no reason"):
        bench.run(job)
    site.server.states = ("JOB_STATE_PENDING", "JOB_STATE_SUCCEEDED")
    site.server.fail(CREATE, None, has_effect=True)
    run = bench.run(job, retry=True)
    assert run.job_id is not None
    assert bench.provider.get_job(run.job_id).metadata["ftops_run"] == f"{run.id}.2"
    assert len(site.server.jobs) == 2


def test_jobs_are_compared_when_the_service_refuses_the_filter(site: Site) -> None:
    provider = site.connect()
    site.server.knows_filter = False
    ids = [
        site.train(provider, metadata={"ftops_run": name}) for name in ("run-a", "run-b", "run-c")
    ]
    found = provider.find_job(JobRequest(VERTEX_BASE, FILE, metadata={"ftops_run": "run-b"}))
    assert found is not None
    assert found.id == ids[1]


def test_a_malformed_job_in_the_list_hides_no_other(site: Site) -> None:
    site.server.odd_jobs = [{"labels": {"ftops_run": "run-a"}}, {"state": 7, "name": None}]
    provider = site.connect()
    job_id = site.train(provider, metadata={"ftops_run": "run-a"})
    found = provider.find_job(JobRequest(VERTEX_BASE, FILE, metadata={"ftops_run": "run-a"}))
    assert found is not None
    assert found.id == job_id


def test_an_unknown_state_is_followed_until_the_job_ends(site: Site, bench: Bench) -> None:
    site.server.states = (
        "JOB_STATE_QUEUED",
        "JOB_STATE_REBALANCING",
        "JOB_STATE_RUNNING",
        "JOB_STATE_SUCCEEDED",
    )
    run = bench.run(write_job(bench))
    assert run.status is RunStatus.SUCCEEDED
    assert "job rebalancing" in bench.recorder.steps


def test_a_model_that_appears_late_is_awaited(site: Site, bench: Bench) -> None:
    site.server.nameless = 3
    run = bench.run(write_job(bench))
    assert run.fine_tuned_model is not None


def test_a_partial_success_says_so(site: Site, bench: Bench) -> None:
    site.server.states = ("JOB_STATE_RUNNING", "JOB_STATE_PARTIALLY_SUCCEEDED")
    site.server.error = {"code": 13, "message": "the last checkpoint has no endpoint"}
    run = bench.run(write_job(bench))
    assert run.status is RunStatus.SUCCEEDED
    last = bench.ledger.list_events(run.id)[-1]
    assert (last.level, last.message) == (
        "warning",
        "Partially succeeded: the last checkpoint has no endpoint",
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "the provider gives no reason"),
        ({}, "the provider gives no reason"),
        ({"code": 3, "message": "bad rows"}, "INVALID_ARGUMENT: bad rows"),
        ({"code": 99, "message": ""}, "99"),
    ],
)
def test_a_failed_job_has_the_reason_of_the_service(
    site: Site, bench: Bench, error: dict[str, Any] | None, reason: str
) -> None:
    site.server.states = ("JOB_STATE_RUNNING", "JOB_STATE_FAILED")
    site.server.error = error
    with pytest.raises(RunError, match=f"failed: {reason}"):
        bench.run(write_job(bench))


def test_a_job_that_is_gone_ends_no_run(site: Site, bench: Bench) -> None:
    site.server.states = ("JOB_STATE_RUNNING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED")
    job = write_job(bench)
    for _ in range(2_000):  # for longer than a command asks
        site.server.fail(r"GET .*/tuningJobs/\d+$", 404)
    with pytest.raises(NotFound, match="was not seen to end"):
        bench.run(job)
    site.server.recover()
    run = bench.run(job)
    assert (run.status, list(site.server.jobs)) == (RunStatus.SUCCEEDED, [run.job_id])


def test_events_are_numbered_changes_of_the_state(site: Site) -> None:
    site.server.states = (
        "JOB_STATE_RUNNING",
        "JOB_STATE_PAUSED",
        "JOB_STATE_RUNNING",
        "JOB_STATE_SUCCEEDED",
    )
    provider = site.connect()
    job_id = site.train(provider)
    events: list[JobEvent] = []
    while not provider.get_job(job_id).ended:
        events += provider.list_events(job_id, known=frozenset(event.id for event in events))
    events += provider.list_events(job_id, known=frozenset(event.id for event in events))
    ids = [event.id for event in events]
    assert len(set(ids)) == len(ids)
    assert ids[0] == f"{job_id}:0:"
    assert ids[-1].endswith("JOB_STATE_SUCCEEDED/")
    assert [event.created_at for event in events] == sorted(event.created_at for event in events)
    assert provider.list_events(job_id, known=frozenset(ids)) == []


def test_checkpoints_are_the_endpoints_of_epochs(site: Site) -> None:
    provider = site.connect()
    job_id = site.train(provider, hyperparameters=Hyperparameters(n_epochs=2))
    while not (job := provider.get_job(job_id)).ended:
        pass
    checkpoints = provider.list_checkpoints(job_id)
    assert [checkpoint.step for checkpoint in checkpoints] == [6, 12]
    assert checkpoints[-1].model == job.fine_tuned_model
    assert provider.get_model(checkpoints[0].model).base == VERTEX_BASE
    with pytest.raises(Rejected, match="is a checkpoint of"):
        provider.delete_model(checkpoints[0].model)


@pytest.mark.parametrize(
    ("settings", "environ", "message", "advice"),
    [
        (ProviderSettings("vertex"), {}, "needs a project", "export GOOGLE_CLOUD_PROJECT"),
        (
            replace(SETTINGS, project="a/../b"),
            {},
            r"'a/../b' is no project of Google Cloud",
            "Correct `project`",
        ),
        (
            replace(SETTINGS, location="evil.example/x"),
            {},
            "is no location of Google Cloud",
            "Correct `location`",
        ),
        (
            ProviderSettings("vertex", project=PROJECT),
            {},
            "needs a bucket",
            "export GOOGLE_CLOUD_STORAGE_BUCKET",
        ),
        (
            ProviderSettings("vertex", project=PROJECT),
            {"GOOGLE_CLOUD_STORAGE_BUCKET": "gs://UPPER"},
            "'UPPER' is no bucket",
            "Correct `bucket`",
        ),
    ],
)
def test_a_missing_or_invalid_setting_is_refused_with_what_to_write(
    site: Site,
    settings: ProviderSettings,
    environ: dict[str, str],
    message: str,
    advice: str,
) -> None:
    with pytest.raises(ProviderError, match=message) as caught:
        site.connect(settings, {**ENVIRON, **environ}).check_model(VERTEX_BASE)
    assert advice in caught.value.hint
    assert "nothing was sent" in caught.value.message
    assert site.server.requests == []


def test_the_settings_can_come_from_the_environment(site: Site) -> None:
    environ = {
        **ENVIRON,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_CLOUD_LOCATION": "us-central1",
        "GOOGLE_CLOUD_STORAGE_BUCKET": f"gs://{BUCKET}/",
    }
    provider = site.connect(ProviderSettings("vertex"), environ)
    assert provider.account == site.connect().account
    site.train(provider)


@pytest.mark.parametrize(
    ("model", "message", "advice"),
    [
        ("gemini-2.5-flash", "since 2026-09-20", "Did you mean 'gemini-3.5-flash'?"),
        ("gpt-4o-mini", "does not tune 'gpt-4o-mini';", "gemini-3.1-flash-lite"),
        ("../../x", "does not tune", "Known base models are"),
    ],
)
def test_a_model_that_is_not_tuned_there_is_refused_with_the_nearest(
    site: Site, model: str, message: str, advice: str
) -> None:
    with pytest.raises(NotFound, match=message) as caught:
        site.connect().check_model(model)
    assert advice in caught.value.hint
    assert site.server.requests == []


def test_more_validation_rows_than_the_service_takes_are_refused(site: Site, bench: Bench) -> None:
    job = write_job(bench)
    path = bench.folder / "validation.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' * 5_001)
    with pytest.raises(DatasetError, match=r"5,001 rows, and vertex takes 5,000 or fewer"):
        bench.run(job)
    assert site.server.requests == []


def test_rows_that_gemini_cannot_have_are_refused_before_anything_is_sent(
    site: Site, bench: Bench
) -> None:
    job = write_job(bench)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]
    rows = [{"messages": [turns[0], {"role": "assistant", "content": "b"}]}] * 3
    rows.append({"messages": [*turns, turns[0], {"role": "assistant", "content": "c"}]})
    path = bench.folder / "validation.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for use in (lambda: preview(job, bench.provider), lambda: bench.run(job)):
        with pytest.raises(DatasetError, match=r"validation.jsonl: 1 of 4 rows.*\n.*row 4: "):
            use()
    assert site.server.requests == []


def test_an_upload_is_not_repeated_and_other_content_replaces_it(
    site: Site, tmp_path: Path
) -> None:
    provider = site.connect()
    path = tmp_path / "rows.jsonl"
    for content, sent in ((b"{}\n", 1), (b"{}\n", 1), (b"[]\n", 2)):
        path.write_bytes(content)
        progress: dict[int, int] = {}
        file = provider.upload_file(path, filename="a b.jsonl", on_bytes=progress.__setitem__)
        assert site.server.count("POST /upload") == sent
        assert progress == {0: 3, len(content): 3}
        assert provider.read_file(file.id) == content
    assert file.filename == "a b.jsonl"
    site.server.fail("POST /upload", None, has_effect=True)
    path.write_bytes(b"{1}\n")
    assert provider.upload_file(path, filename="c", on_bytes=lambda *_: None).bytes == 4


def test_a_job_continues_from_a_tuned_model(site: Site) -> None:
    provider = site.connect()
    first = site.train(provider)
    while not (job := provider.get_job(first)).ended:
        pass
    assert job.fine_tuned_model is not None
    second = provider.create_job(JobRequest(job.fine_tuned_model, FILE))
    assert site.server.bodies[-1]["preTunedModel"] == {"tunedModelName": job.deployable_model}
    assert "baseModel" not in site.server.bodies[-1]
    while not (again := provider.get_job(second.id)).ended:
        pass
    assert again.deployable_model is not None
    assert again.deployable_model.endswith("@2")
    assert again.fine_tuned_model is not None
    provider.delete_model(again.fine_tuned_model)
    (versions,) = site.server.models.values()
    assert versions == ["1"]


@pytest.mark.parametrize("step", ["undeployModel", "DELETE .*/endpoints", "DELETE .*/models"])
def test_a_deletion_that_was_cut_off_is_finished_by_the_next(site: Site, step: str) -> None:
    provider = site.connect()
    job_id = site.train(provider)
    while not (job := provider.get_job(job_id)).ended:
        pass
    assert job.fine_tuned_model is not None
    for _ in range(20):  # more than all retries
        site.server.fail(step, 503)
    with pytest.raises(ProviderError):
        provider.delete_model(job.fine_tuned_model)
    site.server.recover()
    provider.delete_model(job.fine_tuned_model)
    assert (site.server.endpoints, site.server.models) == ({}, {})
    with pytest.raises(NotFound, match="deleted already"):
        provider.delete_model(job.fine_tuned_model)


def test_a_chat_is_answered_with_its_usage(site: Site) -> None:
    provider = site.connect()
    chat = Chat((Message("system", "Be brief."), Message("user", "1 + 1 =")))
    sampling = Sampling(max_tokens=5, stop=("\n",), seed=3, logprobs=2)
    (completion,) = provider.complete(VERTEX_BASE, [chat], sampling)
    assert (completion.text, completion.finish_reason) == (" 2", "stop")
    assert (completion.prompt_tokens, completion.completion_tokens) == (9, 1)
    assert completion.first_token == {" 2": -0.1}
    assert completion.refused_parameters == {}
    assert site.server.bodies[-1] == {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "1 + 1 ="}]}],
        "generationConfig": {
            "maxOutputTokens": 5,
            "temperature": 0.0,
            "topP": 1.0,
            "stopSequences": ["\n"],
            "seed": 3,
            "responseLogprobs": True,
            "logprobs": 2,
            "thinkingConfig": {"thinkingBudget": 0},
        },
    }


def test_tool_calls_of_a_model_are_read(site: Site) -> None:
    site.server.parts = [
        {"text": "a thought", "thought": True},
        {"functionCall": {"name": "add", "args": {"a": 1}}},
    ]
    (completion,) = site.connect().complete(VERTEX_BASE, ["1 + 1 ="], Sampling())
    assert completion.tool_calls == (ToolCall("add", '{"a":1}'),)
    assert (completion.text, completion.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("NEW_REASON", "new_reason")],
)
def test_finish_reasons_have_the_names_of_every_provider(
    site: Site, reason: str, finish: str
) -> None:
    site.server.finish_reason = reason
    (completion,) = site.connect().complete(VERTEX_BASE, ["a"], Sampling())
    assert completion.finish_reason == finish


def test_a_blocked_prompt_is_a_refusal(site: Site) -> None:
    site.server.block_reason = "PROHIBITED_CONTENT"
    (completion,) = site.connect().complete(VERTEX_BASE, ["a"], Sampling())
    assert (completion.text, completion.finish_reason) == ("", "content_filter")
    assert completion.refusal == "the prompt was blocked: prohibited_content"


def test_a_model_that_always_thinks_is_asked_without_the_switch(site: Site) -> None:
    site.server.always_thinks = True
    provider = site.connect()
    completions = provider.complete(VERTEX_BASE, ["a", "b"], Sampling())
    assert [completion.text for completion in completions] == [" 2", " 2"]
    assert site.server.count("generateContent") == 3
    assert provider.get_refused_parameters(VERTEX_BASE) == {"thinkingConfig": None}


def test_a_chat_that_gemini_cannot_have_is_refused_unsent(site: Site) -> None:
    chat = Chat((Message("user", "a"), Message("system", "b")))
    with pytest.raises(Rejected, match=r"messages\[1\]: a system message .*nothing was sent"):
        site.connect().complete(VERTEX_BASE, [chat], Sampling())
    assert site.server.requests == []


@pytest.mark.parametrize("model", ["ada", "projects/p/locations/l/endpoints/../../x", "", "a/b"])
def test_a_name_that_is_no_model_is_not_found_unsent(site: Site, model: str) -> None:
    provider = site.connect()
    for use in (
        provider.get_model,
        provider.delete_model,
        lambda name: provider.complete(name, ["a"], Sampling()),
    ):
        with pytest.raises(NotFound):
            use(model)
    assert site.server.requests == []


def test_hyperparameters_without_a_counterpart_are_refused(site: Site) -> None:
    provider = site.connect()
    for hyperparameters in (Hyperparameters(batch_size=4), Hyperparameters(learning_rate=1e-4)):
        with pytest.raises(Rejected, match="nothing was sent"):
            provider.create_job(JobRequest(VERTEX_BASE, FILE, hyperparameters=hyperparameters))
    assert site.server.requests == []


def test_a_relative_learning_rate_is_named_for_an_absolute_one(bench: Bench) -> None:
    job = write_job(bench, hyperparameters={"learning_rate": 1e-4})
    with pytest.raises(SpecError, match="write learning_rate_multiplier instead"):
        check_provider(job, get_capabilities(SETTINGS))


def test_errors_have_the_code_and_the_advice_of_the_service(site: Site) -> None:
    provider = site.connect()
    site.server.fail("GET .*/tuningJobs/7", 403)
    with pytest.raises(PermissionRefused) as caught:
        provider.get_job("7")
    assert caught.value.code == "PERMISSION_DENIED"
    assert "Vertex AI User" in caught.value.hint
    with pytest.raises(Rejected, match=r"gemini-9 is not supported.*code INVALID_ARGUMENT"):
        provider.create_job(JobRequest("gemini-9", FILE))


def test_a_refused_token_is_shown_nowhere(site: Site, bench: Bench) -> None:
    site.server.tokens = {"another"}
    with pytest.raises(AuthFailed) as caught:
        bench.run(write_job(bench))
    assert "gcloud auth print-access-token" in caught.value.hint
    assert TOKEN not in str(caught.value)
    site.server.tokens = {TOKEN}
    bench.run(write_job(bench))
    for path in bench.home.rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()


def test_the_token_of_gcloud_goes_to_google_alone() -> None:
    own = find_destination(SETTINGS, {})
    assert own is not None
    assert own.base_url == "https://us-central1-aiplatform.googleapis.com/v1beta1"
    assert (own.key_variable, own.key_command) == (None, "gcloud auth print-access-token")
    assert (own.is_approved, own.storage_url) == (True, "https://storage.googleapis.com")
    named = find_destination(SETTINGS, ENVIRON)
    assert named is not None
    assert (named.key_variable, named.key_command) == (VARIABLE, None)
    everywhere = find_destination(replace(SETTINGS, location="global"), {})
    assert everywhere is not None
    assert everywhere.base_url == "https://aiplatform.googleapis.com/v1beta1"
    for base_url in (
        "https://evil.example/v1beta1",
        "https://evil-aiplatform.googleapis.com.evil.example/v1beta1",
        "https://a.b-aiplatform.googleapis.com/v1beta1",
        "http://us-central1-aiplatform.googleapis.com/v1beta1",
    ):
        other = replace(SETTINGS, base_url=base_url)
        with pytest.raises(ProviderError, match="is for"):
            find_destination(other, {})
        named = find_destination(replace(other, api_key_env=VARIABLE), {})
        assert named is not None
        assert (named.key_command, named.is_approved, named.storage_url) == (None, False, None)


def test_a_server_at_another_address_has_the_routes_of_both_services(tmp_path: Path) -> None:
    server = VertexServer()
    log = RequestLog(tmp_path / "requests.jsonl", FakeClock(), lambda _: None)
    with serve(server) as address:
        settings = replace(SETTINGS, base_url=f"{address}/v1beta1", api_key_env="TOKEN_HERE")
        context = ProviderContext({"TOKEN_HERE": TOKEN}, tmp_path, FakeClock(), request_log=log)
        provider = build_provider(settings, context)
        job_id = Site(tmp_path, server).train(provider)
        while not (job := provider.get_job(job_id)).ended:
            pass
        assert job.fine_tuned_model is not None
        assert provider.complete(job.fine_tuned_model, ["a"], Sampling())[0].text == " 2"
        provider.delete_model(job.fine_tuned_model)
        provider.close()
    lines = (tmp_path / "requests.jsonl").read_text()
    assert len(lines.splitlines()) == len(server.requests)
    assert TOKEN not in lines


def test_dpo_is_a_method_of_the_provider() -> None:
    assert get_capabilities(SETTINGS).methods == {Method.SUPERVISED, Method.DPO}
