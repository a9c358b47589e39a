"""`ftops prune` in its own process, with an optional crash point.

    FOLDER POINT

It prunes all ended runs and their models, with a provider that keeps its state in the folder.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from ftops import crashpoints
from ftops.ledger.ledger import Ledger
from ftops.runs.prune import Criteria, Pruner, PruneStatus, select
from tests.fakes import FakeClock
from tests.runs.fake_provider import FakeProvider


def main(arguments: Sequence[str]) -> None:
    folder, point = Path(arguments[0]), arguments[1]
    clock = FakeClock()
    clock.advance(3600.0)
    provider = FakeProvider(folder / "provider", clock)
    ledger = Ledger(folder / "home" / "ledger.db", clock)
    criteria = Criteria(timedelta(0), models=True)
    selection = select(ledger, folder / "home", clock.now(), criteria)
    pruner = Pruner(ledger, folder / "home", selection.made_at, lambda _settings: provider)
    if point != "-":
        crashpoints.arm(point)
    results = [result for _, result in pruner.finish(selection)]
    results += [pruner.prune(artifacts) for artifacts in selection.artifacts]
    assert {result.status for result in results} <= {PruneStatus.PRUNED}, results
