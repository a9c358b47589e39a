"""Each fault between the command and a real engine, once: the run still has one job and all it was
told. Real sockets, the real adapter, the real trainer; only the waiting is short."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from ftops.clock import SystemClock
from ftops.engine.keys import create_key
from ftops.engine.store import Store
from ftops.errors import FtopsError
from ftops.ledger.ledger import Ledger
from ftops.orchestrator.desk import Desk
from ftops.orchestrator.runs import drive, open_run
from ftops.providers.registry import Context, build_provider
from ftops.records import RunStatus
from tests.crash.house import House, open_house
from tests.crash.processes import Nursery
from tests.fakes import FakeClock
from tests.faults.proxy import Fault, FaultyProxy, Kind, open_proxy
from tests.orchestrator.desks import Recorder, write_job

JOBS = "/v1/fine_tuning/jobs"
BROKEN: tuple[Kind, ...] = ("reset_before", "truncated", "bad_gateway", "error_500", "limited_1")
LOST: tuple[Kind, ...] = ("reset_after", "silence_after", "bad_gateway_after")
CASES = [Fault("POST", JOBS, 1, kind) for kind in (*BROKEN, *LOST)]
COMMANDS = 3  # of which the last must succeed
LAG_S = 8.0


class HurriedClock(FakeClock):
    """Seconds pass on it as they are asked for; a moment passes for the engine, too."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        threading.Event().wait(0.02)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    nursery = Nursery()
    with open_house(nursery, tmp_path_factory.mktemp("engine")) as house:
        yield house
        assert house.stop() == 0
    nursery.close()


def give_commands(folder: Path, proxy: FaultyProxy, key: str) -> tuple[int, Ledger]:
    """`run` as often as it takes; how often that was, and the ledger."""
    clock = proxy.clock
    job = write_job(
        folder, provider={"type": "openai", "base_url": proxy.base_url, "api_key_env": "PROOF_KEY"}
    )
    context = Context(environ={"PROOF_KEY": key}, home=folder / "home", clock=clock)
    ledger = Ledger(folder / "home" / "ledger.db", clock)
    for number in range(1, COMMANDS + 1):
        with (
            contextlib.closing(build_provider(job.spec.provider_settings(), context)) as provider,
            contextlib.suppress(FtopsError),
        ):
            desk = Desk(ledger, provider, clock, folder / "home", Recorder())
            if drive(open_run(job, desk), desk).status is RunStatus.SUCCEEDED:
                return number, ledger
    raise AssertionError(f"no command succeeds: {ledger.list_runs()[0].error}, {proxy.met}")


@pytest.mark.slow_proof
@pytest.mark.parametrize("fault", CASES, ids=lambda one: f"{one.method}-{one.path}-{one.kind}")
def test_a_run_that_meets_a_fault_has_one_job_and_all_that_was_told(
    engine: House, tmp_path: Path, fault: Fault
) -> None:
    number = CASES.index(fault)
    with contextlib.closing(Store(engine.paths.database, SystemClock())) as store:
        key = create_key(f"fault-{number}", store)
    address = json.loads(engine.paths.address.read_text())
    with open_proxy(address["base_url"], HurriedClock(), [fault], lag_s=LAG_S) as proxy:
        _, ledger = give_commands(tmp_path, proxy, key)
        (run,) = ledger.list_runs()
        stored = [event.id for event in ledger.list_events(run.id)]
        ledger.close()
    assert proxy.met == [fault]
    with openai.OpenAI(base_url=address["base_url"], api_key=key, max_retries=0) as sdk:
        (job,) = sdk.fine_tuning.jobs.list()
        told = [event.id for event in sdk.fine_tuning.jobs.list_events(job.id)]
        assert len(list(sdk.files.list(purpose="fine-tune"))) == 2
    assert run.job_id == job.id
    assert stored == told[::-1]
    assert (tmp_path / "home" / "runs" / run.id / "results.csv").exists()
