"""Answers per second of a pre-trained model with 8 clients, as ratios in one run.

    python benchmarks/lora_serving.py BASE_FOLDER ADAPTER_FOLDER [ADAPTER_FOLDER …] [--rounds N]

The reference is `generate` of Transformers in fp32 with all prompts in one batch and one PEFT
adapter. The others are processes of the engine: the adapter merged into Q8_0 weights, the adapter
at run time on Q8_0 weights, and all adapters at run time, two clients each. All use one thread.
The goals: 1.8 times the reference when merged, 1.0 with several adapters.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftops.clock import SystemClock
from ftops.engine.base_models import BaseModel
from ftops.engine.generation import PooledModel
from ftops.engine.lora.serving import ServedModel, ServingPool
from ftops.engine.settings import SERVING_COMMAND
from ftops.engine.trainer import ChatPrompt, SamplingParams
from ftops.engine.training_file import Turn

CLIENTS = 8
MAX_TOKENS = 32
QUESTIONS = [
    "What is the capital of France?",
    "Name three kinds of fruit.",
    "Write a sentence about a ladder.",
    "How many days has a week?",
    "Translate 'good day' into German.",
    "What is the opposite of cold?",
    "Who wrote Hamlet?",
    "Describe the sea in a few words.",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("adapters", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool = ServingPool(SystemClock(), SERVING_COMMAND)
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "base_models" / "merged"
        merge(options.base, options.adapters[0], merged)
        base = describe_base(options.base)
        models = {
            "merged, Q8_0": [pool.open(describe_base(merged))] * CLIENTS,
            "one adapter on Q8_0": [pool.open(base, options.adapters[0])] * CLIENTS,
            f"{len(options.adapters)} adapters on Q8_0": [
                pool.open(base, options.adapters[client % len(options.adapters)])
                for client in range(CLIENTS)
            ],
        }
        runs: dict[str, Callable[[], float]] = {
            "generate, fp32": load_reference(options.base, options.adapters[0])
        }
        for name, served in models.items():
            runs[name] = lambda served=served: measure_served(served)  # type: ignore[misc]
        try:
            report(runs, options.rounds)
        finally:
            pool.stop()


def report(runs: dict[str, Callable[[], float]], rounds: int) -> None:
    """Measure in alternation, and print the medians of rates and of ratios in the same round."""
    for run in runs.values():
        run()  # loads the model
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(run())
    reference = next(iter(rates.values()))
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, reference, strict=True))
        print(f"{name:24} {statistics.median(values):7.1f} tokens/s   {ratio:5.2f}")


def describe_base(folder: Path) -> BaseModel:
    return BaseModel(folder.name, folder, "llama", 0, 0, 8192, "", chat_template=True)


def merge(base: Path, adapter: Path, target: Path) -> None:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    model.merge_and_unload().save_pretrained(target)
    AutoTokenizer.from_pretrained(base).save_pretrained(target)


def load_reference(base: Path, adapter: Path) -> Callable[[], float]:
    """`generate` with all prompts in one batch, until the longest answer ends."""
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    model.eval()
    chats = [[{"role": "user", "content": question}] for question in QUESTIONS]
    batch = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )

    def measure() -> float:
        began_s = time.perf_counter()
        with torch.inference_mode():
            answers = model.generate(
                **batch, do_sample=False, max_new_tokens=MAX_TOKENS, min_new_tokens=MAX_TOKENS
            )
        n_tokens = (answers.shape[1] - batch["input_ids"].shape[1]) * len(QUESTIONS)
        return float(n_tokens / (time.perf_counter() - began_s))

    return measure


def measure_served(models: Sequence[ServedModel]) -> float:
    """Tokens per second of clients that ask at the same time, one question each."""
    params = SamplingParams(max_tokens=MAX_TOKENS, temperature=0.0, logit_bias={2: -100.0})
    counts: list[int] = []

    def ask(model: ServedModel, question: str) -> None:
        prompt = ChatPrompt((Turn("user", question),))
        request = PooledModel(None, model).generate([prompt], params)
        counts.append(sum(chunk.n_tokens for chunk in request))

    threads = [
        threading.Thread(target=ask, args=pair) for pair in zip(models, QUESTIONS, strict=True)
    ]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began_s)


if __name__ == "__main__":
    main()
