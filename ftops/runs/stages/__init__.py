"""The seven stages of a run, one module each; `STAGES` maps each stage to its function."""

from collections.abc import Callable, Mapping

from ftops.records import Stage
from ftops.runs.context import StageContext, StageResult
from ftops.runs.stages.create import create
from ftops.runs.stages.deploy import deploy
from ftops.runs.stages.evaluate import evaluate
from ftops.runs.stages.follow import follow
from ftops.runs.stages.prepare import prepare
from ftops.runs.stages.results import results
from ftops.runs.stages.upload import upload

STAGES: Mapping[Stage, Callable[[StageContext], StageResult]] = {
    Stage.PREPARE: prepare,
    Stage.UPLOAD: upload,
    Stage.CREATE: create,
    Stage.FOLLOW: follow,
    Stage.RESULTS: results,
    Stage.DEPLOY: deploy,
    Stage.EVALUATE: evaluate,
}
