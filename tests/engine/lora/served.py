"""Base models without weights, and a pool whose processes echo."""

import json
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftops.engine.base_models import BaseModel
from ftops.engine.generation import PooledModel
from ftops.engine.lora.serving import ServedModel, ServingPool
from ftops.engine.trainer import GenerationChunk, SamplingParams
from tests.engine.lora import echo_worker
from tests.fakes import FakeClock

ECHO_COMMAND = (sys.executable, str(Path(echo_worker.__file__)))


def write_base(engine: Path, name: str = "echo") -> BaseModel:
    """Register a base model that a pool can open, and no trainer."""
    folder = engine / "base_models" / name
    folder.mkdir(parents=True)
    facts = {
        "architecture": "llama",
        "parameters": 10,
        "size_bytes": 40,
        "context_length": 200,
        "sha256": "0",
        "chat_template": True,
        "tools": True,
        "licence": "",
        "source": "",
    }
    (folder / "base.json").write_text(json.dumps(facts))
    return BaseModel(name=name, folder=folder, **facts)  # type: ignore[arg-type]


def write_adapter(engine: Path, name: str) -> Path:
    folder = engine / "models" / name
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    return folder


@contextmanager
def run_pool(clock: FakeClock | None = None, *options: str) -> Iterator[ServingPool]:
    pool = ServingPool(clock or FakeClock(), (*ECHO_COMMAND, *options))
    try:
        yield pool
    finally:
        pool.stop()


def ask(model: ServedModel, prompt: str, params: SamplingParams | None = None) -> str:
    """The text of the answer."""
    request = PooledModel(None, model).generate([prompt], params or SamplingParams(max_tokens=99))
    return "".join(chunk.text for chunk in request)


def read_chunks(chunks: "queue.SimpleQueue[Any]") -> list[GenerationChunk]:
    """Wait for all chunks of an answer."""
    received: list[GenerationChunk] = []
    while not received or received[-1].finish_reason is None:
        chunk = chunks.get(timeout=60)
        if isinstance(chunk, Exception):
            raise chunk
        received.append(chunk)
    return received


def write_text(chunks: list[GenerationChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)
