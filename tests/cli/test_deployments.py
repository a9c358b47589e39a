"""`ftops deployments`, `deploy`, `undeploy` and what `runs`, `models` and `doctor` show of them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.providers.provider import ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import ProviderSettings, Run
from ftops.runs.context import RunContext
from ftops.runs.open_run import drive, open_run
from tests.cli.running import ftops
from tests.contract.serving import serve
from tests.contract.together_server import BASE, KEY, TogetherServer
from tests.fakes import FakeClock
from tests.runs.bench import Recorder, write_job


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TogetherServer]:
    """The stand-in at the address that the environment names."""
    server = TogetherServer()
    monkeypatch.setenv("FTOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    with serve(server) as address:
        monkeypatch.setenv("TOGETHER_BASE_URL", f"{address}/v1")
        yield server


@pytest.fixture
def run(server: TogetherServer, tmp_path: Path) -> Run:
    """A succeeded run whose deployment is kept."""
    clock = FakeClock(SystemClock().now())
    ledger = Ledger(tmp_path / "home" / "ledger.db", clock)

    provider = build_provider(
        ProviderSettings("together"),
        ProviderContext(
            dict(os.environ),
            tmp_path / "home",
            clock,
            http_client=server.connect(),
            find_deployed=ledger.find_call_name,
        ),
    )
    context = RunContext(ledger, provider, clock, tmp_path / "home", Recorder())
    job = write_job(
        tmp_path,
        provider="together",
        model=BASE,
        deploy={"keep": True},
        evaluate={"against": []},
    )
    finished = drive(open_run(job, context), context)
    provider.close()
    ledger.close()
    return finished


def test_deployments_are_listed_with_their_cost_and_end(run: Run) -> None:
    (document,) = json.loads(ftops("deployments", "--json").out)
    assert (document["run_id"], document["model"]) == (run.id, run.fine_tuned_model)
    assert (document["status"], document["hourly_usd"]) == ("ready", 5.5)
    assert document["ends_at"] is not None
    assert document["ended_at"] is None
    text = ftops("deployments").out
    assert "$5.50 an hour" in text


def test_runs_and_models_show_what_is_deployed(run: Run) -> None:
    for command in (("runs",), ("models", "list", "--provider", "together")):
        text = " ".join(ftops(*command).out.split())
        assert "is deployed: $5.50 an hour" in text
        assert "ftops undeploy ftops-" in text


def test_a_deployment_is_ended_by_any_of_its_names(run: Run, server: TogetherServer) -> None:
    result = ftops("undeploy", run.id, "--yes")
    assert result.code == 0, result.err
    assert server.endpoints.deployments == {}
    assert json.loads(ftops("deployments", "--json").out) == []
    (ended,) = json.loads(ftops("deployments", "--all", "--json").out)
    assert ended["ended_at"] is not None
    again = ftops("undeploy", run.id, "--yes")
    assert again.code == 1
    assert "has no live deployment" in again.err


def test_a_model_that_is_not_deployed_says_how_to_deploy_it(run: Run) -> None:
    assert ftops("undeploy", run.id, "--yes").code == 0
    result = ftops("complete", "-m", run.id, "-p", "1")
    assert result.code == 1
    assert "is not deployed, and answers only then" in result.err
    assert f"ftops deploy {run.id}" in result.err


def test_a_live_deployment_is_used_again(run: Run, server: TogetherServer) -> None:
    before = dict(server.endpoints.deployments)
    result = ftops("deploy", run.id, "--json")
    assert result.code == 0, result.err
    assert set(server.endpoints.deployments) == set(before)


def test_doctor_lists_what_costs_and_finds_what_this_ledger_does_not_know(
    run: Run, server: TogetherServer, tmp_path: Path
) -> None:
    checks = json.loads(ftops("doctor", "--json").out)
    (check,) = [check for check in checks if check["check"] == "deployments"]
    assert check["status"] == "ok"
    ledger = Ledger(tmp_path / "home" / "ledger.db", SystemClock())
    with ledger._changing("update_deployment") as connection:
        connection.execute("DELETE FROM deployments")
    ledger.close()
    checks = json.loads(ftops("doctor", "--json").out)
    (check,) = [check for check in checks if check["check"] == "deployments"]
    assert check["status"] == "problem"
    assert "this ledger does not know it" in check["what"]


def test_undeploy_needs_names_or_the_option_for_those_whose_time_is_over(run: Run) -> None:
    assert ftops("undeploy").code == 2
    assert ftops("undeploy", run.id, "--overdue").code == 2
    assert json.loads(ftops("undeploy", "--overdue", "--yes", "--json").out) == []
