"""Trains one job of the trainer `lora` by real workers, and kills all but the last one.

`python -m tests.crash.lora_worker FOLDER METHOD KILLS` prints one line of JSON: the signals that
ended the workers, and the SHA-256 of each file of the model. FOLDER is the engine's, METHOD is
`sft` or `dpo`, and KILLS is JSON: a crash point and the passing at which the worker is killed, for
each worker. Workers are forked, so PyTorch is imported once.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch

from ftops import crashpoints
from ftops.clock import SystemClock
from ftops.engine import worker
from ftops.engine.base_models import BaseModel
from ftops.engine.lora.trainer import LoraTrainer
from ftops.engine.settings import EngineFolder
from ftops.engine.store import JobRow, JobStatus, Store
from ftops.files import make_private_dir
from ftops.records import Json, Method
from tests.engine.lora.small_model import QUESTIONS, add_model

JOB = "ftjob-lora"
N_STEPS = 9
_HYPERPARAMETERS: dict[str, Json] = {
    "n_epochs": 3,
    "batch_size": 2,
    "lora": {"rank": 4, "dropout": 0.2},
}


def create_job(folder: EngineFolder, method: str) -> BaseModel:
    """Queue a job with five rows on a small random model, which is returned."""
    for path in (folder.files, folder.models, folder.job(JOB).root):
        make_private_dir(path)
    base = add_model(folder.base_models)
    answers = [*QUESTIONS.values()]
    lines = []
    for n, question in enumerate(QUESTIONS):
        prompt = [{"role": "user", "content": question}]
        good, other = (
            [{"role": "assistant", "content": answer}] for answer in (answers[n], answers[n - 1])
        )
        pair = {
            "input": {"messages": prompt},
            "preferred_output": good,
            "non_preferred_output": other,
        }
        lines.append(json.dumps(pair if method == "dpo" else {"messages": prompt + good}) + "\n")
    folder.job(JOB).training.write_text("".join(lines))
    store = Store(folder.database, SystemClock())
    job = JobRow(
        id=JOB,
        status=JobStatus.QUEUED,
        model="small",
        base="small",
        training_file="file-1",
        validation_file=None,
        suffix=None,
        seed=7,
        metadata={},
        hyperparameters=_HYPERPARAMETERS,
        created_at=store.now(),
        method=Method.DPO if method == "dpo" else Method.SUPERVISED,
    )
    store.jobs.add(job)
    store.close()
    return base


def run_worker(
    folder: EngineFolder, trainer: LoraTrainer, kill: tuple[str, int] | None = None
) -> int:
    """Run a worker that is killed at a crash point; returns the signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        crashpoints.arm(*kill) if kill else crashpoints.arm(None)
        arguments = ["--folder", str(folder.root), "--job", JOB, "--checkpoint-every-s", "0"]
        os._exit(worker.main(arguments, lambda _: trainer))
    _, status = os.waitpid(pid, 0)
    store = Store(folder.database, SystemClock())
    job = store.jobs.find(JOB)
    if job is not None and job.status is JobStatus.FAILED:
        sys.exit(f"the job failed: {job.error_message}")
    store.release(JOB)
    store.close()
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main() -> None:
    """Train and report."""
    name, method, kills = sys.argv[1:]
    folder = EngineFolder(Path(name))
    torch.set_num_threads(1)
    trainer = LoraTrainer(create_job(folder, method))
    signals = [run_worker(folder, trainer, (point, count)) for point, count in json.loads(kills)]
    signals.append(run_worker(folder, trainer))
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.model(JOB).iterdir())
        if path.name in ("adapter_model.safetensors", "adapter_config.json", "row_losses.csv")
    }
    sys.stdout.write(json.dumps({"signals": signals, "hashes": hashes}) + "\n")


if __name__ == "__main__":
    main()
