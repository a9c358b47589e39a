"""Generates with `generate` of Transformers: for models and precisions that llama.cpp lacks.

Answers that wait for the same adapter are generated in one batch. Each has its own sampling
parameters: a logits processor chooses the tokens, and leaves `generate` no other choice.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from tokenizers.decoders import DecodeStream
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from ftops.engine.lora.answer_queue import Answer, AnswerQueue
from ftops.engine.lora.prompt_encoder import PromptEncoder
from ftops.engine.tiny.generation import (
    AnswerDecoder,
    Sampler,
    list_top_tokens,
    log_softmax,
    sample_tokens,
)
from ftops.engine.trainer import TokenLogprob
from ftops.errors import EngineError

_MAX_BATCH = 16  # answers
_CAPACITY = 1 << 15  # tokens of all answers of a batch


def open_backend(
    opening: Mapping[str, Any], _file: None
) -> tuple["TransformersBackend", PromptEncoder, str]:
    """Load the model."""
    torch.set_num_threads(opening["threads"])
    encoder = PromptEncoder(Path(opening["base"]))
    backend = TransformersBackend(Path(opening["weights"]), encoder)
    return backend, encoder, f"transformers {backend.precision}"


class TransformersBackend:
    """Answers with the base model in a folder of Hugging Face format, and with PEFT adapters."""

    def __init__(self, base: Path, encoder: PromptEncoder) -> None:
        self._is_cuda = torch.cuda.is_available()
        self.precision = "bf16" if self._is_cuda else "fp32"
        try:
            model = AutoModelForCausalLM.from_pretrained(
                base,
                dtype=torch.bfloat16 if self._is_cuda else torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
        except Exception as error:  # the library raises many kinds
            raise EngineError(f"{base.name}: the model cannot be loaded: {error}") from error
        self._model: Any = model.to("cuda" if self._is_cuda else "cpu").eval()
        self._adapters: set[str] = set()
        self._tokenizer = encoder.tokenizer
        configured = self._model.generation_config.eos_token_id
        more = configured if isinstance(configured, list) else [configured]
        self._end_tokens = encoder.list_end_tokens() | {
            token for token in more if token is not None
        }
        self._lock = threading.Lock()  # of the model
        self._queue = AnswerQueue(_MAX_BATCH, _CAPACITY)
        threading.Thread(target=self._run, name="generate", daemon=True).start()

    def submit(self, answers: list[Answer]) -> None:
        """Generate these answers when the running batch has ended."""
        self._queue.put(answers)

    def unload(self, adapter: str) -> None:
        """Drop an adapter from memory."""
        with self._lock:
            if adapter not in self._adapters:
                return
            self._adapters.remove(adapter)
            if not self._adapters:
                self._model = self._model.unload()  # the base model
                return
            self._model.set_adapter(_adapter_name(next(iter(self._adapters))))
            self._model.delete_adapter(_adapter_name(adapter))

    def _run(self) -> None:
        while True:
            answers = self._queue.take_all()
            try:
                with self._lock:
                    self._generate(answers)
            except Exception as error:  # of any kind: it concerns this batch
                for answer in answers:
                    answer.fail(error)
            for answer in answers:
                self._queue.finish(answer)

    def _generate(self, answers: list[Answer]) -> None:
        adapter = answers[0].adapter
        self._load_adapter(adapter)
        batch = _RunningAnswers(answers, self._tokenizer, self._end_tokens)
        longest = max(len(answer.prompt) for answer in answers)
        tokens = torch.zeros((len(answers), longest), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, answer in enumerate(answers):
            tokens[row, longest - len(answer.prompt) :] = torch.tensor(answer.prompt)
            mask[row, longest - len(answer.prompt) :] = 1
        config = GenerationConfig(
            max_new_tokens=max(answer.params.max_tokens for answer in answers),
            do_sample=False,
            pad_token_id=0,
        )

        def generate() -> None:
            self._model.generate(
                input_ids=tokens.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                generation_config=config,
                logits_processor=LogitsProcessorList([_TokenChoice(batch)]),
                stopping_criteria=StoppingCriteriaList([_AllFinished(batch)]),
            )

        with torch.inference_mode():
            if adapter or not self._adapters:
                generate()
            else:
                with self._model.disable_adapter():
                    generate()

    def _load_adapter(self, adapter: str) -> None:
        if not adapter:
            return
        name = _adapter_name(adapter)
        if not isinstance(self._model, PeftModel):
            self._model = PeftModel.from_pretrained(self._model, adapter, adapter_name=name)
            self._model.eval()
        elif adapter not in self._adapters:
            self._model.load_adapter(adapter, adapter_name=name)
        self._adapters.add(adapter)
        self._model.set_adapter(name)


def _adapter_name(adapter: str) -> str:
    return adapter.replace(".", "_")  # names of modules have no dots


class _RunningAnswers:
    """The state of the answers of a batch."""

    def __init__(
        self,
        answers: list[Answer],
        tokenizer: PreTrainedTokenizerBase,
        end_tokens: frozenset[int],
    ) -> None:
        self._answers = answers
        self._tokenizer = tokenizer
        self._end_tokens = end_tokens
        self._decoders = [AnswerDecoder(0, answer.params.stop) for answer in answers]
        self._streams = [DecodeStream(skip_special_tokens=True) for _ in answers]
        self._n_tokens = [0] * len(answers)
        self._samplers: list[Sampler] | None = None

    @property
    def are_finished(self) -> list[bool]:
        return [
            answer.is_cancelled or decoder.finish_reason is not None
            for answer, decoder in zip(self._answers, self._decoders, strict=True)
        ]

    def choose(self, logits: Any) -> list[int]:
        """Choose the next token of each answer by its logits [answers, vocabulary]."""
        if self._samplers is None:
            self._samplers = [_create_sampler(answer, logits.shape[1]) for answer in self._answers]
        tokens = sample_tokens(logits, self._samplers).tolist()
        for row, is_finished in enumerate(self.are_finished):
            if not is_finished:
                self._extend(row, tokens[row], logits[row])
        return list(map(int, tokens))

    def _extend(self, row: int, token: int, logits: Any) -> None:
        answer, decoder = self._answers[row], self._decoders[row]
        self._n_tokens[row] += 1
        if token in self._end_tokens:
            decoder.finish("stop")
        else:
            text = self._streams[row].step(self._tokenizer.backend_tokenizer, token) or ""
            decoder.add(text.encode(), self._read_logprob(answer, token, logits))
        if self._n_tokens[row] >= answer.params.max_tokens:
            decoder.finish("length")
        if (chunk := decoder.take()) is not None:
            answer.send(chunk)

    def _read_logprob(self, answer: Answer, token: int, logits: Any) -> TokenLogprob | None:
        n_top = answer.params.logprobs
        if n_top is None:
            return None
        logs = log_softmax(logits)
        top = {self._name(one): value for one, value in list_top_tokens(logs, n_top).items()}
        return TokenLogprob(self._name(token), float(logs[token]), top)

    def _name(self, token: int) -> str:
        return str(self._tokenizer.decode([token]))


class _TokenChoice(LogitsProcessor):
    """Leaves `generate` one token for each answer."""

    def __init__(self, batch: _RunningAnswers) -> None:
        self._batch = batch

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002
        chosen = self._batch.choose(scores.float().cpu().numpy().copy())
        only = torch.full_like(scores, -torch.inf)
        only[torch.arange(len(chosen)), torch.tensor(chosen)] = 0
        return only


class _AllFinished(StoppingCriteria):
    """Ends `generate` when all answers are finished."""

    def __init__(self, batch: _RunningAnswers) -> None:
        self._batch = batch

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002
        return torch.tensor(self._batch.are_finished, device=input_ids.device)


def _create_sampler(answer: Answer, vocabulary: int) -> Sampler:
    entropy = int(np.random.SeedSequence().entropy) if answer.seed is None else answer.seed  # type: ignore[arg-type]
    return Sampler(answer.params, vocabulary, entropy=entropy % 2**63, number=answer.index)
