"""The real `ftops` tells real tools of a real run."""

import json
from pathlib import Path

import pytest

from tests.e2e.sandbox import Sandbox
from tests.exports.test_tensorboard import list_points, read_events

pytestmark = pytest.mark.timeout(180)


def test_a_run_is_in_each_tool_with_the_figures_of_its_results(sandbox: Sandbox) -> None:
    job = sandbox.write_job("tracked", epochs=1)
    text = "export:\n  - json: {file: told.json}\n  - tensorboard: {folder: logs}\n"
    job.write_text(job.read_text() + text)
    done = sandbox.ftops("run", job, "--json")
    assert done.code == 0
    document = json.loads((sandbox.folder / "told.json").read_text())
    (loss,) = (one for one in document["curves"] if one["name"] == "train_loss")
    rows = json.loads(sandbox.look("results", "tracked", "--json").out)["steps"]
    assert loss["steps"] == [row["step"] for row in rows]
    assert loss["values"] == [row["train_loss"] for row in rows]
    assert document["lineage"]["model"] == json.loads(done.out)["fine_tuned_model"]
    (folder,) = (sandbox.folder / "logs").iterdir()
    shown = list_points(read_events(folder), "train_loss")
    assert [step for step, _ in shown] == loss["steps"]
    assert [value for _, value in shown] == pytest.approx(loss["values"])  # of 32 bits there
    (sandbox.folder / "told.json").unlink()
    assert sandbox.ftops("run", job).code == 0
    assert not (sandbox.folder / "told.json").exists()
    again = sandbox.look(
        "export", "tracked", "--to", f"json={sandbox.folder}/again.json", "--quiet"
    )
    assert again.out == f"{sandbox.folder}/again.json\n"
    assert json.loads(Path(again.out.strip()).read_text()) == document
