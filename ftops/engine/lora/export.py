"""Writes a fine-tuned model for other tools, and checks it by its loss.

Run as a process of its own: python -m ftops.engine.lora.export REQUEST, a JSON object with the
fields of `ExportRequest`. It prints one JSON object: the verification, or `error` and `hint`.
"""

import json
import math
import shlex
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import peft
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftops.engine.base_models import CHAT_TEMPLATE, MODEL_CARD, BaseModel, BaseModelStore
from ftops.engine.lora.gguf_format import convert_gguf, write_gguf, write_gguf_adapter
from ftops.engine.lora.model import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_info
from ftops.engine.model_store import publish_folder
from ftops.errors import EngineError, FtopsError
from ftops.files import remove_path, write_atomic

EXPORT_FORMATS: Final = ("adapter", "merged", "gguf", "gguf-lora", "vllm", "ollama")
_TOKENIZER_FILES: Final = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", CHAT_TEMPLATE,
)  # fmt: skip
_GGUF_MODEL: Final = "model-q8_0.gguf"
_GGUF_ADAPTER: Final = "adapter.gguf"
_MOST_DIFFERENCE: Final = {"merged": 0.001, "gguf": 0.05, "ollama": 0.05}  # nats a token
_SAME: Final = 1e-4  # where the weights are the same
_CHATS: Final = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Name three colours.", "Red, green and blue."),
    ("How many days has a week?", "A week has seven days: Monday to Sunday."),
)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is exported: `model` is the folder of a fine-tuned model, `base_models` the store."""

    name: str
    model: str
    base_models: str
    export_format: str
    target: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The loss of the model and of what was exported, in nats per token.

    `loaded_by` names the library that loaded the exported files; empty when it is not installed.
    """

    loss: float
    exported_loss: float | None
    texts: int
    loaded_by: str


def export_model(request: ExportRequest) -> Verification:
    """Write the export to a new folder; it is there completely and verified, or not at all."""
    model, target = Path(request.model), Path(request.target)
    info = read_info(model)
    base = BaseModelStore(Path(request.base_models)).find(info.base)
    if base is None or base.sha256 != info.base_sha256:
        raise EngineError(
            f"the base model {info.base} of {request.name} is missing or another one",
            hint="Add the base model that it was trained on: `ftops engine models add`.",
        )
    is_full = not (model / ADAPTER_WEIGHTS).exists()
    if is_full and request.export_format in ("adapter", "vllm", "gguf-lora"):
        raise EngineError(
            f"{request.name} has no adapter: all its weights were trained",
            hint="Export it --as merged, gguf or ollama.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        verification = _write(request.export_format, model, base, temporary)
        _write_card(request, base, temporary, verification)
        if target.exists():
            raise EngineError(f"{target} exists already", hint="Choose a new folder.")
        temporary.chmod(0o755)
        publish_folder(temporary, target)
    finally:
        remove_path(temporary)
    return verification


def _write(export_format: str, model: Path, base: BaseModel, folder: Path) -> Verification:
    """Write and verify the files of one format."""
    tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    texts = _encode_texts(tokenizer)
    tuned = _load_tuned(model, base)
    loss = _compute_loss(tuned, texts)
    if export_format in ("adapter", "vllm"):
        _check_vllm(export_format, model)
        for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG):
            shutil.copyfile(model / name, folder / name)
        _copy_tokenizer(base.folder, folder)
        loaded: Any = peft.PeftModel.from_pretrained(_load(base.folder), folder)
        return _verify(loss, _compute_loss(loaded, texts), texts, f"peft {peft.__version__}", _SAME)
    if export_format == "gguf-lora":
        write_gguf_adapter(model, base.folder, folder / _GGUF_ADAPTER)
        losses = _list_losses(tuned, texts)
        return _verify_with_llama_cpp(losses, texts, base.folder, folder / _GGUF_ADAPTER)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        merged = folder if export_format == "merged" else Path(scratch)
        whole = tuned.merge_and_unload() if isinstance(tuned, peft.PeftModel) else tuned
        whole.save_pretrained(merged)
        _copy_tokenizer(base.folder, merged)
        most = _MOST_DIFFERENCE[export_format]
        if export_format == "merged":
            _check_tokens(tokenizer, folder)
            by = f"transformers {transformers.__version__}"
            return _verify(loss, _compute_loss(_load(folder), texts), texts, by, most)
        write_gguf(merged, folder / _GGUF_MODEL, "q8_0")
        if export_format == "ollama":
            _write_modelfile(folder, tokenizer)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        convert_gguf(folder / _GGUF_MODEL, Path(scratch))
        _check_tokens(tokenizer, Path(scratch))
        by = f"transformers {transformers.__version__}, from the GGUF file"
        return _verify(loss, _compute_loss(_load(Path(scratch)), texts), texts, by, most)


def _load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )


def _load_tuned(model: Path, base: BaseModel) -> Any:
    if (model / ADAPTER_WEIGHTS).exists():
        return peft.PeftModel.from_pretrained(_load(base.folder), model)
    return _load(model)


def _copy_tokenizer(source: Path, folder: Path) -> None:
    for name in _TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)


def _render(tokenizer: Any) -> list[str]:
    """The texts that are compared: conversations where there is a template."""
    if not tokenizer.chat_template:
        return [f"{question} {answer}" for question, answer in _CHATS]
    return [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            tokenize=False,
        )
        for question, answer in _CHATS
    ]


def _encode_texts(tokenizer: Any) -> list[list[int]]:
    return [
        tokenizer(text, add_special_tokens=False).input_ids[:256] for text in _render(tokenizer)
    ]


def _check_tokens(tokenizer: Any, folder: Path) -> None:
    """EngineError unless the exported tokenizer and template give the same token ids."""
    exported = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if _encode_texts(exported) != _encode_texts(tokenizer):
        raise EngineError("the exported tokenizer gives other tokens; nothing was exported")


def _list_losses(model: Any, texts: Sequence[Sequence[int]]) -> list[float]:
    """The loss of each token but the first of each text, in nats."""
    losses: list[float] = []
    model.eval()
    for ids in texts:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, :-1].double()
        targets = torch.tensor(ids[1:])
        losses += torch.nn.functional.cross_entropy(logits, targets, reduction="none").tolist()
    return losses


def _compute_loss(model: Any, texts: Sequence[Sequence[int]]) -> float:
    return statistics.fmean(_list_losses(model, texts))


def _verify(
    loss: float, exported: float, texts: Sequence[object], loaded_by: str, most: float
) -> Verification:
    if not math.isfinite(exported) or abs(exported - loss) > most:
        raise EngineError(
            f"the exported model has a loss of {exported:.4f} instead of {loss:.4f};"
            " nothing was exported"
        )
    return Verification(loss, exported, len(texts), loaded_by)


def _verify_with_llama_cpp(
    losses: Sequence[float], texts: Sequence[Sequence[int]], base: Path, adapter: Path
) -> Verification:
    """Compare the loss of llama.cpp, with the base model in 32 bits, if it is installed."""
    try:
        import xllamacpp
    except ImportError:
        return Verification(statistics.fmean(losses), None, len(texts), "")
    with tempfile.TemporaryDirectory(dir=adapter.parent.parent) as scratch:
        write_gguf(base, Path(scratch) / "base.gguf", "f32")
        params = xllamacpp.CommonParams()
        params.model.path = str(Path(scratch) / "base.gguf")
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        params.n_ctx, params.n_parallel, params.verbosity = 512, 1, 1
        params.fit_params = params.warmup = False
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        server = xllamacpp.Server(params)
        exported = _list_llama_cpp_losses(server.handle_completions, texts)
        del server
    loss = statistics.fmean(losses[number] for number in exported)
    by = f"llama.cpp, {len(exported)} tokens"
    return _verify(loss, statistics.fmean(exported.values()), texts, by, _MOST_DIFFERENCE["merged"])


def _list_llama_cpp_losses(
    complete: Callable[..., object], texts: Sequence[Sequence[int]]
) -> dict[int, float]:
    """The losses by the number of the token, one request for each.

    llama.cpp returns none for a part of a character and for the end of an answer.
    """
    losses: dict[int, float] = {}
    beginnings = [(ids[:place], ids[place]) for ids in texts for place in range(1, len(ids))]
    for number, (prompt, target) in enumerate(beginnings):
        answers: list[Mapping[str, Any]] = []
        request = {
            "prompt": list(prompt),
            "max_tokens": 1,
            "logprobs": 1,
            "logit_bias": [[target, 1000.0]],  # log probabilities are those before it
            "cache_prompt": True,
        }
        complete(request, answers.append)
        logprobs = answers[0]["choices"][0].get("logprobs")
        if logprobs and logprobs["content"]:
            losses[number] = -logprobs["content"][0]["logprob"]
    return losses


def _check_vllm(export_format: str, model: Path) -> None:
    settings = json.loads((model / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if export_format == "vllm" and settings.get("use_dora"):
        raise EngineError("vLLM applies no DoRA adapters", hint="Export it --as merged.")


def _write_modelfile(folder: Path, tokenizer: Any) -> None:
    """Write the file for `ollama create`; Ollama reads the chat template from the GGUF file."""
    lines = [f"FROM ./{_GGUF_MODEL}", f'PARAMETER stop "{tokenizer.eos_token}"']
    (folder / "Modelfile").write_text("\n".join(lines) + "\n", encoding="utf-8")


_USES: Final = {
    "adapter": "With PEFT: `PeftModel.from_pretrained(base, FOLDER)`, where `base` is {base}.",
    "merged": "With Transformers: `AutoModelForCausalLM.from_pretrained(FOLDER)`.",
    "gguf": f"With llama.cpp: `llama-server -m {_GGUF_MODEL}`.",
    "gguf-lora": f"With llama.cpp: `llama-server -m BASE.gguf --lora {_GGUF_ADAPTER}`,"
    " where BASE.gguf is {base}.",
    "vllm": "With vLLM: `vllm serve {folder} --enable-lora --max-lora-rank {rank}"
    " --lora-modules {name}=FOLDER`.",
    "ollama": "With Ollama: `ollama create {name} -f Modelfile`.",
}


def _write_card(
    request: ExportRequest, base: BaseModel, folder: Path, verification: Verification
) -> None:
    """Write the model card and provenance.json: where the model comes from."""
    info = read_info(Path(request.model))
    use = _USES[request.export_format].format(
        base=base.name,
        folder=shlex.quote(base.name),
        name=request.name.replace(":", "-"),
        rank=info.options.get("rank"),
    )
    head = f"license: {base.licence}\n" if base.licence else ""
    checked = (
        f"Loss on {verification.texts} texts: {verification.loss:.4f} before the export,"
        f" {verification.exported_loss:.4f} after it ({verification.loaded_by})."
        if verification.exported_loss is not None
        else "The exported files were not loaded: xllamacpp is not installed."
    )
    card = (
        f"---\n{head}base_model: {base.source or base.name}\ntags: [ftops, lora]\n---\n"
        f"# {request.name}\n\n"
        f"Fine-tuned with ftops from {base.name} ({base.source or 'unknown source'}),"
        f" whose weights have the SHA-256 {base.sha256}.\n\n{use}\n\n{checked}\n"
    )
    (folder / MODEL_CARD).write_text(card, encoding="utf-8")
    provenance = {
        "model": request.name,
        "format": request.export_format,
        "base": base.name,
        "base_source": base.source,
        "base_sha256": base.sha256,
        "licence": base.licence,
        "options": dict(info.options),
        "versions": dict(info.versions),
        "verification": asdict(verification),
    }
    text = json.dumps(provenance, indent=2) + "\n"
    write_atomic(folder / "provenance.json", text.encode(), mode=0o644)


def main(argument: str) -> int:
    try:
        result: dict[str, Any] = asdict(export_model(ExportRequest(**json.loads(argument))))
    except FtopsError as error:
        result = {"error": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if "error" in result else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
