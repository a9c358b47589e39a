"""`ftops prune` with the real engine: what a run has left there and here goes, and comes back."""

import json

import pytest

from tests.e2e.sandbox import Sandbox

pytestmark = pytest.mark.timeout(120)


def list_uploads(sandbox: Sandbox) -> set[str]:
    """The ids of the training data at the engine."""
    listed = json.loads(sandbox.look("files", "list", "--json").out)
    return {file["id"] for file in listed if file["purpose"] == "fine-tune"}


def test_an_old_run_leaves_its_room_and_its_data_goes_up_again_for_the_next(
    sandbox: Sandbox,
) -> None:
    job = sandbox.write_job("old", epochs=1)
    run = sandbox.ftops("run", job, "--json").document  # the engine is not this process's child
    assert isinstance(run, dict)
    before = list_uploads(sandbox)
    assert len(before) == 2
    assert sandbox.look("prune").out == "There is nothing to prune.\n"

    shown = sandbox.look("prune", "--older-than", "0m", "--models")
    assert str(run["fine_tuned_model"]) in shown.out.replace("\n", "")
    assert list_uploads(sandbox) == before

    (pruned,) = json.loads(sandbox.look("prune", "--older-than", "0m", "--yes", "--json").out)
    assert (pruned["run_id"], pruned["outcome"]) == (run["run_id"], "pruned")
    assert set(pruned["deleted"]) == before
    assert list_uploads(sandbox) == set()
    assert list((sandbox.home / "runs").iterdir()) == []
    asked = sandbox.look("complete", "-m", "old", "-p", "the sea at noon")
    assert asked.code == 0  # models stay

    again = sandbox.look("run", job, "--new", "--json").document
    assert isinstance(again, dict)
    assert again["status"] == "succeeded"
    assert len(list_uploads(sandbox)) == 2
    assert sandbox.look("prune", "--older-than", "0m", "--models", "--yes").code == 0
    gone = sandbox.look("complete", "-m", str(again["fine_tuned_model"]), "-p", "the sea")
    assert gone.code == 1
    assert "was deleted" in gone.err
