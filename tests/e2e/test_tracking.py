"""The real `ftops` tells real tools of a real run."""

import json
from pathlib import Path

import pytest

from tests.e2e.house import House
from tests.exports.test_tensorboard import points, read

pytestmark = pytest.mark.timeout(180)


def test_a_run_is_in_each_tool_with_the_figures_of_its_results(house: House) -> None:
    job = house.write_job("tracked", epochs=1)
    text = "export:\n  - json: {file: told.json}\n  - tensorboard: {folder: logs}\n"
    job.write_text(job.read_text() + text)
    done = house.ftops("run", job, "--json")
    assert done.code == 0
    document = json.loads((house.folder / "told.json").read_text())
    (loss,) = (one for one in document["curves"] if one["name"] == "train_loss")
    rows = json.loads(house.look("results", "tracked", "--json").out)["steps"]
    assert loss["steps"] == [row["step"] for row in rows]
    assert loss["values"] == [row["train_loss"] for row in rows]
    assert document["lineage"]["model"] == json.loads(done.out)["fine_tuned_model"]
    (folder,) = (house.folder / "logs").iterdir()
    shown = points(read(folder), "train_loss")
    assert [step for step, _ in shown] == loss["steps"]
    assert [value for _, value in shown] == pytest.approx(loss["values"])  # of 32 bits there
    (house.folder / "told.json").unlink()
    assert house.ftops("run", job).code == 0
    assert not (house.folder / "told.json").exists()
    again = house.look("export", "tracked", "--to", f"json={house.folder}/again.json", "--quiet")
    assert again.out == f"{house.folder}/again.json\n"
    assert json.loads(Path(again.out.strip()).read_text()) == document
