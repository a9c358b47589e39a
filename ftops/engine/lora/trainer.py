"""The trainer `lora`: fine-tunes pre-trained models with PyTorch, Transformers and PEFT."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ftops.clock import Clock, SystemClock
from ftops.engine.base_models import BaseModel
from ftops.engine.lora.auto_hyperparameters import resolve_hyperparameters
from ftops.engine.lora.encoding import encode_request, load_tokenizer, make_encoder
from ftops.engine.lora.evaluation import check_metric
from ftops.engine.lora.loaded_model import LoraModel, load_model
from ftops.engine.lora.memory import check_disk, check_memory
from ftops.engine.lora.model import TrainedModelInfo, choose_device, merge_options, read_info
from ftops.engine.lora.resources import find_total_memory
from ftops.engine.lora.training import (
    FindMemory,
    LoraJob,
    TrainingContext,
    measure,
    measure_size,
    train,
)
from ftops.engine.trainer import (
    CHECKPOINT_EVERY_S,
    Measurement,
    ResolvedHyperparameters,
    TokenEstimate,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
    check_request,
)
from ftops.errors import EngineError


class LoraTrainer:
    """Trains one registered base model, and models that were trained on it.

    `clock` measures speed and times the checkpoints. `find_memory` returns all memory of a device
    in bytes; a training that needs more is refused.
    """

    def __init__(
        self,
        base: BaseModel,
        clock: Clock | None = None,
        find_memory: FindMemory = find_total_memory,
    ) -> None:
        self._base = base
        self._find_memory = find_memory
        self._clock = clock or SystemClock()
        self.bases: Mapping[str, int] = {base.name: base.parameters}

    def resolve(self, request: TrainingRequest) -> ResolvedHyperparameters:
        """Choose values for "auto"."""
        check_request(request)
        if request.early_stopping:
            check_metric(request.early_stopping.metric)
            if not request.validation:
                raise EngineError(
                    "early_stopping needs a validation file", hint="Add validation_file to the job."
                )
        options = merge_options(request.lora, self._find_earlier(request))
        return resolve_hyperparameters(
            request, parameters=self._base.parameters, is_full=options.full
        )

    def estimate(
        self, request: TrainingRequest, resolved: ResolvedHyperparameters
    ) -> TokenEstimate:
        """See `Trainer.estimate`: rows that are too long, and too little memory, are refused."""
        tokenizer = load_tokenizer(self._base.folder)
        options = merge_options(request.lora, self._find_earlier(request))
        max_length = options.max_length or self._base.context_length
        rows, _ = encode_request(request, make_encoder(tokenizer, request), max_length)
        device = choose_device()
        size = measure_size(self._base, options, rows, resolved.batch_size, device)
        memory_bytes = check_memory(size, self._find_memory(device))
        check_disk(size, self._base.folder)
        documents = [document for row in rows for document in row.documents]
        return TokenEstimate(
            tokens=sum(map(len, documents)),
            learned_tokens=sum(int((document.weights == 1).sum()) for document in documents),
            longest=max(map(len, documents), default=0),
            cut_rows=0,
            vocabulary=len(tokenizer),
            memory_bytes=memory_bytes,
        )

    def measure(self, request: TrainingRequest, resolved: ResolvedHyperparameters) -> Measurement:
        """Take two steps with the longest rows, and write the calibration of the base model."""
        with tempfile.TemporaryDirectory(prefix="ftops-") as name:
            folder = Path(name)
            job = self._make_job(request, resolved, into=folder, checkpoint=folder / "checkpoint")
            return measure(job, self._make_context(TrainingHooks(lambda _: None, lambda: False)))

    def train(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,
        hooks: TrainingHooks,
        *,
        into: Path,
        checkpoint: Path,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    ) -> TrainingResult:
        """See `Trainer.train`.

        After a resume the hooks are called again for the steps after the checkpoint, with the same
        metrics but for speed and memory. Rows that are longer than the limit are refused.
        """
        job = self._make_job(request, resolved, into=into, checkpoint=checkpoint)
        return train(replace(job, checkpoint_every_s=checkpoint_every_s), self._make_context(hooks))

    def load(self, folder: Path) -> LoraModel:
        """Load a model that `train` wrote; EngineError when it is damaged."""
        return load_model(self._base, folder)

    def _make_job(
        self,
        request: TrainingRequest,
        resolved: ResolvedHyperparameters,
        *,
        into: Path,
        checkpoint: Path,
    ) -> LoraJob:
        earlier = self._find_earlier(request)
        options = merge_options(request.lora, earlier)
        folder = Path(request.base) if earlier else None
        return LoraJob(
            request=request,
            resolved=resolved,
            options=options,
            base=self._base,
            weights=folder if folder and options.full else self._base.folder,
            adapter=None if options.full else folder,
            into=into,
            checkpoint=checkpoint,
        )

    def _make_context(self, hooks: TrainingHooks) -> TrainingContext:
        return TrainingContext(hooks, self._clock, find_memory=self._find_memory)

    def _find_earlier(self, request: TrainingRequest) -> TrainedModelInfo | None:
        """The earlier model that the job starts from; EngineError if it has another base model."""
        if request.base in (self._base.name, str(self._base.folder)):
            return None
        info = read_info(Path(request.base))
        if info.base_sha256 != self._base.sha256:
            raise EngineError(
                f"the model to continue from was trained on other weights than those of the base"
                f" model {self._base.name}",
                hint=f"Add the same weights as {info.base!r} again, or start from the base model.",
            )
        return info
