"""The trainer `lora`: fine-tunes pre-trained models with PyTorch, Transformers and PEFT."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ftops.clock import Clock, SystemClock
from ftops.engine.base_models import BaseModel
from ftops.engine.lora.auto_hyperparameters import resolve_hyperparameters
from ftops.engine.lora.encoding import encode_rows, load_tokenizer, make_encoder
from ftops.engine.lora.evaluation import check_metric
from ftops.engine.lora.loaded_model import LoraModel, load_model
from ftops.engine.lora.model import TrainedModelInfo, merge_options, read_info
from ftops.engine.lora.training import LoraJob, TrainingContext, train
from ftops.engine.trainer import (
    CHECKPOINT_EVERY_S,
    ResolvedHyperparameters,
    TokenEstimate,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
    check_request,
)
from ftops.engine.training_file import TrainingRow
from ftops.errors import EngineError


class LoraTrainer:
    """Trains one registered base model, and models that were trained on it.

    `clock` measures speed and times the checkpoints.
    """

    def __init__(self, base: BaseModel, clock: Clock | None = None) -> None:
        self._base = base
        self._clock = clock or SystemClock()
        self.bases: Mapping[str, int] = {base.name: base.parameters}

    def estimate_tokens(self, rows: Sequence[TrainingRow]) -> TokenEstimate:
        """Count the tokens of one epoch; rows above the context length count, but are refused."""
        tokenizer = load_tokenizer(self._base.folder)
        encoder = make_encoder(tokenizer, TrainingRequest(self._base.name, rows, ()))
        encoded = encode_rows(rows, encoder)
        documents = [document for row in encoded for document in row.documents]
        return TokenEstimate(
            tokens=sum(map(len, documents)),
            learned_tokens=sum(int((document.weights == 1).sum()) for document in documents),
            longest=max(map(len, documents), default=0),
            cut_rows=sum(row.longest > self._base.context_length for row in encoded),
            vocabulary=len(tokenizer),
        )

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
        earlier = self._find_earlier(request)
        options = merge_options(request.lora, earlier)
        folder = Path(request.base) if earlier else None
        job = LoraJob(
            request=request,
            resolved=resolved,
            options=options,
            base=self._base,
            weights=folder if folder and options.full else self._base.folder,
            adapter=None if options.full else folder,
            into=into,
            checkpoint=checkpoint,
            checkpoint_every_s=checkpoint_every_s,
        )
        return train(job, TrainingContext(hooks, self._clock))

    def load(self, folder: Path) -> LoraModel:
        """Load a model that `train` wrote; EngineError when it is damaged."""
        return load_model(self._base, folder)

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
