"""Tokens per second of 32 chat clients at once, as a ratio to one client alone.

A real engine over loopback, a small `curie` that has barely trained (what it says does not
matter), plain HTTP clients. Rounds alternate between one client and 32, so that a busy machine
slows both; the figure is the median of the rounds' ratios. In the same rounds a client reads
nothing of its stream, and another one hangs up: neither may cost the others anything.
"""

import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI

from benchmarks.engine_process import EngineProcess, run_engine

CLIENTS = 32
TARGET = 5.0
ROUNDS = 3
SECONDS = 4.0
BASE = "curie"
MAX_TOKENS = 64


@dataclass(frozen=True)
class Server:
    """An engine, and a chat model that it has."""

    port: int
    token: str
    model: str

    def open(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, connection: http.client.HTTPConnection, *, stream: bool = False) -> None:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "tell me of rain and rivers"}],
            "max_tokens": MAX_TOKENS,
            "stream": stream,
        }
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)


def rate(server: Server, n_clients: int) -> float:
    """Tokens per second of that many clients, each asking again as soon as it is answered."""
    counts = [0] * n_clients
    began = time.perf_counter()

    def work(number: int) -> None:
        connection = server.open()
        while time.perf_counter() - began < SECONDS:
            server.ask(connection)
            answer = json.loads(connection.getresponse().read())
            counts[number] += answer["usage"]["completion_tokens"]
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def train(engine: EngineProcess) -> str:
    """A chat model with long answers, after a single pass over its data."""
    words = ("rain falls", "the river swells", "boats are tied", "lamps are lit", "night comes")
    with OpenAI(base_url=engine.base_url, api_key=engine.token) as client:
        rows = []
        for number in range(40):
            text = ", ".join(words[(number * step) % 5] for step in range(1, 30))
            turns = [
                {"role": "user", "content": f"tell me of evening {number}"},
                {"role": "assistant", "content": text},
            ]
            rows.append(json.dumps({"messages": turns}))
        file = client.files.create(file=("a.jsonl", "\n".join(rows).encode()), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model=BASE, training_file=file.id, hyperparameters={"n_epochs": 2, "batch_size": 20}
        )
        while job.finished_at is None:
            time.sleep(0.2)
            job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.fine_tuned_model, job.error
        return job.fine_tuned_model


def measure(server: Server) -> tuple[list[float], list[float]]:
    """Tokens per second of one client and of all, round by round."""
    one, many = [], []
    rate(server, 1)  # loads the model; not counted
    for _ in range(ROUNDS):
        one.append(rate(server, 1))
        silent, hasty = server.open(), server.open()
        for connection in (silent, hasty):
            server.ask(connection, stream=True)
        hasty.close()
        many.append(rate(server, CLIENTS))
        silent.close()
    return one, many


def main() -> int:
    """Print the ratio beside its target; 1 when it is missed."""
    with tempfile.TemporaryDirectory() as folder, run_engine(Path(folder, "engine")) as engine:
        one, many = measure(Server(engine.port, engine.token, train(engine)))
    ratio = statistics.median(b / a for a, b in zip(one, many, strict=True))
    verdict = "ok" if ratio >= TARGET else "MISSED"
    print(f"chat completions of {BASE}, median of {ROUNDS} rounds of {SECONDS:.0f} s")
    print(f"  1 client    {statistics.median(one):7.0f} tokens/s")
    print(f"  {CLIENTS} clients  {statistics.median(many):7.0f} tokens/s")
    print(f"  ratio       {ratio:7.1f}   at least {TARGET:.1f}   {verdict}")
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
