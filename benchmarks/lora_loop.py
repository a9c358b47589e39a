"""One training of the benchmark `lora`, in a process of its own.

`python -m benchmarks.lora_loop LOOP METHOD BASE ADAPTER` trains the base model in the folder BASE
from the saved adapter ADAPTER for STEPS steps on the same rows and prints one line of JSON: the
loss of each step, the CPU seconds of each step but the first, the tokens of a step, the most memory
in bytes, and the rate of matrix multiplication in this process. LOOP is `ftops`, `transformers`
(its Trainer) or `trl` (its SFTTrainer or DPOTrainer), METHOD is `sft` or `dpo`.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from ftops.clock import SystemClock
from ftops.engine.base_models import BaseModel, BaseModelStore
from ftops.engine.lora.encoding import EncodedRow, RowEncoder, encode_rows, load_tokenizer
from ftops.engine.lora.trainer import LoraTrainer
from ftops.engine.trainer import StepMetrics, TrainingHooks, TrainingRequest
from ftops.engine.training_file import ChatRow, CompletionRow, PreferenceRow, Turn, read_rows

ROWS = 8
STEPS = 4
RATE = 1e-4
BETA = 0.1
_DATA = Path(__file__).parent.parent / "configs" / "data" / "household-faq" / "train.jsonl"


def make_rows(method: str) -> list[Any]:
    """Chats of 40 to 150 tokens: some facts, a question and its short answer."""
    facts = [row for row in read_rows(_DATA) if isinstance(row, CompletionRow)]
    rows: list[Any] = []
    for n in range(ROWS):
        known = " ".join(fact.completion.strip() for fact in facts[3 * n : 3 * n + 1 + n])
        turns = (Turn("system", known), Turn("user", facts[3 * n].prompt))
        answer = facts[3 * n].completion.strip()
        if method == "dpo":
            rows.append(PreferenceRow(turns, answer, facts[3 * n + 40].completion.strip()))
        else:
            rows.append(ChatRow((*turns, Turn("assistant", answer, trained=True))))
    return rows


class Timer:
    """The CPU seconds of each step but the first."""

    def __init__(self) -> None:
        self.step_s: list[float] = []
        self._started_s = 0.0

    def end_step(self) -> None:
        now = time.process_time()
        if self._started_s:
            self.step_s.append(now - self._started_s)
        self._started_s = time.process_time()


def train_ftops(method: str, base: BaseModel, adapter: Path, timer: Timer) -> list[float]:
    """Train with the engine's trainer; one epoch is one step."""
    losses = []

    def on_step(metrics: StepMetrics) -> None:
        timer.end_step()
        losses.append(metrics.train_loss)

    rows = make_rows(method)
    request = TrainingRequest(
        base=str(adapter),
        training=rows,
        validation=(),
        n_epochs=STEPS,
        batch_size=ROWS,
        learning_rate=RATE,
        beta=BETA,
        lora={"scheduler": "constant", "warmup_ratio": 0.0},
    )
    trainer = LoraTrainer(base, SystemClock())
    with tempfile.TemporaryDirectory() as name:
        into = Path(name) / "model"
        into.mkdir()
        trainer.train(
            request,
            trainer.resolve(request),
            TrainingHooks(on_step, lambda: False),
            into=into,
            checkpoint=Path(name) / "checkpoint",
            checkpoint_every_s=1e9,
        )
    return losses


class _StepTimer(TrainerCallback):
    def __init__(self, timer: Timer) -> None:
        self._timer = timer

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._timer.end_step()


def _settings(folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "per_device_train_batch_size": ROWS,
        "max_steps": STEPS,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }


def _load(base: BaseModel, adapter: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    return PeftModel.from_pretrained(model, adapter, is_trainable=True)


def _encode(base: BaseModel, method: str) -> list[EncodedRow]:
    return encode_rows(make_rows(method), RowEncoder(load_tokenizer(base.folder)))


def train_transformers(method: str, base: BaseModel, adapter: Path, timer: Timer) -> list[float]:
    """Train with the Trainer of Transformers: padded batches with labels."""
    assert method == "sft"
    examples = [row.documents[0] for row in _encode(base, method)]

    def collate(batch: list[Any]) -> dict[str, Any]:
        longest = max(len(example) for example in batch)
        shape = (len(batch), longest)
        ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
        mask = torch.zeros(shape, dtype=torch.long)
        for n, example in enumerate(batch):
            tokens = torch.from_numpy(example.token_ids)
            counted = torch.from_numpy(example.weights == 1)
            ids[n, : len(tokens)], mask[n, : len(tokens)] = tokens, 1
            labels[n, : len(tokens)][counted] = tokens[counted]
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=_load(base, adapter),
            args=TrainingArguments(**_settings(folder), remove_unused_columns=False),
            train_dataset=examples,
            data_collator=collate,
            callbacks=[_StepTimer(timer)],
        )
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def train_trl(method: str, base: BaseModel, adapter: Path, timer: Timer) -> list[float]:
    """Train with TRL: SFTTrainer on tokens with a completion mask, or DPOTrainer on texts."""
    import trl
    from datasets import Dataset

    tokenizer = load_tokenizer(base.folder)
    rows = _encode(base, method)
    with tempfile.TemporaryDirectory() as folder:
        if method == "sft":
            data = Dataset.from_list(
                [
                    {
                        "input_ids": row.documents[0].token_ids.tolist(),
                        "completion_mask": (row.documents[0].weights == 1).astype(int).tolist(),
                    }
                    for row in rows
                ]
            )
            settings = trl.SFTConfig(**_settings(folder), completion_only_loss=True)
            create = trl.SFTTrainer
        else:
            data = Dataset.from_list([_split_pair(row, tokenizer) for row in rows])
            settings = trl.DPOConfig(**_settings(folder), beta=BETA, precompute_ref_log_probs=True)
            create = trl.DPOTrainer
        trainer = create(
            model=_load(base, adapter),
            args=settings,
            train_dataset=data,
            processing_class=tokenizer,
            callbacks=[_StepTimer(timer)],
        )
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def _split_pair(row: EncodedRow, tokenizer: Any) -> dict[str, str]:
    """The texts of a pair as DPOTrainer takes them: it adds the end token."""
    preferred, other = row.documents
    start = int((preferred.weights == 1).argmax())
    end_token = tokenizer.eos_token
    texts = [tokenizer.decode(answer.token_ids[start:]) for answer in (preferred, other)]
    chosen, rejected = (text.partition(end_token)[0] for text in texts)
    return {
        "prompt": tokenizer.decode(preferred.token_ids[:start]),
        "chosen": chosen,
        "rejected": rejected,
    }


LOOPS: dict[str, Callable[[str, BaseModel, Path, Timer], list[float]]] = {
    "ftops": train_ftops,
    "transformers": train_transformers,
    "trl": train_trl,
}


def measure_multiplications(base: BaseModel) -> float:
    """The floating point operations per CPU second of products of the model's shapes."""
    config = json.loads((base.folder / "config.json").read_text())
    tokens = torch.randn(768, config["hidden_size"])
    weight = torch.randn(config["hidden_size"], config["intermediate_size"])
    torch.mm(tokens, weight)
    rounds, started_s = 100, time.process_time()
    for _ in range(rounds):
        torch.mm(tokens, weight)
    elapsed_s = time.process_time() - started_s
    return float(2 * tokens.numel() * weight.shape[1] * rounds / elapsed_s)


def main() -> None:
    """Train, and print the figures."""
    loop, method, folder, adapter = sys.argv[1:]
    torch.set_num_threads(1)
    base = BaseModelStore(Path(folder).parent).find(Path(folder).name)
    assert base is not None
    before = measure_multiplications(base)
    timer = Timer()
    losses = LOOPS[loop](method, base, Path(adapter), timer)
    rows = _encode(base, method)
    figures = {
        "losses": losses,
        "step_s": timer.step_s,
        "tokens": sum(row.n_tokens for row in rows),
        "predicted": sum(
            int((document.weights > 0).sum()) for row in rows for document in row.documents
        ),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        "flops_per_s": (before + measure_multiplications(base)) / 2,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
