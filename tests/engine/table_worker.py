"""A worker with a trainer that learns a table by heart: small, exact, and able to be held still.

Run as a program it takes, before the worker's own arguments:
    --gate FILE --gate-step N    wait before step N for as long as FILE exists
    --crash NAME --once FILE     die at a crash point, unless FILE exists; FILE is then made
    --break-off                  end with a message on standard error, as a bug would
    --full-disk                  write to a disk that is full
    --deaf                       do not notice that training shall stop
"""

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftops import crashpoints
from ftops.engine import worker
from ftops.engine.trainer import (
    GenerationChunk,
    Prompt,
    PromptTooLong,
    ResolvedHyperparameters,
    Sample,
    SamplingParams,
    StepMetrics,
    TokenEstimate,
    TokenLogprob,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
    TrainingStopped,
    get_prompt,
)
from ftops.engine.trainer_registry import BaseInfo
from ftops.engine.training_file import get_answer_text
from ftops.files import write_atomic


def _write(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    return "".join(f"<{turn.role}>{turn.content}" for turn in prompt.turns)


@dataclass(frozen=True)
class Behaviour:
    """What goes wrong on purpose."""

    gate: Path | None = None
    gate_step: int = 0
    deaf: bool = False
    full_disk: bool = False


class TableModel:
    """Answers what it has in its table; each character is a token."""

    context_length = 60
    longest_token_bytes = 4  # a character

    def __init__(self, table: Mapping[str, str]) -> None:
        self._table = table

    def count_tokens(self, prompt: Prompt) -> int:
        return len(_write(prompt))

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        for index, prompt in enumerate(prompts):
            if self.count_tokens(prompt) >= self.context_length:
                raise PromptTooLong(index, self.count_tokens(prompt), self.context_length)
        return self._answer(prompts, params)

    def log_probability(self, prompt: Prompt, answer: str) -> float:
        return -0.1 if self._table.get(_write(prompt)) == answer else -3.0

    def _answer(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        for index, prompt in enumerate(prompts):
            text = self._table.get(_write(prompt), "?")
            cut = min([place for stop in params.stop if (place := text.find(stop)) >= 0] or [99])
            reason = "stop" if min(cut, len(text)) <= params.max_tokens else "length"
            text = text[: min(cut, params.max_tokens)]
            for character in text:
                entry = TokenLogprob(character, -0.5, {character: -0.5})
                logprobs = () if params.logprobs is None else (entry,)
                yield GenerationChunk(index, character, logprobs, 1)
            yield GenerationChunk(index, "", finish_reason=reason)


def _write_table(folder: Path, table: Mapping[str, str]) -> None:
    (folder / "table.json").write_text(json.dumps(table))


class TableTrainer:
    """One row is one step; a checkpoint after each."""

    bases: Mapping[str, int] = {"ada": 1, "babbage": 2}

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self._behaviour = behaviour or Behaviour()

    def resolve(self, request: TrainingRequest) -> ResolvedHyperparameters:
        n_epochs = request.n_epochs if isinstance(request.n_epochs, int) else 2
        return ResolvedHyperparameters(n_epochs, 1, 1.0, n_epochs * len(request.training))

    def estimate(
        self, request: TrainingRequest, resolved: ResolvedHyperparameters
    ) -> TokenEstimate:
        n_rows = len(request.training)
        return TokenEstimate(n_rows, n_rows, 1, 0, 256)

    def train(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,
        hooks: TrainingHooks,
        *,
        into: Path,
        checkpoint: Path,
        checkpoint_every_s: float = 0.0,
    ) -> TrainingResult:
        table: dict[str, str] = {}
        begin = 1
        if (Path(request.base) / "table.json").exists():
            table = json.loads((Path(request.base) / "table.json").read_text())
        if checkpoint.exists():
            begin, table = json.loads(checkpoint.read_text())
        if self._behaviour.full_disk:
            Path("/dev/full").write_bytes(b"anything")
        rows = [(_write(get_prompt(row)), get_answer_text(row)) for row in request.training]
        step = begin - 1
        for step in range(begin, resolved.n_steps + 1):
            self._wait(step, hooks.should_stop)
            question, answer = rows[(step - 1) % len(rows)]
            table[question] = answer
            known = sum(table.get(prompt) == expected for prompt, expected in rows) / len(rows)
            metrics = _metrics(step, resolved.n_steps, len(rows), known, bool(request.validation))
            metrics = replace(metrics, learning_rate=request.learning_rate)
            hooks.on_step(metrics)
            if hooks.on_samples and request.lora is not None and metrics.valid_loss is not None:
                hooks.on_samples(step, [Sample(*rows[0], answer=table[rows[0][0]])])
            if hooks.on_epoch and step % len(rows) == 0:
                hooks.on_epoch(metrics, lambda folder: _write_table(folder, table))
            if hooks.on_checkpoint:
                hooks.on_checkpoint()
            write_atomic(checkpoint, json.dumps([step + 1, table]).encode())
            stopping = request.early_stopping
            if stopping and step == stopping.patience * len(rows):
                break
        _write_table(into, table)
        return TrainingResult(trained_tokens=resolved.n_steps, steps=step)

    def load(self, folder: Path) -> TableModel:
        return TableModel(json.loads((folder / "table.json").read_text()))

    def _wait(self, step: int, should_stop: Callable[[], bool]) -> None:
        gate = self._behaviour.gate
        while True:
            if should_stop() and not self._behaviour.deaf:
                raise TrainingStopped
            if gate is None or step != self._behaviour.gate_step or not gate.exists():
                break
            threading.Event().wait(0.01)


def _metrics(step: int, total: int, rows: int, known: float, validates: bool) -> StepMetrics:
    at_epoch_end = validates and step % rows == 0
    return StepMetrics(
        step=step,
        total_steps=total,
        epoch=(step - 1) // rows + 1,
        elapsed_examples=step,
        elapsed_tokens=step,
        train_loss=1 - known,
        train_token_accuracy=known,
        train_sequence_accuracy=known,
        valid_loss=1 - known if at_epoch_end else None,
        valid_token_accuracy=known if at_epoch_end else None,
        valid_sequence_accuracy=known if at_epoch_end else None,
    )


def get_trainer(base: str) -> TableTrainer:
    return TableTrainer()


def list_bases() -> Mapping[str, BaseInfo]:
    return {base: BaseInfo(count) for base, count in TableTrainer.bases.items()}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--gate-step", type=int, default=0)
    parser.add_argument("--crash")
    parser.add_argument("--once", type=Path)
    parser.add_argument("--break-off", action="store_true")
    parser.add_argument("--full-disk", action="store_true")
    parser.add_argument("--deaf", action="store_true")
    options, rest = parser.parse_known_args()
    if options.break_off:
        sys.stderr.write("the table fell over\n")
        return 3
    if options.crash and not options.once.exists():
        options.once.touch()
        crashpoints.arm(options.crash)
    behaviour = Behaviour(options.gate, options.gate_step, options.deaf, options.full_disk)
    return worker.main(rest, lambda base: TableTrainer(behaviour))


if __name__ == "__main__":
    sys.exit(main())
