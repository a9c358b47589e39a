"""The stage that deploys the fine-tuned model; only runs at providers that require it have it."""

from ftops.runs.context import StageContext, StageResult
from ftops.runs.deployments import check_end, ensure_deployed, will_deploy
from ftops.stage_results import DeployResult


def deploy(stage: StageContext) -> StageResult:
    """Wait until the model is deployed; the result is a `DeployResult`."""
    if stage.run.fine_tuned_model is None:
        return StageResult(skipped="the job named no model")
    if not stage.provider.is_served(stage.spec.model, stage.spec.sections):
        return StageResult(skipped=f"models of {stage.spec.model} are not served")
    if not will_deploy(stage.spec, stage.provider):
        return StageResult(skipped="nothing is evaluated, and deploy.keep is not set")
    check_end(stage)
    stage.provider.ensure_ready()
    record = ensure_deployed(stage)
    return StageResult(DeployResult(record.id, record.call_name, record.hourly_usd).to_json())
