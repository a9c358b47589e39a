"""What a run costs, from the ledger alone, so that lists of runs stay fast."""

from dataclasses import replace
from datetime import datetime

from ftops.ledger.ledger import Ledger
from ftops.records import RunId
from ftops.stage_results import RunCost, StageResults


def read_cost(ledger: Ledger, run_id: RunId, now: datetime) -> RunCost:
    """What the run costs until `now`, as recorded; a deployment without a known price is free."""
    deployed = [
        record.get_cost_usd(now) or 0.0
        for record in ledger.list_deployments(live=False)
        if record.run_id == run_id
    ]
    cost = StageResults.read(ledger.list_stages(run_id)).cost
    return replace(cost, deployments_usd=sum(deployed))
