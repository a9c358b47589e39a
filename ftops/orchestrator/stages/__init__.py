"""The six stages of a run, one file each; `STAGES` names the function that does each."""

from collections.abc import Callable, Mapping

from ftops.orchestrator.stages.create import create
from ftops.orchestrator.stages.evaluate import evaluate
from ftops.orchestrator.stages.follow import follow
from ftops.orchestrator.stages.prepare import prepare
from ftops.orchestrator.stages.results import results
from ftops.orchestrator.stages.upload import upload
from ftops.orchestrator.work import Outcome, Work
from ftops.records import Stage

STAGES: Mapping[Stage, Callable[[Work], Outcome]] = {
    Stage.PREPARE: prepare,
    Stage.UPLOAD: upload,
    Stage.CREATE: create,
    Stage.FOLLOW: follow,
    Stage.RESULTS: results,
    Stage.EVALUATE: evaluate,
}
