"""`ftops pause` and `ftops resume` with a job that trains, followed and not followed."""

from typing import cast

import pytest

from ftops.records import Json
from tests.e2e.house import House, finish

pytestmark = pytest.mark.timeout(120)


def test_a_run_that_is_followed_pauses_goes_on_and_says_so(house: House) -> None:
    process = house.start("run", house.write_job("resting", epochs=25))
    assert process.stdout is not None
    for line in process.stdout:
        if "Training started" in line:
            break
    paused = cast(dict[str, Json], house.look("pause", "resting", "--json").document)
    assert paused["status"] == "running"
    assert paused["job_status"] in ("pausing", "paused")
    assert house.look("pause", "resting", "--quiet").out in ("pausing\n", "paused\n")
    for line in process.stdout:
        if "resumes it" in line:
            break
    assert f"ftops resume {paused['run_id']}" in line
    resumed = house.look("resume", "resting")
    assert resumed.out.startswith(f"{paused['run_id']}: the job {paused['job_id']} is ")
    assert house.look("resume", "resting").code == 0
    ended = finish(process)
    assert ended.code == 0, ended.err
    shown = cast(dict[str, Json], house.look("show", "resting", "--json").document)
    calls = cast(list[dict[str, Json]], shown["remote_calls"])
    states = {str(call["call"]): call["state"] for call in calls}
    assert (states["pause_job"], states["resume_job"]) == ("done", "done")
    assert house.look("pause", "resting").code == 1


def test_a_legacy_run_is_refused_with_the_way_out(house: House) -> None:
    provider = "{type: local, protocol: legacy}"
    job = house.write_job("old-style", epochs=1, seed=None, provider=provider)
    house.look("run", job, "--detach")
    answer = house.look("pause", "old-style")
    assert answer.code == 1
    assert "has no way to pause a job" in answer.err
    assert "ftops cancel run-" in answer.err
