"""Steps per second of one training job while 8 clients poll it, as a ratio to no polling.

The same job trains all the while; rounds alternate between no clients and 8, each of which asks for
the job and its events every 0.75 s. Steps are counted in the file to which the worker writes each.
"""

import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from openai import OpenAI

from benchmarks.engine_process import EngineProcess, run_engine
from ftops.engine.settings import EngineFolder

CLIENTS = 8
POLL_EVERY_S = 0.75
ROUNDS = 5
SECONDS = 4.0
TARGET = 0.9
_DATA = Path(__file__).parent.parent / "configs" / "data" / "household-faq" / "train.jsonl"


def start_job(engine: EngineProcess, steps: Path) -> str:
    """A job that trains for longer than this takes, once it is at work."""
    with OpenAI(base_url=engine.base_url, api_key=engine.token) as client:
        file = client.files.create(file=_DATA, purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model="ada",
            training_file=file.id,
            hyperparameters={"n_epochs": 1000, "batch_size": 8},
        )
    path = steps / job.id / "steps.csv"
    while not path.exists() or count_steps(path) < 20:
        time.sleep(0.1)
    return job.id


def count_steps(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def rate(engine: EngineProcess, job_id: str, steps: Path, n_clients: int) -> float:
    """Steps per second while that many clients poll."""
    over = threading.Event()

    def poll() -> None:
        connection = engine.open()
        while not over.wait(POLL_EVERY_S):
            for path in (job_id, f"{job_id}/events?limit=100"):
                json.loads(engine.get(connection, f"/v1/fine_tuning/jobs/{path}"))
        connection.close()

    threads = [threading.Thread(target=poll) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    first, began = count_steps(steps), time.perf_counter()
    time.sleep(SECONDS)
    found = (count_steps(steps) - first) / (time.perf_counter() - began)
    over.set()
    for thread in threads:
        thread.join()
    return found


def main() -> int:
    """Print the ratio beside its target; 1 when it is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "engine")
        jobs = EngineFolder(folder).jobs
        with run_engine(folder) as engine:
            job_id = start_job(engine, jobs)
            steps = jobs / job_id / "steps.csv"
            pairs = [
                (rate(engine, job_id, steps, 0), rate(engine, job_id, steps, CLIENTS))
                for _ in range(ROUNDS)
            ]
            with OpenAI(base_url=engine.base_url, api_key=engine.token) as client:
                client.fine_tuning.jobs.cancel(job_id)
    ratio = statistics.median(polled / alone for alone, polled in pairs)
    verdict = "ok" if ratio >= TARGET else "MISSED"
    print(f"one job of ada, median of {ROUNDS} pairs of {SECONDS:.0f} s")
    print(f"  no polling       {statistics.median(pair[0] for pair in pairs):7.1f} steps/s")
    print(f"  {CLIENTS} clients poll   {statistics.median(pair[1] for pair in pairs):7.1f} steps/s")
    print(f"  ratio            {ratio:7.2f}   at least {TARGET:.2f}   {verdict}")
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
