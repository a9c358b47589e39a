"""`ftops prune` with the real engine: files of a run are deleted, and uploaded again later."""

import json

import pytest

from tests.e2e.sandbox import Sandbox

pytestmark = pytest.mark.timeout(120)


def list_uploads(sandbox: Sandbox) -> set[str]:
    """The ids of the training data at the engine."""
    listed = json.loads(sandbox.invoke("files", "list", "--json").out)
    return {file["id"] for file in listed if file["purpose"] == "fine-tune"}


def test_an_old_run_is_deleted_and_the_next_run_uploads_its_data_again(
    sandbox: Sandbox,
) -> None:
    job = sandbox.write_job("old", epochs=1)
    run = sandbox.ftops("run", job, "--json").document  # the engine is not this process's child
    assert isinstance(run, dict)
    before = list_uploads(sandbox)
    assert len(before) == 2
    assert sandbox.invoke("prune").out == "There is nothing to prune.\n"

    shown = sandbox.invoke("prune", "--older-than", "0m", "--models")
    assert str(run["fine_tuned_model"]) in shown.out.replace("\n", "")
    assert list_uploads(sandbox) == before

    (pruned,) = json.loads(sandbox.invoke("prune", "--older-than", "0m", "--yes", "--json").out)
    assert (pruned["run_id"], pruned["outcome"]) == (run["run_id"], "pruned")
    assert set(pruned["deleted"]) == before
    assert list_uploads(sandbox) == set()
    assert list((sandbox.home / "runs").iterdir()) == []
    completion = sandbox.invoke("complete", "-m", "old", "-p", "the sea at noon")
    assert completion.code == 0  # models stay

    again = sandbox.invoke("run", job, "--new", "--json").document
    assert isinstance(again, dict)
    assert again["status"] == "succeeded"
    assert len(list_uploads(sandbox)) == 2
    assert sandbox.invoke("prune", "--older-than", "0m", "--models", "--yes").code == 0
    deleted = sandbox.invoke("complete", "-m", str(again["fine_tuned_model"]), "-p", "the sea")
    assert deleted.code == 1
    assert "was deleted" in deleted.err
