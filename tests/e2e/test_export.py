"""The real `ftops` exports a real run."""

import json
from pathlib import Path

import pytest

from tests.e2e.sandbox import Sandbox
from tests.exports.test_tensorboard import list_points, read_events

pytestmark = pytest.mark.timeout(180)


def test_a_run_is_exported_with_the_figures_of_its_results(sandbox: Sandbox) -> None:
    job = sandbox.write_job("exported", epochs=1)
    text = "export:\n  - json: {file: exported.json}\n  - tensorboard: {folder: logs}\n"
    job.write_text(job.read_text() + text)
    result = sandbox.ftops("run", job, "--json")
    assert result.code == 0
    document = json.loads((sandbox.folder / "exported.json").read_text())
    (loss,) = (curve for curve in document["curves"] if curve["name"] == "train_loss")
    rows = json.loads(sandbox.invoke("results", "exported", "--json").out)["steps"]
    assert loss["steps"] == [row["step"] for row in rows]
    assert loss["values"] == [row["train_loss"] for row in rows]
    assert document["lineage"]["model"] == json.loads(result.out)["fine_tuned_model"]
    (folder,) = (sandbox.folder / "logs").iterdir()
    curve = list_points(read_events(folder), "train_loss")
    assert [step for step, _ in curve] == loss["steps"]
    assert [value for _, value in curve] == pytest.approx(loss["values"])  # 32 bits
    (sandbox.folder / "exported.json").unlink()
    assert sandbox.ftops("run", job).code == 0
    assert not (sandbox.folder / "exported.json").exists()
    again = sandbox.invoke(
        "export", "exported", "--to", f"json={sandbox.folder}/again.json", "--quiet"
    )
    assert again.out == f"{sandbox.folder}/again.json\n"
    assert json.loads(Path(again.out.strip()).read_text()) == document
