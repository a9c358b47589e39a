"""Does the built-in trainer learn? The two jobs in configs/, with "auto" for every figure.

- news-topics, `ada`: share of validation rows answered rightly, mean of five seeds
- household-faq, `babbage`: share of training answers given back word for word

Seconds are CPU seconds of one thread, so that other work on the machine does not count.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # must be set before NumPy comes in

from ftops.engine.settings import EngineFolder
from ftops.engine.trainer import SamplingParams, TrainingHooks, TrainingRequest
from ftops.engine.trainer_registry import get_trainer
from ftops.engine.training_file import CompletionRow

_DATA = Path(__file__).parent.parent / "configs" / "data"
_LONGEST_ANSWER = 64  # tokens


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trained model's score and cost."""

    right_share: float
    cpu_s: float


def main() -> int:
    """Print both tables; 1 when a target was missed."""
    topics = [_learn("news-topics", "ada", " ->", seed) for seed in range(5)]
    faq = [_learn("household-faq", "babbage", "", seed) for seed in range(2)]
    print(f"{'job':<15}{'rows right':>12}{'target':>8}{'CPU s':>8}{'target':>8}")
    met = [
        _report("news-topics", topics, at_least=0.75, under_s=15),
        _report("household-faq", faq, at_least=0.95, under_s=60),
    ]
    return 0 if all(met) else 1


def _report(name: str, outcomes: list[Outcome], *, at_least: float, under_s: float) -> bool:
    share = mean(outcome.right_share for outcome in outcomes)
    cpu_s = max(outcome.cpu_s for outcome in outcomes)
    met = share >= at_least and cpu_s < under_s
    verdict = "met" if met else "MISSED"
    print(f"{name:<15}{share:>12.3f}{at_least:>8}{cpu_s:>8.1f}{under_s:>8}  {verdict}")
    print("  each seed: " + ", ".join(f"{outcome.right_share:.3f}" for outcome in outcomes))
    return met


def _learn(name: str, base: str, separator: str, seed: int) -> Outcome:
    """Train on the job's training file; score on its validation file, or lacking that on itself."""
    training = _read(_DATA / name / "train.jsonl", separator)
    held_out = _DATA / name / "validation.jsonl"
    validation = _read(held_out, separator) if held_out.exists() else []
    request = TrainingRequest(base, training, validation, seed=seed)
    trainer = get_trainer(base, EngineFolder(_DATA))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        started_s = time.process_time()
        trainer.train(
            request,
            trainer.resolve(request),
            TrainingHooks(on_step=lambda _: None, should_stop=lambda: False),
            into=folder,
            checkpoint=Path(temporary) / "checkpoint",
        )
        cpu_s = time.process_time() - started_s
        model = trainer.load(folder)
    asked = validation or training
    answers = [""] * len(asked)
    greedy = SamplingParams(max_tokens=_LONGEST_ANSWER, temperature=0)
    for delta in model.generate([row.prompt for row in asked], greedy):
        answers[delta.index] += delta.text
    right = [answer == row.completion for answer, row in zip(answers, asked, strict=True)]
    return Outcome(mean(right), cpu_s)


def _read(path: Path, separator: str) -> list[CompletionRow]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [CompletionRow(row["prompt"] + separator, row["completion"]) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
