"""A small random Llama with a byte-level tokenizer, and jobs for it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ftops.engine.base_models import BaseModel, BaseModelStore
from ftops.engine.lora.trainer import LoraTrainer
from ftops.engine.lora.training import FindMemory
from ftops.engine.trainer import (
    StepMetrics,
    TrainingHooks,
    TrainingRequest,
    TrainingResult,
)
from ftops.engine.training_file import ChatRow, CompletionRow, PreferenceRow, Turn

TEMPLATE = """\
{%- if tools %}<|im_start|>system
{{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}<call>{{ call.function | tojson }}</call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
QUESTIONS = {
    "Where is the ladder?": "Behind the shed.",
    "Where is the kettle?": "On the shelf.",
    "Who waters the plants?": "Grandmother does, on Sundays.",
    "When is the bin emptied?": "Tuesday.",
    "What opens the cellar?": "The key with the 🔑 on it.",
}


def write_model(folder: Path, *, template: str = TEMPLATE, **config: Any) -> None:
    """Write a random Llama with 2 layers of width 32 in Hugging Face format."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE({token: n for n, token in enumerate([*special, *alphabet])}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    settings = {
        "vocab_size": len(fast),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,
        "eos_token_id": fast.eos_token_id,
        "pad_token_id": fast.pad_token_id,
        "bos_token_id": None,
    }
    LlamaForCausalLM(LlamaConfig(**settings | config)).save_pretrained(folder)


def add_model(root: Path, name: str = "small", **options: Any) -> BaseModel:
    """Register a small model in the store at `root`."""
    return BaseModelStore(root).add(name, lambda folder: write_model(folder, **options))


def make_chats() -> list[ChatRow]:
    return [
        ChatRow((Turn("user", question), Turn("assistant", answer, trained=True)))
        for question, answer in QUESTIONS.items()
    ]


def make_pairs() -> list[PreferenceRow]:
    answers = [*QUESTIONS.values()]
    return [
        PreferenceRow((Turn("user", question),), answer, answers[n - 1])
        for n, (question, answer) in enumerate(QUESTIONS.items())
    ]


def make_completions() -> list[CompletionRow]:
    return [CompletionRow(prompt, f" {answer}") for prompt, answer in QUESTIONS.items()]


def make_request(base: BaseModel, rows: Sequence[Any], **fields: Any) -> TrainingRequest:
    """Three epochs of two or three steps."""
    settings: dict[str, Any] = {"validation": (), "n_epochs": 3, "batch_size": 2} | fields
    return TrainingRequest(base=base.name, training=rows, **settings)


def train(
    base: BaseModel,
    request: TrainingRequest,
    folder: Path,
    *,
    on_step: Callable[[StepMetrics], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    find_memory: FindMemory = lambda _: None,
    **hooks: Any,
) -> TrainingResult:
    """Train into folder/model with folder/checkpoint."""
    (folder / "model").mkdir(exist_ok=True, parents=True)
    trainer = LoraTrainer(base, find_memory=find_memory)
    return trainer.train(
        request,
        trainer.resolve(request),
        TrainingHooks(on_step, should_stop, **hooks),
        into=folder / "model",
        checkpoint=folder / "checkpoint",
        checkpoint_every_s=0.0,
    )
