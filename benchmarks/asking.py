"""1,000 questions asked with `ask`, as a ratio to what the engine's own batcher gives.

A real engine over loopback with a small `ada` that has barely trained (what it says does not
matter). Its own throughput is measured by a bare client: plain sockets, all questions under way at
once, in requests as large as the engine takes. `ask` keeps every answer on the disk as it comes.
Rounds alternate, so that a busy machine slows both; the figure is the median of the rounds' ratios.
A second asking of the same is timed, too: it sends nothing.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openai import OpenAI

from benchmarks.engine_process import EngineProcess, run_engine
from ftops.clock import SystemClock
from ftops.http.request_log import RequestLog, RequestLogReader
from ftops.inference.batch import BatchOptions, complete_all
from ftops.inference.cache import ResponseCache
from ftops.providers.provider import Provider, ProviderContext
from ftops.providers.registry import build_provider
from ftops.records import ProviderSettings, Sampling

ROWS = 1000
ROUNDS = 5
TARGET = 0.90
MAX_TOKENS = 16
BASE = "ada"
WORDS = ("rain", "river", "boats", "lamps", "night", "while", "falls", "tied", "lit", "long")
BARE_PROMPTS = 256  # the most that the engine takes in a request
_KEY = "BENCHMARK_KEY"


def train(engine: EngineProcess) -> str:
    """A model that answers each prompt with a handful of words."""
    with OpenAI(base_url=engine.base_url, api_key=engine.token) as client:
        rows = [
            {"prompt": f"number {n} is ->", "completion": " " + "odd even "[5 * (n % 2) :][:4] * 6}
            for n in range(60)
        ]
        content = "\n".join(map(json.dumps, rows)).encode()
        file = client.files.create(file=("a.jsonl", content), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model=BASE, training_file=file.id, hyperparameters={"n_epochs": 2, "batch_size": 20}
        )
        while job.finished_at is None:
            time.sleep(0.1)
            job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.fine_tuned_model, job.error
        return job.fine_tuned_model


def make_prompts(round_: int) -> list[str]:
    """Questions as long as a sentence of the news, that no other round asks."""
    drawn = random.Random(round_)
    return [f"{' '.join(drawn.choices(WORDS, k=20))} {round_}-{n} ->" for n in range(ROWS)]


def ask_bare(engine: EngineProcess, model: str, prompts: list[str]) -> float:
    """Seconds until a client that does nothing else has all answers."""

    def send(some: list[str]) -> int:
        connection = engine.open()
        body = {"model": model, "prompt": some, "max_tokens": MAX_TOKENS, "temperature": 0}
        headers = engine.headers | {"content-type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(body), headers)
        choices = json.loads(connection.getresponse().read())["choices"]
        connection.close()
        return len(choices)

    began_s = time.perf_counter()
    portions = [prompts[at : at + BARE_PROMPTS] for at in range(0, ROWS, BARE_PROMPTS)]
    with ThreadPoolExecutor(len(portions)) as pool:
        assert sum(pool.map(send, portions)) == ROWS
    return time.perf_counter() - began_s


def ask_ours(
    provider: Provider, model: str, prompts: list[str], home: Path, options: BatchOptions
) -> float:
    """Seconds of `ask`, its store included."""
    began_s = time.perf_counter()
    store = ResponseCache(home, SystemClock())
    sampling = Sampling(max_tokens=MAX_TOKENS)
    found = complete_all(provider, model, prompts, sampling, cache=store, options=options)
    assert all(one.completion for one in found)
    return time.perf_counter() - began_s


def main() -> int:
    """Print the ratio beside its target; 1 when it is missed."""
    with tempfile.TemporaryDirectory() as folder, run_engine(Path(folder, "engine")) as engine:
        home = Path(folder)
        model = train(engine)
        request_log = RequestLog(home / "requests.jsonl", SystemClock(), print)
        context = ProviderContext(
            {_KEY: engine.token}, home, SystemClock(), request_log=request_log
        )
        settings = ProviderSettings("openai", base_url=engine.base_url, api_key_env=_KEY)
        provider = build_provider(settings, context)
        able = build_provider(ProviderSettings("local"), context).capabilities
        options = BatchOptions(
            SystemClock(),
            concurrency=able.max_concurrent_requests,
            prompts_per_request=able.prompts_per_request,
        )
        ask_bare(engine, model, make_prompts(0))  # loads the model; not counted
        bare, ours, again = [], [], []
        reader = RequestLogReader(home / "requests.jsonl")
        for round_ in range(1, ROUNDS + 1):
            prompts = make_prompts(round_)
            bare.append(ask_bare(engine, model, prompts))
            ours.append(ask_ours(provider, model, prompts, home, options))
            sent = len(reader.read_new())
            again.append(ask_ours(provider, model, prompts, home, options))
            asked_again = len(reader.read_new())
        provider.close()
    ratio = statistics.median(a / b for a, b in zip(bare, ours, strict=True))
    verdict = "ok" if ratio >= TARGET and not asked_again else "MISSED"
    print(f"{ROWS:,} questions to {BASE}, {MAX_TOKENS} tokens each, median of {ROUNDS} rounds")
    print(f"  the engine's batcher    {ROWS / statistics.median(bare):8.0f} answers/s")
    print(f"  ask, {sent:4d} requests     {ROWS / statistics.median(ours):8.0f} answers/s")
    print(f"  once more, {asked_again} requests  {ROWS / statistics.median(again):8.0f} answers/s")
    print(f"  ratio                   {ratio:8.2f}   at least {TARGET:.2f}   {verdict}")
    return int(verdict == "MISSED")


if __name__ == "__main__":
    sys.exit(main())
