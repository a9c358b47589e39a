"""The memory and disk space that a training needs, and what this machine has.

Nothing here imports PyTorch: the server refuses a job that cannot fit before it is created.

Weights, gradients and moments are counted exactly. What a forward pass keeps for its gradients was
measured on Llama models of several sizes: for each token and layer 8 to 10 values of the hidden
width, 4 of the inner one, and one of the rank for each adapter; dropout keeps a copy of the inputs
of the adapters, too. With gradient checkpointing only the input of each layer is kept, and one
layer is computed again. `tests/engine/lora/test_memory.py` repeats the measurement. The allocator
of the C library needs 1.7 times as much for its gaps, unless `resources.save_memory` restrains it.
"""

import contextlib
import heapq
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ftops.clock import Clock
from ftops.engine.base_models import BaseModel, list_weights, read_json, read_safetensors_header
from ftops.engine.lora.auto_hyperparameters import choose_batch_size
from ftops.engine.training_file import list_texts, parse_row
from ftops.errors import EngineError
from ftops.lora_options import LoraOptions
from ftops.rows.messages import InvalidRow

MAX_PACK_TOKENS: Final = {"cpu": 1024, "cuda": 16_384}
_HIDDEN_COPIES = 10
_INNER_COPIES = 4
_DROPOUT_COPIES = 1.25  # a copy of an input, and its mask
_LOGIT_COPIES = 3  # logits, their softmax and their gradients
_GAPS = 1.7
_LIBRARY_BYTES = 500 << 20  # of a process that has imported PyTorch, Transformers and PEFT
_NF4_BYTES = 0.52  # of a quantized value, with its share of the scales
_TRAINED_BYTES = 16  # weight, gradient and two moments of a trained value, in fp32
_STORED_BYTES = 12  # weight and two moments in a checkpoint
_IDLE_SAMPLE_S = 0.25
_LEAST_LENGTH = 16  # tokens; see `LoraOptions.max_length`
_NO_ADAPTER = re.compile(r"embed|lm_head|\bwte\b|\bwpe\b")
_MEMORY_SHARE = 0.8  # of the memory, up to which a step is not made to save any
_MAX_COUNTED_ROWS = 64
_GPU = Path("/dev/nvidia0")
_UNLIMITED = 1 << 60  # cgroup limits above it mean that there is none


@dataclass(frozen=True, slots=True)
class RowSize:
    """The tokens of a row, and how many of them are predicted."""

    tokens: int
    predicted: int


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """A training as far as its memory depends on it.

    `largest` are the sizes of as many rows as a step has, the longest ones of the training.
    """

    base: BaseModel
    options: LoraOptions
    largest: Sequence[RowSize]
    device: str = "cpu"

    def is_small(self, memory_bytes: int | None) -> bool:
        """Whether that much memory suffices without gradient checkpointing (None: unknown)."""
        return memory_bytes is None or (
            self.estimate_bytes(is_checkpointing=False) <= _MEMORY_SHARE * memory_bytes
        )

    def estimate_bytes(self, *, is_checkpointing: bool = True) -> int:
        """The most bytes that the process needs; on a GPU, the most bytes there.

        With gradient checkpointing it is the least that a training can do with.
        """
        config = read_json(self.base.folder / "config.json")
        config = config.get("text_config", config)
        layers = _get_number(config, "num_hidden_layers", "n_layer")
        hidden = _get_number(config, "hidden_size", "n_embd")
        inner = _get_number(config, "intermediate_size", "n_inner") or 4 * hidden
        pack = self._get_largest_pack()
        layer = _HIDDEN_COPIES * hidden + _INNER_COPIES * inner + 7 * self.options.rank
        if self.options.dropout:
            layer += math.ceil(_DROPOUT_COPIES * (6 * hidden + inner))
        if is_checkpointing:
            kept: float = layers * hidden + layer
        else:
            kept = layers * layer * (_GAPS if self.device == "cpu" else 1)
        logits = pack.predicted * _get_number(config, "vocab_size") * 4 * _LOGIT_COPIES
        states = self.count_trained() * _TRAINED_BYTES
        library = _LIBRARY_BYTES if self.device == "cpu" else 0
        activations = math.ceil(pack.tokens * kept * self._value_bytes)
        return library + self._frozen_bytes + states + activations + logits

    def count_trained(self) -> int:
        """The number of values to train, by the shapes of the weights."""
        if self.options.full:
            return self.base.parameters
        targets, count = self.options.targets, 0
        for name, (n_outputs, n_inputs) in self._list_matrices():
            if targets == "all-linear":
                is_target = not _NO_ADAPTER.search(name)
            else:
                module = f".{name.removesuffix('.weight')}"
                is_target = any(module.endswith(f".{target}") for target in targets)
            if is_target:
                count += self.options.rank * (n_outputs + n_inputs)
                count += n_outputs if self.options.variant == "dora" else 0
        return count

    def _list_matrices(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for path in list_weights(self.base.folder):
            for name, tensor in read_safetensors_header(path)[0].items():
                if len(tensor["shape"]) == 2:
                    yield name, tuple(tensor["shape"])

    @property
    def _value_bytes(self) -> int:
        if self.options.dtype in ("auto", "nf4"):
            return 4 if self.options.full or self.device == "cpu" else 2
        return 4 if self.options.dtype == "fp32" else 2

    @property
    def _frozen_bytes(self) -> int:
        if self.options.full:
            return 0
        size = self.base.parameters * self._value_bytes
        if self.options.dtype == "nf4":
            quantized = sum(
                math.prod(shape)
                for name, shape in self._list_matrices()
                if not _NO_ADAPTER.search(name)
            )
            size -= math.ceil(quantized * (self._value_bytes - _NF4_BYTES))
        return size

    def _get_largest_pack(self) -> RowSize:
        """A bound of the tokens in a pack of a step; see `packing.split_rows`."""
        n_parts = max(1, min(self.options.gradient_accumulation, len(self.largest)))
        longest = max((row.tokens for row in self.largest), default=0)
        predicted = max((row.predicted for row in self.largest), default=0)
        all_tokens = sum(row.tokens for row in self.largest)
        all_predicted = sum(row.predicted for row in self.largest)
        tokens = max(longest, min(MAX_PACK_TOKENS[self.device], math.ceil(all_tokens / n_parts)))
        return RowSize(tokens, min(tokens, max(predicted, math.ceil(all_predicted / n_parts))))


def _get_number(config: Mapping[str, Any], *names: str) -> int:
    """The first of these values; 0, which adds nothing to the estimate, if there is none."""
    return next((value for name in names if isinstance(value := config.get(name), int)), 0)


def list_largest_rows(rows: Iterable[RowSize], batch_size: int) -> list[RowSize]:
    return heapq.nlargest(batch_size, rows, key=lambda row: row.tokens)


def check_memory(size: TrainingSize, memory_bytes: int | None) -> int:
    """The estimated bytes of the training.

    EngineError, with settings that fit, when it needs more than `memory_bytes`, all that the
    machine or GPU has (None: unknown), even with gradient checkpointing.
    """
    needed = size.estimate_bytes(is_checkpointing=not size.is_small(memory_bytes))
    if memory_bytes is None or needed <= memory_bytes:
        return needed
    where = "this machine" if size.device == "cpu" else "the GPU"
    fitting = next(
        (text for other, text in _list_smaller(size) if other.estimate_bytes() <= memory_bytes), ""
    )
    raise EngineError(
        f"not enough memory to train {size.base.name}: a step needs about {_format(needed)}, with"
        f" gradient checkpointing, and {where} has {_format(memory_bytes)}",
        hint=f"It fits with {fitting}." if fitting else "Use a smaller base model.",
    )


def check_job_memory(
    base: BaseModel, options: LoraOptions, batch_size: int | str, file: Path
) -> None:
    """Raise the EngineError of `check_memory` for a training file, if that is certain.

    The longest rows are counted without their chat template, so they may be a little larger. On a
    machine with a GPU, whose memory is not known here, only the training itself checks it.
    """
    if _GPU.exists():
        return
    # Only a job on a pre-trained model needs it, and an engine should start at once.
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(base.folder / "tokenizer.json"))
    except Exception:  # the library has no class for it; the training reports the damaged file
        return
    with file.open("rb") as stream:
        n_rows = sum(1 for _ in stream)
        stream.seek(0)
        n_longest = min(choose_batch_size(n_rows, batch_size), _MAX_COUNTED_ROWS)
        lines = heapq.nlargest(n_longest, stream, key=len)
    rows = []
    for line in lines:
        with contextlib.suppress(InvalidRow):  # the validation of the file names it
            texts = list_texts(parse_row(line))
            tokens = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
            rows.append(RowSize(sum(tokens), tokens[-1]))
    check_memory(TrainingSize(base, options, rows), find_machine_memory())


def _list_smaller(size: TrainingSize) -> Iterator[tuple[TrainingSize, str]]:
    """Trainings that need less, the nearest one first, with the settings to change.

    Parts of a batch change nothing in the result, but a part has at least one row. Shorter rows
    come next, and adapters instead of full training last.
    """
    options, n_rows = size.options, len(size.largest)
    for n_parts in range(options.gradient_accumulation + 1, n_rows + 1):
        smaller = options.model_copy(update={"gradient_accumulation": n_parts})
        setting = f"batch_size: {n_rows}, lora.gradient_accumulation: {n_parts}"
        yield replace(size, options=smaller), setting
    parts = options.model_copy(update={"gradient_accumulation": max(1, n_rows)})
    setting = f"batch_size: {n_rows}, lora.gradient_accumulation: {n_rows}, " if n_rows > 1 else ""
    length = max((row.tokens for row in size.largest), default=0) // 2
    while length >= _LEAST_LENGTH:
        rows = [
            RowSize(min(row.tokens, length), min(row.predicted, length)) for row in size.largest
        ]
        yield (
            replace(size, options=parts, largest=rows),
            f"{setting}lora.max_length: {length}, after longer rows are shortened or removed",
        )
        length //= 2
    if options.full:
        adapters = replace(size, options=options.model_copy(update={"full": False}))
        yield adapters, "lora.full: false"
        for other, text in _list_smaller(adapters):
            yield other, f"lora.full: false, {text}"


def check_disk(size: TrainingSize, folder: Path) -> None:
    """EngineError when the disk of `folder` has no space for a checkpoint and the model.

    A checkpoint is written beside the one that it replaces. The best weights of early stopping and
    the models of earlier epochs are not counted.
    """
    trained = size.count_trained()
    needed = trained * (2 * _STORED_BYTES + 4)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise EngineError(
            f"not enough disk space to train {size.base.name}: checkpoints and model need about"
            f" {_format(needed)}, and {_format(free)} are free",
            hint="Free some space (`ftops prune` deletes old runs), or lower lora.rank.",
        )


def find_machine_memory(root: Path = Path("/")) -> int | None:
    """The memory of this machine in bytes, or of the control group that limits this process.

    None when the system does not say. `root` is the root of the file system.
    """
    limits = [_find_meminfo("MemTotal", root), *_list_group_limits(root)]
    return min((limit for limit in limits if limit is not None), default=None)


def find_free_memory(root: Path = Path("/")) -> int | None:
    """The memory that is available now, in bytes; None when the system does not say."""
    free, limit = _find_meminfo("MemAvailable", root), find_machine_memory(root)
    return min((size for size in (free, limit) if size is not None), default=None)


def count_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_idle_cores(clock: Clock, root: Path = Path("/")) -> int:
    """The cores that this process may use and that no process uses now; at least 1.

    The load average would count what has ended in the last minute, such as an installation. It is
    used where the system does not say more.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    before = _read_core_times(root)
    clock.sleep(_IDLE_SAMPLE_S)
    idle, total = (now - then for now, then in zip(_read_core_times(root), before, strict=True))
    if total > 0:
        return max(1, min(cores, round(cores * idle / total)))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, cores - round(load))


def _read_core_times(root: Path) -> tuple[int, int]:
    """The time without work and the whole time of all cores since the start of the system."""
    try:
        line = (root / "proc/stat").read_text(encoding="ascii").partition("\n")[0]
        times = [int(field) for field in line.split()[1:9]]  # user nice system idle iowait …
        return times[3] + times[4], sum(times)
    except (OSError, ValueError, IndexError):
        return 0, 0


def _find_meminfo(key: str, root: Path) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    match = re.search(rf"(?m)^{key}:\s+(\d+) kB$", text)
    return int(match[1]) << 10 if match else None


def _list_group_limits(root: Path) -> Iterator[int]:
    """The limits of the control group of this process (version 2 and 1) and of those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
        if controllers not in names:
            continue
        place, name = names[controllers]
        group = root / "sys/fs/cgroup" / place
        for folder in (group, *(group / part for part in _list_parts(path))):
            try:
                limit = int((folder / name).read_text(encoding="ascii"))
            except (OSError, ValueError):  # "max"
                continue
            if limit < _UNLIMITED:
                yield limit


def _list_parts(path: str) -> Iterator[str]:
    """a/b/c to a, a/b and a/b/c."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    yield from ("/".join(parts[:n]) for n in range(1, len(parts) + 1))


def _format(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
