"""Runs succeed with HTTP servers that have no events, checkpoints or results files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ftops.errors import JobFailed, PermissionRefused
from ftops.providers.provider import ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import JobProtocol, Run, RunStatus
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from ftops.spec.job_file import LoadedJob
from tests.job_server import JOBS, Server
from tests.loopback import serve_loopback
from tests.runs.bench import Bench, write_rows

OPTIONAL = re.compile(r".*/(events|checkpoints|content)")


@contextmanager
def serve(bench: Bench, protocol: JobProtocol) -> Iterator[tuple[Server, LoadedJob, RunContext]]:
    """The server, a job file for it, and a context whose provider uses it over HTTP."""
    server = Server(protocol)
    with serve_loopback(server.answer) as port:
        base_url = f"http://127.0.0.1:{port}/v1"
        settings = {"type": "openai", "base_url": base_url, "api_key_env": "SOME_KEY"}
        job = bench.write_job(
            provider={**settings, "protocol": protocol},
            model="babbage-002",
            training_file="many.jsonl",
            validation_file=None,
        )
        write_rows(
            bench.folder / "many.jsonl", [(f"question {n}\n\n", f" {n % 3}") for n in range(30)]
        )
        provider_context = ProviderContext(
            {"SOME_KEY": "sk-test-0123456789"}, bench.home, bench.clock
        )
        provider = build_provider(job.spec.provider_settings(), provider_context)
        context = RunContext(bench.ledger, provider, bench.clock, bench.home, bench.recorder)
        yield server, job, context
        provider.close()


def run(job: LoadedJob, context: RunContext, *, retry: bool = False) -> Run:
    return drive(open_run(job, context, retry=retry), context)


@pytest.mark.parametrize("protocol", JOBS)
@pytest.mark.parametrize("status", [200, 400, 403, 404, 405, 410, 451, 500, 501])
def test_a_run_succeeds_without_optional_routes(
    bench: Bench, protocol: JobProtocol, status: int
) -> None:
    with serve(bench, protocol) as (server, job, context):
        server.refuse(f"GET {OPTIONAL.pattern}", status)
        done = run(job, context)
    assert (done.status, done.fine_tuned_model) == (RunStatus.SUCCEEDED, "ft:ftjob-1")
    assert len(server.jobs) == 1
    on_note = [
        note for note in bench.recorder.notes if "the run continues by the job's status" in note
    ]
    assert len(on_note) == 1
    assert "list the events of ftjob-1" in on_note[0]


@pytest.mark.parametrize("protocol", JOBS)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 429, 451, 502])
def test_a_temporarily_unreadable_job_is_followed_and_created_once(
    bench: Bench, protocol: JobProtocol, status: int
) -> None:
    with serve(bench, protocol) as (server, job, context):
        server.refuse(rf"GET {JOBS[protocol]}/ftjob-\d+", status, times=4)
        done = run(job, context)
        second = run(job, context, retry=True)
    assert (done.status, second.id, len(server.jobs)) == (RunStatus.SUCCEEDED, done.id, 1)


@pytest.mark.parametrize("protocol", JOBS)
def test_after_a_long_refusal_each_command_continues_with_the_job(
    bench: Bench, protocol: JobProtocol
) -> None:
    with serve(bench, protocol) as (server, job, context):
        server.refuse(rf"GET {JOBS[protocol]}/ftjob-\d+", 403)
        for retry in (False, True):
            with pytest.raises(PermissionRefused, match="may still be running"):
                run(job, context, retry=retry)
        server.refusals.clear()
        assert run(job, context, retry=True).fine_tuned_model == "ft:ftjob-1"
    assert len(server.jobs) == 1


@pytest.mark.parametrize("protocol", JOBS)
def test_a_failed_job_fails_the_run_without_events(bench: Bench, protocol: JobProtocol) -> None:
    with serve(bench, protocol) as (server, job, context):
        server.final_status = "failed"
        server.refuse(f"GET {OPTIONAL.pattern}", 404)
        with pytest.raises(JobFailed):
            run(job, context)
        server.final_status, server.retrieve_count = "succeeded", 0
        assert run(job, context, retry=True).job_id == "ftjob-2"
    assert len(server.jobs) == 2
