"""`ftops prune` with the real engine: what a run has left there and here goes, and comes back."""

import json

import pytest

from tests.e2e.house import House

pytestmark = pytest.mark.timeout(120)


def list_uploads(house: House) -> set[str]:
    """The ids of the training data at the engine."""
    listed = json.loads(house.look("files", "list", "--json").out)
    return {file["id"] for file in listed if file["purpose"] == "fine-tune"}


def test_an_old_run_leaves_its_room_and_its_data_goes_up_again_for_the_next(house: House) -> None:
    job = house.write_job("old", epochs=1)
    run = house.ftops("run", job, "--json").document  # the engine is not this process's child
    assert isinstance(run, dict)
    before = list_uploads(house)
    assert len(before) == 2
    assert house.look("prune").out == "There is nothing to prune.\n"

    shown = house.look("prune", "--older-than", "0m", "--models")
    assert str(run["fine_tuned_model"]) in shown.out.replace("\n", "")
    assert list_uploads(house) == before

    (pruned,) = json.loads(house.look("prune", "--older-than", "0m", "--yes", "--json").out)
    assert (pruned["run_id"], pruned["outcome"]) == (run["run_id"], "pruned")
    assert set(pruned["deleted"]) == before
    assert list_uploads(house) == set()
    assert list((house.home / "runs").iterdir()) == []
    asked = house.look("complete", "-m", "old", "-p", "the sea at noon")
    assert asked.code == 0  # models stay

    again = house.look("run", job, "--new", "--json").document
    assert isinstance(again, dict)
    assert again["status"] == "succeeded"
    assert len(list_uploads(house)) == 2
    assert house.look("prune", "--older-than", "0m", "--models", "--yes").code == 0
    gone = house.look("complete", "-m", str(again["fine_tuned_model"]), "-p", "the sea")
    assert gone.code == 1
    assert "was deleted" in gone.err
