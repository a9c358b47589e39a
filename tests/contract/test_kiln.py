"""A provider with its own protocol completes a run with nothing but a `ProviderEntry`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftops.errors import AuthFailed, NotFound, ProviderError, Rejected, SpecError
from ftops.providers.address import Destination
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import (
    PROVIDERS,
    build_provider,
    find_destination,
    get_capabilities,
    list_catalog_tables,
)
from ftops.records import JobRequest, ProviderSettings, RunStatus, Sampling, Stage
from ftops.runs.open_run import make_key
from ftops.spec.job_file import LoadedJob, check_paths, check_provider, load_job
from ftops.spec.model import JobSpec
from ftops.spec.schema import render_reference, render_schema
from tests.contract.kiln import KILN
from tests.contract.kiln_server import KILN_KEY, KilnServer
from tests.fakes import FakeClock
from tests.runs.bench import Bench, write_job

SETTINGS = ProviderSettings("kiln")
WITH_KILN = {**PROVIDERS, "kiln": KILN}


@dataclass
class Site:
    """A bench with the provider Kiln and its server."""

    folder: Path
    server: KilnServer = field(default_factory=KilnServer)
    clock: FakeClock = field(default_factory=FakeClock)

    def connect(self, key: str = KILN_KEY) -> Provider:
        client = self.server.connect()
        context = ProviderContext({"KILN_KEY": key}, self.folder, self.clock, http_client=client)
        return build_provider(SETTINGS, context, WITH_KILN)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def bench(site: Site) -> Iterator[Bench]:
    bench = Bench(site.folder, site.clock)
    bench.provider = site.connect()  # type: ignore[assignment]
    yield bench
    bench.ledger.close()


def test_a_job_file_completes_all_seven_stages(site: Site, bench: Bench) -> None:
    job = bench.write_job(
        provider="kiln",
        model="clay",
        hyperparameters={"n_epochs": 2, "learning_rate": 1e-4},
        evaluate={"against": []},
    )
    check_provider(job, get_capabilities(SETTINGS, WITH_KILN))
    run = bench.run(job)
    assert (run.status, run.job_id, run.fine_tuned_model) == (RunStatus.SUCCEEDED, "1", "clay@1")
    assert bench.statuses(run) == [
        *("succeeded", "succeeded", "succeeded", "succeeded", "skipped", "succeeded", "succeeded")
    ]
    (training,) = site.server.trainings
    assert (training["passes"], training["rate"]) == (2, 1e-4)
    assert training["holdout"] == "kiln://datasets/2"
    assert bench.detail(run, Stage.EVALUATE)["rows"] == 3


def load_kiln(bench: Bench, text: str) -> LoadedJob:
    """Load a job file of Kiln that ends with `text`."""
    job = bench.write_job()
    head = "name: pots\nprovider: kiln\nmodel: clay\ntraining_file: train.jsonl\n"
    job.path.write_text(head + text)
    return load_job(job.path, environ={}, providers=WITH_KILN)


def test_a_section_of_the_provider_is_checked_and_sent(site: Site, bench: Bench) -> None:
    job = load_kiln(bench, "kiln: {queue: night, layers: 3}\n")
    assert job.spec.sections == {"kiln": {"queue": "night", "layers": 3}}
    assert JobSpec.from_json(job.spec.to_json()) == job.spec
    assert JobSpec.from_json(job.spec.canonical()).sections == job.spec.sections
    bench.run(job)
    (training,) = site.server.trainings
    assert (training["queue"], training["layers"]) == ("night", 3)


def test_a_section_of_defaults_is_the_same_job(bench: Bench) -> None:
    keys = {
        make_key(load_kiln(bench, text), "kiln:acme")
        for text in ("", "kiln:\n", "kiln: {}\n", "kiln: {queue: day, layers: null}\n")
    }
    assert len(keys) == 1
    assert make_key(load_kiln(bench, "kiln: {queue: night}\n"), "kiln:acme") not in keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kiln: {quue: night}\n", "job.yaml:5:8: unknown key 'quue' under kiln"),
        ("kiln:\n  layers: 65\n", "job.yaml:6:11: layers must be a whole number from 1 to 64"),
        ("kiln: {queue: nigth}\n", "did you mean 'night'?"),
        ("kiln: night\n", "job.yaml:5:7: kiln must be a mapping of queue, layers, not 'night'"),
        ("klin: {}\n", "job.yaml:5:1: unknown key 'klin'"),
    ],
)
def test_a_mistake_in_a_section_has_its_line_and_column(
    bench: Bench, text: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load_kiln(bench, text)
    assert message in caught.value.message


def test_a_section_of_another_provider_is_refused(bench: Bench) -> None:
    job = load_kiln(bench, "")
    for provider in ("local", "openai"):
        job.path.write_text(f"{job.text.replace(': kiln', f': {provider}')}kiln: {{layers: 3}}\n")
        with pytest.raises(SpecError, match=r"job.yaml:5:1: only the provider kiln reads kiln"):
            load_job(job.path, environ={}, providers=WITH_KILN)


def test_a_section_is_in_the_schema_and_in_the_reference() -> None:
    schema = json.loads(render_schema(WITH_KILN))
    assert {"$ref": "#/$defs/KilnOptions"} in schema["properties"]["kiln"]["anyOf"]
    assert schema["$defs"]["KilnOptions"]["additionalProperties"] is False
    assert schema["additionalProperties"] is False
    assert "`kiln.queue`" in render_reference(WITH_KILN)


def test_a_file_id_of_the_provider_is_not_a_path(site: Site, bench: Bench) -> None:
    provider = site.connect()
    file = provider.upload_file(
        bench.write_job().path.with_name("train.jsonl"),
        filename="clay.jsonl",
        on_bytes=lambda *_bytes: None,
    )
    job = load_kiln(bench, "")
    job.path.write_text(job.text.replace("train.jsonl", file.id))
    job = load_job(job.path, environ={}, providers=WITH_KILN)
    check_paths(job)
    assert job.find_data(file.id) is None
    assert bench.run(job).status == RunStatus.SUCCEEDED
    assert site.server.trainings[0]["dataset"] == file.id


def test_a_model_is_deployed_only_for_its_evaluation(site: Site, bench: Bench) -> None:
    bench.run(bench.write_job(provider="kiln", model="clay", evaluate={"against": []}))
    requests = site.server.requests
    assert requests.index("POST /deployments/clay@1") < requests.index(
        "POST /deployments/clay@1/generate"
    )
    assert requests[-2:] == ["DELETE /deployments/clay@1", "GET /deployments/clay@1"]
    assert site.server.deployments == {}


def test_the_same_job_file_uses_the_same_run_and_the_uploaded_files(
    site: Site, bench: Bench
) -> None:
    job = bench.write_job(provider="kiln", model="clay", evaluate={"against": []})
    first = bench.run(job)
    assert bench.run(job).id == first.id
    again = bench.run(job, new=True)
    assert (again.job_id, len(site.server.datasets)) == ("2", 2)


def test_a_relative_learning_rate_is_refused_by_name(tmp_path: Path) -> None:
    job = write_job(tmp_path, provider="kiln", hyperparameters={"learning_rate_multiplier": 2})
    with pytest.raises(SpecError, match="kiln takes no learning_rate_multiplier") as caught:
        check_provider(job, get_capabilities(SETTINGS, WITH_KILN))
    assert "write learning_rate instead" in str(caught.value)


def test_an_absolute_learning_rate_is_refused_where_it_is_relative(tmp_path: Path) -> None:
    job = write_job(tmp_path, provider="openai", hyperparameters={"learning_rate": 1e-4})
    with pytest.raises(SpecError, match="openai takes no learning_rate") as caught:
        check_provider(job, get_capabilities(ProviderSettings("openai")))
    assert "write learning_rate_multiplier instead" in str(caught.value)


def test_ids_and_names_have_the_format_of_the_provider() -> None:
    naming = KILN.capabilities.naming
    assert naming.is_file_id("kiln://datasets/7")
    assert not naming.is_file_id("file-7")
    assert naming.is_job_id("12")
    assert naming.find_base_model("clay@12") == "clay"
    assert naming.find_base_model("clay") is None


def test_its_key_is_only_sent_to_its_own_address() -> None:
    own = find_destination(SETTINGS, {}, WITH_KILN)
    assert own == Destination("https://kiln.example/v2", "KILN_KEY", is_approved=True)
    assert list_catalog_tables(SETTINGS, {}, WITH_KILN)[-1] == "kiln"
    other_address = ProviderSettings("kiln", base_url="https://other.example/v2")
    with pytest.raises(ProviderError, match=r"KILN_KEY is for https://kiln\.example/v2 alone"):
        find_destination(other_address, {}, WITH_KILN)


def test_files_are_listed_page_by_page_read_and_deleted(site: Site, tmp_path: Path) -> None:
    provider = site.connect()
    (tmp_path / "rows.jsonl").write_bytes(b"{}\n")
    files = [
        provider.upload_file(tmp_path / "rows.jsonl", filename=name, on_bytes=lambda *_bytes: None)
        for name in ("a", "b", "a")
    ]
    assert list(provider.list_files()) == files
    assert provider.find_file("a", 3) == files[2]
    assert provider.read_file(files[0].id) == b"{}\n"
    provider.delete_file(files[0].id)
    with pytest.raises(NotFound):
        provider.get_file(files[0].id)


def test_an_unsupported_operation_is_refused_before_anything_is_sent(site: Site) -> None:
    provider = site.connect()
    job = provider.create_job(JobRequest("clay", "kiln://datasets/1"))
    assert provider.list_events(job.id, known=frozenset()) == []
    assert provider.list_checkpoints(job.id) == []
    sent = len(site.server.requests)
    for unsupported in (
        lambda: provider.pause_job(job.id),
        lambda: provider.moderate(["text"]),
        lambda: provider.cancel_upload("1"),
        lambda: provider.download_weights(job, site.folder),
    ):
        with pytest.raises(Rejected, match=r"the provider .kiln. .*; nothing was sent"):
            unsupported()
    assert len(site.server.requests) == sent
    assert provider.cancel_job(job.id).status == "cancelled"


def test_its_errors_have_the_types_of_every_provider(site: Site) -> None:
    with pytest.raises(AuthFailed, match="who are you"):
        list(site.connect(key="wrong-key-0123456789").list_models())
    provider = site.connect()
    with pytest.raises(NotFound):
        provider.get_job("99")
    with pytest.raises(Rejected, match="is not deployed"):
        provider.complete("clay@1", ["a"], Sampling())
