"""How soon news of a job reach who follows it, and what it costs the engine that many do.

A process of its own writes events into the engine's database, as workers do. Readers of the stream
and pollers (every 0.25 s) note when they see each. Then nothing happens, with 100 readers and with
none, and the engine's processor time is compared.
"""

import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.engine_process import EngineProcess, run_engine
from ftops.clock import SystemClock
from ftops.engine.ids import new_id
from ftops.engine.settings import EngineFolder
from ftops.engine.store import JobRow, JobStatus, NewEvent, Store

EVENTS = 20
READERS = 100
POLL_EVERY_S = 0.25
IDLE_S = 5.0
LIMIT_S = 0.5
LIMIT_SHARE = 0.03  # of one processor, for all idle readers together


def add_job(store: Store) -> str:
    """A legacy job that stays unfinished, and that no worker takes."""
    job_id = new_id("ft")
    job = JobRow(
        id=job_id,
        status=JobStatus.PAUSED,
        model="ada",
        base="ada",
        training_file="file-1",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata={},
        hyperparameters={},
        created_at=store.now(),
    )
    store.add_job(job, NewEvent("created", f"Created fine-tune: {job_id}"))
    return job_id


def open_stream(engine: EngineProcess, job_id: str) -> http.client.HTTPResponse:
    """The stream of the job's events, read up to the first one."""
    connection = engine.open()
    path = f"/v1/fine-tunes/{job_id}/events?stream=true"
    connection.request("GET", path, headers=engine.headers)
    stream = connection.getresponse()
    stream.readline()
    return stream


def read_stream(engine: EngineProcess, job_id: str, saw: Callable[[str], None]) -> None:
    """Call `saw` with each event's message until all have come."""
    stream, count = open_stream(engine, job_id), 0
    while count < EVENTS:
        line = stream.readline()
        if b"Completed epoch" in line:
            saw(json.loads(line.removeprefix(b"data: "))["message"])
            count += 1


def poll(engine: EngineProcess, job_id: str, saw: Callable[[str], None]) -> None:
    """The same for one that asks again and again."""
    connection, seen = engine.open(), set[str]()
    while len(seen) < EVENTS:
        body = engine.get(connection, f"/v1/fine-tunes/{job_id}/events")
        for event in json.loads(body)["data"]:
            if "Completed epoch" in event["message"] and event["message"] not in seen:
                seen.add(event["message"])
                saw(event["message"])
        time.sleep(POLL_EVERY_S)


def time_news(engine: EngineProcess, store: Store, job_id: str) -> dict[str, list[float]]:
    """Seconds from an event's commit to each kind of follower."""
    written: dict[str, float] = {}
    taken: dict[str, list[float]] = {"reader of the stream": [], "poller": []}
    threads = []
    for (_, found), follow in zip(taken.items(), (read_stream, poll), strict=True):

        def saw(message: str, found: list[float] = found) -> None:
            found.append(time.perf_counter() - written[message])

        threads.append(threading.Thread(target=follow, args=(engine, job_id, saw)))
    for thread in threads:
        thread.start()
    for number in range(EVENTS):
        time.sleep(0.13)
        written[f"Completed epoch {number}/{EVENTS}"] = time.perf_counter()
        store.add_events(job_id, NewEvent(f"epoch:{number}", f"Epoch {number}/{EVENTS} completed."))
    for thread in threads:
        thread.join()
    return taken


def busy_share(engine: EngineProcess) -> float:
    """The share of a processor that the engine uses while nothing happens."""
    before, began = engine.processor_s, time.perf_counter()
    time.sleep(IDLE_S)
    return (engine.processor_s - before) / (time.perf_counter() - began)


def main() -> int:
    """Print delays and costs beside their limits; 1 when one is exceeded."""
    if not Path("/proc/self/stat").exists():
        print("skipped: there is no /proc here")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "engine")
        store = Store(EngineFolder(folder).database, SystemClock())
        job_id = add_job(store)
        with run_engine(folder) as engine:
            taken = time_news(engine, store, job_id)
            alone = busy_share(engine)
            streams = [open_stream(engine, job_id) for _ in range(READERS)]
            share = busy_share(engine) - alone
            for stream in streams:
                stream.close()
        store.close()
    print(f"{'an event reaches':24}{'median ms':>10}{'worst ms':>10}   limit {1000 * LIMIT_S:.0f}")
    for who, found in taken.items():
        print(f"{who:24}{1000 * statistics.median(found):10.0f}{1000 * max(found):10.0f}")
    print(f"{READERS} idle readers cost {share:.1%} of a processor   limit {LIMIT_SHARE:.0%}")
    return int(max(max(found) for found in taken.values()) > LIMIT_S or share > LIMIT_SHARE)


if __name__ == "__main__":
    sys.exit(main())
