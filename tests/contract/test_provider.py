"""What every provider must do, from the upload of a file to the deletion of a model."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.errors import NotFound, ProviderError, Rejected
from ftops.providers.provider import Provider
from ftops.providers.registry import ENGINE_SIZES, PROVIDERS
from ftops.records import (
    Chat,
    Hyperparameters,
    JobEvent,
    JobRequest,
    Message,
    Prompt,
    RowFormat,
    Sampling,
)
from tests.contract.conftest import (
    FOUND_BY_MODEL,
    SITES,
    STAND_INS,
    UNLISTED,
    Trained,
    adapt_request,
    deployed,
    every_site,
    make_deployment_request,
    speaks_legacy,
    upload,
    wait_for_deletion,
    wait_for_end,
    wait_for_status,
    write_rows,
)

SHORT = Sampling(max_tokens=3)


# Speaks OpenAI's protocol; only its address and the longest suffix differ.
GATEWAYS = {"volition"}


def test_every_registered_provider_is_tested() -> None:
    stand_ins = {(name, "current") for name, _ in STAND_INS}
    assert set(SITES) | stand_ins >= {
        (name, protocol)
        for name, entry in PROVIDERS.items()
        for protocol in ("current", *entry.protocols)
        if name not in GATEWAYS
    }


@every_site
def test_a_file_is_stored_listed_read_and_deleted(provider: Provider, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 25)
    file = upload(provider, path, "ftops-abc-every.jsonl")
    assert provider.capabilities.naming.is_file_id(file.id)
    assert (file.filename, file.bytes) == ("ftops-abc-every.jsonl", path.stat().st_size)
    assert provider.get_file(file.id) == file
    assert file in list(provider.list_files())
    assert provider.read_file(file.id) == path.read_bytes()
    provider.delete_file(file.id)
    assert provider.find_file(file.filename, file.bytes) is None
    for method in (provider.get_file, provider.delete_file):
        with pytest.raises(NotFound):
            method(file.id)


@every_site
def test_capabilities_name_the_optional_methods_of_the_provider(
    provider: Provider, trained: Trained, tmp_path: Path
) -> None:
    capabilities = provider.capabilities
    estimate = provider.estimate_cost(trained.request)
    assert capabilities.estimates_cost == (estimate is not None)
    try:
        files = provider.download_weights(trained.job, tmp_path)
    except Rejected:
        files = []
    assert capabilities.weights == bool(files)
    assert all(file.stat().st_size > 0 for file in files)
    assert not capabilities.moderation or type(provider).moderate is not Provider.moderate


@every_site
def test_events_and_curve_come_from_where_the_capabilities_say(
    provider: Provider, trained: Trained
) -> None:
    capabilities, job = provider.capabilities, trained.job
    has_metrics = provider.read_training_metrics(job) is not None
    assert has_metrics == (capabilities.curve in ("metrics", "checkpoints"))
    if capabilities.curve == "none":
        assert job.result_files == ()
    if capabilities.curve == "checkpoints":
        assert provider.list_checkpoints(job.id) != []
    events = provider.list_events(job.id, known=frozenset())
    assert all(event.id for event in events)
    if capabilities.events == "states":
        assert len(events) > 1


@every_site
def test_a_job_ends_with_a_model_that_completes_prompts(
    provider: Provider, trained: Trained
) -> None:
    job, naming = trained.job, provider.capabilities.naming
    assert (job.status, job.error, job.ended) == ("succeeded", None, True)
    assert (job.model, job.training_file) == (trained.request.model, trained.file.id)
    assert naming.is_job_id(job.id)
    listed, is_listed = (
        {model.id for model in provider.list_models()},
        provider.name not in UNLISTED,
    )
    assert (trained.model in listed) == is_listed
    if is_listed:
        assert provider.get_model(trained.model).base == trained.request.model
    prompts: list[Prompt] = ["1 is even ->", "2 is odd ->", "3 is odd ->"]
    trains_chats = provider.row_format(trained.request.model) is RowFormat.CHAT
    if trains_chats and trained.request.model not in ENGINE_SIZES:  # trained on completions here
        prompts = [Chat((Message("user", str(prompt)),)) for prompt in prompts]
    if provider.capabilities.serves:
        with deployed(provider, job) as model:
            assert len(provider.complete(model, prompts, SHORT)) == 3


@every_site
def test_a_deployment_is_made_found_listed_and_deleted(
    provider: Provider, trained: Trained
) -> None:
    if provider.find_deployment_rule({}) is None:
        assert list(provider.list_deployments()) == []
        return
    request = make_deployment_request(trained.job, "ftops-contract-1")
    assert provider.find_deployment(request) is None
    made = provider.create_deployment(request)
    found = provider.find_deployment(request)
    assert found is not None
    assert found.id == made.id == provider.get_deployment(made.id).id
    assert made.id in {deployment.id for deployment in provider.list_deployments()}
    other = provider.find_deployment(make_deployment_request(trained.job, "ftops-other-1"))
    assert (other is None) == (provider.name not in FOUND_BY_MODEL)
    provider.delete_deployment(made.id)
    wait_for_deletion(provider, made.id)
    assert provider.find_deployment(request) is None


@every_site
def test_a_deleted_model_is_not_found(provider: Provider, trained: Trained) -> None:
    request = dataclasses.replace(
        trained.request, suffix="gone", metadata={"ftops_run": "run-gone"}
    )
    job = wait_for_end(provider, provider.create_job(adapt_request(request, provider)))
    assert job.fine_tuned_model is not None
    if provider.name not in UNLISTED:
        assert provider.get_model(job.fine_tuned_model).base == request.model
        provider.delete_model(job.fine_tuned_model)
    assert job.fine_tuned_model not in {model.id for model in provider.list_models()}
    for method in (provider.get_model, provider.delete_model):
        with pytest.raises(NotFound):
            method(job.fine_tuned_model)


@every_site
def test_a_missing_job_is_not_found(provider: Provider) -> None:
    for method in (provider.get_job, provider.cancel_job):
        with pytest.raises(NotFound):
            method("ftjob-never")


def test_a_provider_has_its_name_and_account(provider: Provider) -> None:
    provider.ensure_ready()
    assert provider.name in PROVIDERS
    assert provider.account.startswith(provider.name)
    entry = PROVIDERS[provider.name]
    assert provider.capabilities in (
        entry.capabilities,
        *(capabilities for capabilities, _ in entry.protocols.values()),
    )


def test_an_upload_is_reported_found_read_and_deleted(provider: Provider, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 5000)
    size = path.stat().st_size
    progress: list[tuple[int, int]] = []
    file = provider.upload_file(
        path, filename="ftops-abc-train.jsonl", on_bytes=lambda *bytes: progress.append(bytes)
    )
    assert (file.filename, file.bytes, file.purpose) == ("ftops-abc-train.jsonl", size, "fine-tune")
    assert abs(datetime.now(UTC) - file.created_at) < timedelta(minutes=1)
    assert (progress[0], progress[-1]) == ((0, size), (size, size))
    assert len(progress) > 3
    assert provider.get_file(file.id) == file
    assert provider.find_file("ftops-abc-train.jsonl", size) == file
    assert file in list(provider.list_files())
    assert provider.read_file(file.id) == path.read_bytes()
    provider.delete_file(file.id)
    assert provider.find_file("ftops-abc-train.jsonl", size) is None
    with pytest.raises(NotFound):
        provider.get_file(file.id)
    with pytest.raises(NotFound):
        provider.delete_file(file.id)


@every_site
def test_a_file_of_another_name_or_size_is_not_found(provider: Provider, trained: Trained) -> None:
    assert provider.find_file(trained.file.filename, trained.file.bytes + 1) is None
    assert provider.find_file("other.jsonl", trained.file.bytes) is None


@every_site
def test_the_newest_of_two_equal_files_is_found(provider: Provider, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", 12)
    files = {upload(provider, path, "twice.jsonl") for _ in range(2)}  # one, where names are ids
    newest = provider.find_file("twice.jsonl", path.stat().st_size)
    assert newest is not None
    assert newest.created_at == max(file.created_at for file in files)
    for file in files:
        provider.delete_file(file.id)


def test_a_succeeded_job_has_its_fields(provider: Provider, trained: Trained) -> None:
    job = trained.job
    assert (job.status, job.error, job.ended) == ("succeeded", None, True)
    assert (job.model, job.training_file, job.validation_file) == ("ada", trained.file.id, None)
    assert (job.seed, job.metadata) == (trained.request.seed, trained.request.metadata)
    assert (job.hyperparameters["n_epochs"], job.hyperparameters["batch_size"]) == (1, 4)
    assert isinstance(job.hyperparameters["learning_rate_multiplier"], float | int)
    if not speaks_legacy(provider):
        assert job.trained_tokens is not None
        assert job.trained_tokens > 0
    assert job.finished_at is not None
    assert job.finished_at >= job.created_at
    assert "contract" in trained.model


@every_site
def test_a_job_is_found_by_its_request(provider: Provider, trained: Trained) -> None:
    found = provider.find_job(trained.request)
    assert found is not None
    assert found.id == trained.job.id
    keyed = dataclasses.replace(trained.request, metadata={"ftops_key": "key-contract"})
    by_key = provider.find_job(keyed)
    assert by_key is not None
    assert by_key.id == trained.job.id
    others = [
        dataclasses.replace(trained.request, metadata={"ftops_run": "run-never"}),
        dataclasses.replace(trained.request, metadata={"ftops_key": "key-never"}),
    ]
    if not provider.capabilities.metadata:
        others = [
            dataclasses.replace(trained.request, training_file="file-other"),
            dataclasses.replace(trained.request, validation_file=trained.file.id),
            dataclasses.replace(trained.request, model="other"),
            dataclasses.replace(trained.request, suffix="other"),
            dataclasses.replace(trained.request, suffix=None),
            dataclasses.replace(trained.request, hyperparameters=Hyperparameters(n_epochs=49)),
        ]
    for other in others:
        assert provider.find_job(other) is None, other
    known = trained.job.id
    assert provider.find_job(trained.request, job_filter=lambda job: job.id != known) is None


def test_an_unsupported_field_is_refused_before_anything_is_sent(
    provider: Provider, trained: Trained
) -> None:
    capabilities = provider.capabilities
    unsupported = [
        *([] if capabilities.seed else [dataclasses.replace(trained.request, seed=7)]),
        *(
            []
            if capabilities.metadata
            else [dataclasses.replace(trained.request, metadata={"a": "b"})]
        ),
    ]
    assert bool(unsupported) == speaks_legacy(provider)
    for request in unsupported:
        with pytest.raises(Rejected, match="nothing was sent"):
            provider.create_job(request)


def test_events_are_listed_once_and_oldest_first(provider: Provider, trained: Trained) -> None:
    events = provider.list_events(trained.job.id, known=frozenset())
    assert len({event.id for event in events}) == len(events) > 5
    assert [event.created_at for event in events] == sorted(event.created_at for event in events)
    if speaks_legacy(provider):
        assert [event.message for event in events] == [
            f"Created fine-tune: {trained.job.id}",
            "Fine-tune costs $0.00",
            "Fine-tune enqueued. Queue number: 0",
            "Fine-tune started",
            "Completed epoch 1/1",
            f"Uploaded model: {trained.model}",
            f"Uploaded result file: {trained.job.result_files[0]}",
            "Fine-tune succeeded",
        ]
    else:
        steps = [event.data["step"] for event in events if event.type == "metrics"]
        assert steps == [1, 2, 3, 4, 5, 6]
        assert all("train_loss" in event.data for event in events if event.type == "metrics")
    known = frozenset(event.id for event in events[:4])
    assert provider.list_events(trained.job.id, known=known) == events[4:]
    everything = frozenset(event.id for event in events)
    assert provider.list_events(trained.job.id, known=everything) == []


def test_streamed_events_come_once_and_in_order(provider: Provider, trained: Trained) -> None:
    clock = SystemClock()
    job = provider.create_job(
        dataclasses.replace(trained.request, hyperparameters=Hyperparameters(12, 4))
    )
    events: list[JobEvent] = []
    streamed_count = 0
    end_s = clock.monotonic_s() + 60
    while not job.ended:
        assert clock.monotonic_s() < end_s, job
        known = frozenset(event.id for event in events)
        streamed = list(provider.stream_events(job.id, known=known, wait_s=0.5))
        streamed_count += len(streamed)
        events += streamed
        job = provider.get_job(job.id)
        known = frozenset(event.id for event in events)
        events += provider.list_events(job.id, known=known)
    assert events == provider.list_events(job.id, known=frozenset())
    assert (streamed_count > 0) == speaks_legacy(provider)


def test_a_stream_of_events_of_a_missing_job_waits_and_is_empty(
    provider: Provider,
) -> None:
    clock = SystemClock()
    start_s = clock.monotonic_s()
    assert list(provider.stream_events("ft-never", known=frozenset(), wait_s=0.1)) == []
    assert 0.1 <= clock.monotonic_s() - start_s < 10


def test_results_are_a_table_with_one_row_per_step(provider: Provider, trained: Trained) -> None:
    (file_id,) = trained.job.result_files
    lines = provider.read_file(file_id).decode().splitlines()
    assert lines[0].startswith("step,")
    assert len(lines) == 1 + 6


def test_the_model_is_listed_and_completes_prompts(provider: Provider, trained: Trained) -> None:
    model = provider.get_model(trained.model)
    assert (model.id, model.base, model.fine_tuned) == (trained.model, "ada", True)
    listed = {entry.id: entry for entry in provider.list_models()}
    assert listed[trained.model] == model
    assert not listed["ada"].fine_tuned
    prompts = [f"{number} is odd ->" for number in range(40)]
    completions = provider.complete(trained.model, prompts, SHORT)
    assert len(completions) == 40
    assert all(completion.finish_reason in ("stop", "length") for completion in completions)
    again = provider.complete(trained.model, prompts[5:7], SHORT)
    assert [completion.text for completion in again] == [
        completion.text for completion in completions[5:7]
    ]
    assert all(completion.seconds and completion.shared > 1 for completion in completions)


def test_a_stream_has_the_text_of_the_completion(provider: Provider, trained: Trained) -> None:
    prompt = "3 is even ->"
    (whole,) = provider.complete(trained.model, [prompt], SHORT)
    assert whole.prompt_tokens
    assert "".join(provider.stream(trained.model, prompt, SHORT)) == whole.text


def test_a_stop_sequence_ends_the_completion(provider: Provider, trained: Trained) -> None:
    prompt = "3 is even ->"
    sampling = Sampling(max_tokens=20, temperature=1.0, seed=3)
    (free,) = provider.complete(trained.model, [prompt], sampling)
    assert provider.complete(trained.model, [prompt], sampling)[0].text == free.text
    stop = free.text[-1]
    (stopped,) = provider.complete(
        trained.model, [prompt], dataclasses.replace(sampling, stop=(stop,))
    )
    assert stopped.text == free.text.partition(stop)[0]
    assert stopped.finish_reason == "stop"


@every_site
def test_a_job_can_be_cancelled_twice(provider: Provider, trained: Trained) -> None:
    request = dataclasses.replace(
        trained.request,
        hyperparameters=Hyperparameters(n_epochs=500, batch_size=1),
        metadata={"ftops_run": "run-cancelled"},
    )
    job = provider.create_job(adapt_request(request, provider))
    provider.cancel_job(job.id)
    assert wait_for_end(provider, job).status == "cancelled"
    assert provider.cancel_job(job.id).status == "cancelled"
    assert provider.get_job(job.id).fine_tuned_model is None


def test_a_job_can_be_paused_twice_and_resumed_twice(provider: Provider, trained: Trained) -> None:
    if not provider.capabilities.pauses:
        for change in (provider.pause_job, provider.resume_job):
            with pytest.raises(Rejected, match="nothing was sent"):
                change(trained.job.id)
        return
    job = provider.create_job(
        dataclasses.replace(
            trained.request,
            hyperparameters=Hyperparameters(n_epochs=500, batch_size=1),
            metadata={"ftops_run": "run-paused"},
        )
    )
    wait_for_status(provider, job, "running")
    for _ in range(2):
        assert provider.pause_job(job.id).status in ("pausing", "paused")
    wait_for_status(provider, job, "paused")
    assert provider.pause_job(job.id).status == "paused"
    assert provider.resume_job(job.id).status in ("queued", "running")
    assert provider.resume_job(job.id).status in ("queued", "running")
    wait_for_status(provider, job, "running")
    provider.cancel_job(job.id)
    assert wait_for_end(provider, job).status == "cancelled"
    for change in (provider.pause_job, provider.resume_job):
        with pytest.raises(Rejected):
            change(job.id)


@every_site
def test_cancelling_a_finished_job_is_refused(provider: Provider, trained: Trained) -> None:
    with pytest.raises(Rejected):
        provider.cancel_job(trained.job.id)


def test_a_job_with_invalid_rows_fails_with_the_reason(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": 7}\n' * 10)
    try:
        file = upload(provider, path, "bad.jsonl")
        job = wait_for_end(provider, provider.create_job(JobRequest("ada", file.id)))
    except Rejected as error:  # a provider may check the rows at once
        assert "2" in error.message
    else:
        assert job.status == "failed"
        assert job.error is not None
        assert job.error.code == ("" if speaks_legacy(provider) else "invalid_training_file")
        assert "2" in job.error.message


@pytest.mark.parametrize(
    "request_", [JobRequest("ada", "file-never"), JobRequest("no-such-model", "FILE")]
)
def test_a_job_with_a_missing_file_or_model_is_refused(
    provider: Provider, trained: Trained, request_: JobRequest
) -> None:
    if request_.training_file == "FILE":
        request_ = dataclasses.replace(request_, training_file=trained.file.id)
    with pytest.raises((NotFound, Rejected)) as caught:
        provider.create_job(request_)
    assert caught.value.param in ("training_file", "model")


def test_missing_objects_raise_not_found(provider: Provider) -> None:
    for request in (
        lambda: provider.get_job("ftjob-never"),
        lambda: provider.cancel_job("ftjob-never"),
        lambda: provider.list_events("ftjob-never", known=frozenset()),
        lambda: provider.get_model("ft:ada:local:never:00000000"),
        lambda: provider.delete_model("ft:ada:local:never:00000000"),
        lambda: provider.read_file("file-never"),
        lambda: provider.complete("ft:ada:local:never:00000000", ["a"], SHORT),
        lambda: list(provider.stream("ft:ada:local:never:00000000", "a", SHORT)),
    ):
        with pytest.raises(NotFound):
            request()


def test_odd_names_raise_a_provider_error(provider: Provider) -> None:
    for name in ("", ".", "..", "a/b", "a?b", "a b", "%2e%2e", "ä", "\x00", "x" * 5000):
        with pytest.raises(ProviderError):
            provider.get_job(name)
        with pytest.raises(ProviderError):
            provider.delete_model(name)


def test_a_deleted_model_completes_no_prompt(provider: Provider, trained: Trained) -> None:
    request = dataclasses.replace(trained.request, metadata={"ftops_run": "run-deleted"})
    job = wait_for_end(provider, provider.create_job(adapt_request(request, provider)))
    assert job.fine_tuned_model is not None
    provider.delete_model(job.fine_tuned_model)
    with pytest.raises(NotFound):
        provider.complete(job.fine_tuned_model, ["a"], SHORT)
    assert job.fine_tuned_model not in {model.id for model in provider.list_models()}
    with pytest.raises(NotFound):
        provider.delete_model(job.fine_tuned_model)
    assert provider.get_job(job.id).status == "succeeded"


def test_a_model_trained_on_chats_completes_chats(provider: Provider, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]
    path = tmp_path / "chats.jsonl"
    path.write_text((json.dumps({"messages": turns}) + "\n") * 16)
    request = JobRequest(
        "ada", upload(provider, path, "chats.jsonl").id, hyperparameters=Hyperparameters(1, 4)
    )
    job = wait_for_end(provider, provider.create_job(request))
    assert job.fine_tuned_model is not None
    chat = Chat((Message("user", "Where?"),))
    completions = provider.complete(job.fine_tuned_model, [chat] * 20, SHORT)
    assert len({completion.text for completion in completions}) == 1
    assert completions[0].prompt_tokens
    streamed = "".join(provider.stream(job.fine_tuned_model, chat, SHORT))
    assert streamed == completions[0].text
