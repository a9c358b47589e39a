"""`ftops pause` and `ftops resume` with a training job."""

from typing import cast

import pytest

from ftops.records import Json
from tests.e2e.sandbox import Sandbox, finish

pytestmark = pytest.mark.timeout(120)


def test_a_followed_run_reports_pause_and_resume(sandbox: Sandbox) -> None:
    process = sandbox.start("run", sandbox.write_job("resting", epochs=80))
    assert process.stdout is not None
    for line in process.stdout:
        if "Training started" in line:
            break
    paused = cast(dict[str, Json], sandbox.invoke("pause", "resting", "--json").document)
    assert paused["status"] == "running", paused
    assert paused["job_status"] in ("pausing", "paused")
    assert sandbox.invoke("pause", "resting", "--quiet").out in ("pausing\n", "paused\n")
    for line in process.stdout:
        if "resumes it" in line:
            break
    assert f"ftops resume {paused['run_id']}" in line
    resumed = sandbox.invoke("resume", "resting")
    assert resumed.out.startswith(f"{paused['run_id']}: the job {paused['job_id']} is ")
    assert sandbox.invoke("resume", "resting").code == 0
    ended = finish(process)
    assert ended.code == 0, ended.err
    shown = cast(dict[str, Json], sandbox.invoke("show", "resting", "--json").document)
    calls = cast(list[dict[str, Json]], shown["remote_calls"])
    states = {str(call["call"]): call["state"] for call in calls}
    assert (states["pause_job"], states["resume_job"]) == ("done", "done")
    assert sandbox.invoke("pause", "resting").code == 1


def test_pause_of_a_legacy_run_is_refused_with_a_hint(sandbox: Sandbox) -> None:
    provider = "{type: local, protocol: legacy}"
    job = sandbox.write_job("old-style", epochs=1, seed=None, provider=provider)
    sandbox.invoke("run", job, "--detach")
    result = sandbox.invoke("pause", "old-style")
    assert result.code == 1
    assert "has no way to pause a job" in result.err
    assert "ftops cancel run-" in result.err
