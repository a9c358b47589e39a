"""Runs at hosted providers are killed and repeated: one job, and no deployment is left to cost.

Each command is a real process, killed by SIGKILL; the stand-in of the provider lives on. Without
`-m slow_proof` only the points around the requests that cost money are covered.
"""

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ftops import crashpoints
from ftops.ledger.ledger import Ledger
from ftops.records import RunStatus
from tests.contract.serving import serve
from tests.crash.figures import PROVIDERS, Figures, Share
from tests.crash.hosted_worker import SITES, HostedSite
from tests.crash.processes import ProcessHarness
from tests.fakes import FakeClock

NAMES = tuple(SITES)
COSTLY = ("create.before_call", "create.after_call", "deploy.before_call", "deploy.after_call")
_LATER_S = 600.0  # between two commands


class Commands:
    """Runs commands at one site against one stand-in."""

    def __init__(self, harness: ProcessHarness, folder: Path, name: str) -> None:
        self._harness = harness
        self._folder = folder
        self._name = name
        self._count = 0
        self.server = SITES[name].make_server()

    def run(self, point: str = "-", count: int = 1, *, trace: Path | None = None) -> None:
        """Run one command to its end, or until it is killed at `point`."""
        output = self._folder / "output"
        output.unlink(missing_ok=True)
        environment = {crashpoints.VARIABLE: str(trace)} if trace else {}
        with serve(self.server) as address:
            start_s = str(self._count * _LATER_S)
            arguments = [str(self._folder), self._name, address, point, str(count), start_s]
            child = self._harness.start(
                "tests.crash.hosted_worker", arguments, output=output, environment=environment
            )
            code = child.wait()
        self._count += 1
        assert code == (0 if point == "-" else -signal.SIGKILL), output.read_text()[-3000:]


def check_outcome(folder: Path, site: HostedSite, server: Any) -> None:
    """One job, one deployment where one is needed, and nothing that costs any more."""
    ledger = Ledger(folder / "home" / "ledger.db", FakeClock())
    (run,) = ledger.list_runs()
    assert run.status is RunStatus.SUCCEEDED
    assert site.count_jobs(server) == 1
    assert not [call for call in ledger.list_calls(run.id) if call.state == "intent"]
    assert list(site.list_deployments(server)) == []
    assert ledger.list_deployments() == []
    assert site.count_deployed(server) == len(ledger.list_deployments(live=False))
    ledger.close()


def list_points(harness: ProcessHarness, folder: Path, name: str) -> dict[str, int]:
    """The crash points of an uninterrupted run, and how often it reaches each."""
    trace = folder / "trace"
    trace.mkdir(parents=True)
    commands = Commands(harness, folder, name)
    commands.run(trace=trace)
    check_outcome(folder, SITES[name], commands.server)
    lines = (trace / "trace").read_text().splitlines()
    return Counter(line.split()[1] for line in lines)


def kill_and_repeat(
    harness: ProcessHarness, folder: Path, name: str, point: str, count: int
) -> None:
    folder.mkdir()
    commands = Commands(harness, folder, name)
    commands.run(point, count)
    commands.run()
    check_outcome(folder, SITES[name], commands.server)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_killed_around_a_costly_request_has_one_job_and_no_deployment(
    harness: ProcessHarness, tmp_path: Path, name: str
) -> None:
    points = list_points(harness, tmp_path / "whole", name)
    assert set(COSTLY[:2]) <= set(points)
    for point in COSTLY:
        if point in points:
            kill_and_repeat(harness, tmp_path / point, name, point, 1)


@pytest.mark.slow_proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_killed_at_any_point_has_one_job_and_no_deployment(
    harness: ProcessHarness, tmp_path: Path, name: str, figures: Figures
) -> None:
    started_s = time.monotonic()
    with figures.enter(PROVIDERS, NAMES.index(name), len(NAMES)) as entry:
        cases = [
            (point, count)
            for point, times in list_points(harness, tmp_path / "whole", name).items()
            for count in range(1, times + 1)
        ]
        for number, (point, count) in enumerate(cases):
            kill_and_repeat(harness, tmp_path / str(number), name, point, count)
        entry.share = Share(
            runs=len(cases),
            commands=2 * len(cases),
            kills=len(cases),
            same=len(cases),
            seconds=time.monotonic() - started_s,
        )
