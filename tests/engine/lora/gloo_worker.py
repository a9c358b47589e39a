"""Trains with two processes, then with one: `python -m` this module FOLDER.

The two are connected by gloo over the loopback interface. Prints one JSON object: for each method
the losses of all steps with two processes and with one.
"""

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from ftops.clock import SystemClock
from ftops.engine.base_models import BaseModel
from ftops.engine.lora.trainer import LoraTrainer
from ftops.engine.lora.training import LoraJob, TrainingContext, train
from ftops.engine.trainer import StepMetrics, TrainingHooks
from ftops.lora_options import LoraOptions
from tests.engine.lora.small_model import add_model, make_chats, make_pairs, make_request

_ROWS: Mapping[str, Callable[[], Sequence[Any]]] = {"sft": make_chats, "dpo": make_pairs}


def train_as(rank: int, world: int, base: BaseModel, folder: Path) -> dict[str, list[float]]:
    """Train five rows in batches of four, so that the last batch of an epoch has only one."""
    losses: dict[str, list[float]] = {}
    for method, make_rows in _ROWS.items():
        request = make_request(base, make_rows(), batch_size=4, learning_rate=0.01)
        seen = losses[method] = []

        def on_step(metrics: StepMetrics, seen: list[float] = seen) -> None:
            seen.append(metrics.train_loss)

        job = LoraJob(
            request=request,
            resolved=LoraTrainer(base).resolve(request),
            options=LoraOptions(rank=4),
            base=base,
            weights=base.folder,
            adapter=None,
            into=folder / f"{method}-{world}",
            checkpoint=folder / f"checkpoint-{method}-{world}",
        )
        job.into.mkdir(exist_ok=True)
        hooks = TrainingHooks(on_step, lambda: False)
        train(job, TrainingContext(hooks, SystemClock(), rank, world, distributed.all_reduce))
    return losses


def train_together(rank: int, base: BaseModel, folder: Path) -> dict[str, list[float]]:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    losses = train_as(rank, 2, base, folder)
    distributed.destroy_process_group()
    return losses


def main(folder: Path) -> None:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ["GLOO_SOCKET_IFNAME"] = loopback
    torch.set_num_threads(1)
    base = add_model(folder)
    child = os.fork()
    losses = train_together(1 if child == 0 else 0, base, folder)
    if child == 0:
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    sys.stdout.write(json.dumps({"two": losses, "one": train_as(0, 1, base, folder)}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
