"""A pre-trained model with the weights to train: adapters on its linear layers, or all weights.

The model is a stock Transformers model with a stock PEFT adapter, so the files are those that other
tools load: `adapter_config.json` and `adapter_model.safetensors`, or, after full training, the
folder of a Transformers model. `lora.json` names the base model and the hash of its weights.

Only safetensors files are read, and no code of a model's folder is executed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from ftops.engine.base_models import BaseModel, list_weights
from ftops.engine.lora.packing import PACKED_ATTENTION, has_plain_attention
from ftops.errors import EngineError
from ftops.files import write_atomic
from ftops.lora_options import LoraOptions
from ftops.records import Json

ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
ADAPTER_CONFIG: Final = "adapter_config.json"
DESCRIPTION: Final = "lora.json"
transformers.logging.disable_progress_bar()
_SHAPING_OPTIONS = ("rank", "alpha", "targets", "variant", "full")  # fixed by an adapter's tensors
_ADD_AGAIN = "Add the base model again: `ftops engine models add`."


@dataclass(frozen=True, slots=True)
class TrainedModelInfo:
    """The content of `lora.json`: what the model was trained from and how."""

    base: str
    base_sha256: str
    options: Mapping[str, Json]
    versions: Mapping[str, str]


def library_versions() -> dict[str, str]:
    """The versions on which the last bits of the weights depend."""
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }


def read_info(folder: Path) -> TrainedModelInfo:
    """Read `lora.json` of a trained model; EngineError when it is missing or damaged."""
    path = folder / DESCRIPTION
    try:
        return TrainedModelInfo(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EngineError(
            f"{path}: cannot be read: {error}",
            hint="The model's files are damaged; train it again, or restore them from a copy.",
        ) from error


def merge_options(
    options: Mapping[str, Json] | None, earlier: TrainedModelInfo | None
) -> LoraOptions:
    """The options of a job; what shapes the adapter comes from the earlier model, if there is one.

    EngineError when a job on an earlier model asks for another shape.
    """
    chosen = dict(options or {})
    if earlier is not None:
        before = LoraOptions.model_validate(earlier.options).model_dump(mode="json")
        for name in _SHAPING_OPTIONS:
            if chosen.setdefault(name, before[name]) != before[name]:
                raise EngineError(
                    f"the model to continue from was trained with lora.{name} {before[name]!r},"
                    f" and the job asks for {chosen[name]!r}",
                    hint=f"Leave lora.{name} out, or start from the base model {earlier.base}.",
                )
    return LoraOptions.model_validate(chosen)


def choose_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_weights(folder: Path, options: LoraOptions, device: torch.device) -> Any:
    """Load a Transformers model for training; EngineError when that is not possible.

    On a CPU, and when all weights are trained, they are fp32; otherwise bf16 on a GPU. The linear
    layers of an `nf4` model have 4 bits a weight (Dettmers et al. 2023, "QLoRA").
    """
    list_weights(folder)  # refuses pickled ones
    is_fp32 = options.dtype == "fp32"
    if options.dtype in ("auto", "nf4"):
        is_fp32 = options.full or device.type == "cpu"
    dtype = torch.float32 if is_fp32 else torch.bfloat16
    quantized: dict[str, Any] = {}
    if options.dtype == "nf4":
        quantized = {"quantization_config": _make_quantization(dtype), "device_map": {"": device}}
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=PACKED_ATTENTION if has_plain_attention(config) else "sdpa",
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **quantized,
        )
    except ImportError as error:
        raise EngineError(
            f"lora.dtype {options.dtype} needs a package that is not installed: {error}",
            hint="Run `pip install 'ftops[qlora]'`.",
        ) from error
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        _raise_if_out_of_memory(error)
        raise EngineError(
            f"{folder.name}: the model cannot be loaded: {error}", hint=_ADD_AGAIN
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise EngineError(
            f"{folder.name}: the weights lack {', '.join(missing[:3])}", hint=_ADD_AGAIN
        )
    model.config.use_cache = False
    return model.to(device)


def _make_quantization(dtype: torch.dtype) -> Any:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def list_targets(model: Any, options: LoraOptions) -> list[str]:
    """The modules that get an adapter: linear layers, without the head unless it is named.

    EngineError when a name of `targets` matches nothing, another kind of module, or weights that
    the model shares between its embedding and its head.
    """
    head = model.get_output_embeddings()
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]
    if options.targets == "all-linear":
        if not linear:
            raise EngineError(
                "the model has no linear layers for an adapter", hint="Use lora.full."
            )
        return linear
    shared = {head, model.get_input_embeddings()} if model.config.tie_word_embeddings else set()
    matched = []
    for target in options.targets:
        modules = [
            (name, module)
            for name, module in model.named_modules()
            if name == target or name.endswith(f".{target}")
        ]
        if not modules:
            raise EngineError(
                f"lora.targets: the model has no module {target!r}",
                hint=f"Its linear layers are {', '.join(_short_names(linear))}.",
            )
        for name, module in modules:
            if module in shared:
                raise EngineError(
                    f"lora.targets: {target!r} shares its weights between embedding and head, and"
                    " an adapter would be lost when it is merged",
                    hint=f"Choose among {', '.join(_short_names(linear))}.",
                )
            if not isinstance(module, torch.nn.Linear):
                raise EngineError(
                    f"lora.targets: {target!r} matches {name}, which is no linear layer",
                    hint=f"Choose among {', '.join(_short_names(linear))}.",
                )
            matched.append(name)
    return matched


def _short_names(modules: Sequence[str]) -> list[str]:
    """The last parts of the names, each once, in order."""
    return list(dict.fromkeys(name.rpartition(".")[2] for name in modules))


def add_adapter(model: Any, options: LoraOptions, seed: int) -> PeftModel:
    """The model with a new adapter; its first random weights depend only on the seed."""
    targets = list_targets(model, options)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.dropout,
        target_modules=sorted(_short_names(targets)),
        use_rslora=options.variant == "rslora",
        use_dora=options.variant == "dora",
    )
    torch.manual_seed(seed)
    adapted = get_peft_model(model, config)
    names = {name.removeprefix("base_model.model.") for name in adapted.targeted_module_names}
    if names != set(targets):
        surprises = ", ".join(sorted(names ^ set(targets))[:3])
        raise EngineError(f"lora.targets: PEFT matches other modules: {surprises}")
    return adapted


def list_trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The weights to train by name, in a fixed order."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def load_adapter(model: PeftModel, folder: Path) -> None:
    """Set the adapter to the one in the folder; EngineError when its tensors do not fit."""
    path = folder / ADAPTER_WEIGHTS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise EngineError(f"{path}: the adapter cannot be read: {error}") from error
    present = get_peft_model_state_dict(model)
    if shapes(tensors) != shapes(present):
        wrong = sorted(dict(set(shapes(tensors).items()) ^ set(shapes(present).items())))
        raise EngineError(
            f"{path}: the adapter does not fit the base model: {', '.join(wrong[:3])}",
            hint="Start from the base model, or from a model that was trained on it.",
        )
    peft.set_peft_model_state_dict(model, tensors)


def shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def write_trained_model(
    model: Any, folder: Path, base: BaseModel, options: LoraOptions, tokenizer: Any
) -> None:
    """Write the files of a trained model. Equal weights give equal bytes."""
    if options.full:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    else:
        _write_adapter(model, folder, base)
    info = {
        "base": base.name,
        "base_sha256": base.sha256,
        "options": options.model_dump(mode="json"),
        "versions": library_versions(),
    }
    write_atomic(folder / DESCRIPTION, (json.dumps(info, indent=2) + "\n").encode())


def _write_adapter(model: PeftModel, folder: Path, base: BaseModel) -> None:
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in sorted(get_peft_model_state_dict(model).items())
    }
    write_atomic(folder / ADAPTER_WEIGHTS, save(tensors, {"format": "pt"}))
    config = model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": base.name, "inference_mode": True}
    text = json.dumps(config, indent=2, sort_keys=True, default=_sorted_values)
    write_atomic(folder / ADAPTER_CONFIG, f"{text}\n".encode())


def _sorted_values(values: Any) -> Any:
    """A set has no fixed order; enumerations are written by their values."""
    return sorted(values) if isinstance(values, set | frozenset) else values.value


def is_out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "can't allocate memory" in str(error)
        or "not enough memory" in str(error)
    )


def _raise_if_out_of_memory(error: BaseException) -> None:
    if is_out_of_memory(error):
        raise error
