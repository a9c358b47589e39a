"""Small random models in Hugging Face format, with a byte-level BPE tokenizer."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
TEMPLATE = """\
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
TEXTS = ["The ladder is behind the shed.", "It's 12 o'clock, isn't it?\n\n  Yes — 🔑."]


def write_random_model(folder: Path, family: str = "Llama", **config: Any) -> None:
    """Write a model with 2 layers of width 32; `family` begins its class in Transformers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 9, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    settings = {
        "vocab_size": 320,  # more than there are tokens, as in many models
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "eos_token_id": fast.eos_token_id,
        "pad_token_id": fast.pad_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    kind = getattr(transformers, f"{family}Config")(**settings | config)
    model = getattr(transformers, f"{family}ForCausalLM")(kind)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # zeros would hide an error
            torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)


def write_adapter(base: Path, folder: Path, **options: Any) -> Any:
    """Write a random adapter in PEFT format; returns the model with it."""
    settings = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"} | options
    torch.manual_seed(1)
    model = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(base),
        peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings),
    )
    model.save_pretrained(folder)
    return model


def compute_logits(model: Any, ids: list[int]) -> Any:
    """The logits of each position, a tensor."""
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]
