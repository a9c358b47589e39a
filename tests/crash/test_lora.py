"""Workers of the trainer `lora` are killed: the model has the same bytes as without kills.

Real workers, real kills, a small random model. Without `-m slow_proof` only a short form runs.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from tests.crash.figures import LORA, Figures, Share
from tests.crash.lora_worker import N_STEPS

METHODS = ("sft", "dpo")
POINTS = (
    "engine.worker.after_begin",
    "engine.worker.before_step_events",
    "engine.worker.after_step",
    "lora.before_checkpoint",
    "lora.after_checkpoint",
    "files.before_rename",
    "files.after_rename",
    "engine.worker.before_publish",
    "engine.worker.after_publish",
    "engine.worker.after_results",
)


def run(folder: Path, method: str, kills: list[tuple[str, int]]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.crash.lora_worker", str(folder), method]
    done = subprocess.run([*command, json.dumps(kills)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert report["signals"] == [signal.SIGKILL] * len(kills) + [0]
    return report


@pytest.mark.timeout(600)
def test_a_job_that_is_killed_has_the_same_bytes(tmp_path: Path) -> None:
    """A short form: dropout, SFT, two kills."""
    kills = [("engine.worker.after_step", 2), ("lora.before_checkpoint", 3)]
    killed = run(tmp_path / "killed", "sft", kills)
    assert killed["hashes"] == run(tmp_path / "whole", "sft", [])["hashes"]


@pytest.mark.slow_proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", METHODS)
def test_a_job_that_is_killed_at_every_step_and_point_has_the_same_bytes(
    tmp_path: Path, method: str, figures: Figures
) -> None:
    """With dropout; the next worker continues from the checkpoint that the killed one left."""
    after_step, after_checkpoint = ("engine.worker.after_step", 1), ("lora.after_checkpoint", 2)
    cases: dict[str, list[tuple[str, int]]] = {
        "lost": [after_step] * 2,
        "kept": [after_step, after_checkpoint] * ((N_STEPS - 1) // 2),  # a pair takes two steps
        **{point: [(point, 1)] for point in POINTS},
    }
    started_s = time.monotonic()
    with figures.enter(LORA, METHODS.index(method), len(METHODS)) as entry:
        whole = run(tmp_path / "whole", method, [])
        for name, kills in cases.items():
            assert run(tmp_path / name, method, kills)["hashes"] == whole["hashes"], name
        n_kills, seconds = sum(map(len, cases.values())), time.monotonic() - started_s
        entry.share = Share(runs=len(cases), kills=n_kills, same=len(cases), seconds=seconds)
