"""The model of the trainer `tiny` in eager PyTorch, as its users would write it: the opponent.

Same weights, same batches, same rows left out; a batch is packed, without padding outside of
attention, and goes through in one pass (NumPy cuts it in two, for the cache). PyTorch's fused
operations where eager mode has them: scaled_dot_product_attention, rms_norm, cross_entropy, AdamW.
Runs in a process of its own (`python -m benchmarks.torch_loop SIZE`): reads a number of rounds
from each line of its input, and answers with a line of JSON, the CPU seconds and the loss of every
step.
"""

import json
import sys
import time

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.workload import CLIP, DECAY, RATE, load_workload
from ftops.engine.tiny.attention import PaddedGrid
from ftops.engine.tiny.batch import Pack, make_pack
from ftops.engine.tiny.config import HEAD_DIM
from ftops.engine.tiny.parameters import Parameters, init_parameters

_EPSILON = 1e-6


class TorchPack:
    """A pack as tensors; made before the clock runs."""

    def __init__(self, pack: Pack) -> None:
        self.tokens = torch.from_numpy(pack.tokens)
        self.counted = torch.from_numpy(pack.counted)
        self.targets = torch.from_numpy(pack.targets)
        self.weights = torch.from_numpy(pack.weights)
        self.grid, self.counted_grid = pack.grid, pack.counted_grid
        self.slots, self.counted_slots = _slots(pack.grid), _slots(pack.counted_grid)
        self.counted_bias = torch.from_numpy(pack.counted_bias)
        self.rotations = torch.from_numpy(pack.rotations)


def _slots(grid: PaddedGrid) -> Tensor | None:
    return None if grid.slots is None else torch.from_numpy(grid.slots)


class TorchLoop:
    """Model and optimizer, one thread."""

    def __init__(self, parameters: Parameters) -> None:
        torch.set_num_threads(1)
        self.weights = {
            name: torch.tensor(view, requires_grad=True) for name, view in parameters.views.items()
        }
        self._n_layers = parameters.shape.n_layers
        self._optimizer = torch.optim.AdamW(
            list(self.weights.values()),
            lr=RATE,
            betas=(0.9, 0.98),
            eps=1e-8,
            weight_decay=DECAY,
            fused=True,
        )

    def step(self, pack: TorchPack) -> float:
        """One optimizer step; the loss before it."""
        self._optimizer.zero_grad(set_to_none=True)
        losses = functional.cross_entropy(self._forward(pack), pack.targets, reduction="none")
        loss = (losses * pack.weights).sum() / pack.weights.sum()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(list(self.weights.values()), CLIP, foreach=True)
        self._optimizer.step()
        return float(loss.detach())

    def _forward(self, pack: TorchPack) -> Tensor:
        x = _norm(functional.embedding(pack.tokens, self.weights["embedding"]))
        for layer in range(self._n_layers):
            x = self._layer(layer, x, pack, last=layer == self._n_layers - 1)
        return _norm(x) @ self.weights["head"]

    def _layer(self, layer: int, x: Tensor, pack: TorchPack, *, last: bool) -> Tensor:
        width = x.shape[1]
        before = _norm(x)
        qkv = self.weights[f"{layer}.qkv"]
        if last:
            q = before[pack.counted] @ qkv[:, :width]
            k, v = (before @ qkv[:, width:]).split(width, dim=1)
            x, q = x[pack.counted], _turn(q, pack.rotations[pack.counted])
        else:
            q, k, v = (before @ qkv).split(width, dim=1)
            q = _turn(q, pack.rotations)
        grid, slots = (pack.counted_grid, pack.counted_slots) if last else (pack.grid, pack.slots)
        heads = [
            _scatter(q, grid, slots),
            _scatter(_turn(k, pack.rotations), pack.grid, pack.slots),
            _scatter(v, pack.grid, pack.slots),
        ]
        mixed = (
            functional.scaled_dot_product_attention(*heads, attn_mask=pack.counted_bias)
            if last
            else functional.scaled_dot_product_attention(*heads, is_causal=True)
        )
        flat = mixed.transpose(1, 2).reshape(grid.n_documents * grid.longest, width)
        x = x + (flat if slots is None else flat[slots]) @ self.weights[f"{layer}.out"]
        hidden = functional.relu(_norm(x) @ self.weights[f"{layer}.up"]).square()
        return x + hidden @ self.weights[f"{layer}.down"]


def _norm(x: Tensor) -> Tensor:
    return functional.rms_norm(x, (x.shape[1],), eps=_EPSILON)


def _turn(x: Tensor, rotations: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.reshape(len(x), -1, HEAD_DIM // 2, 2))
    return torch.view_as_real(pairs * rotations).reshape(x.shape)


def _scatter(rows: Tensor, grid: PaddedGrid, slots: Tensor | None) -> Tensor:
    """[rows, width] -> [documents, heads, longest, HEAD_DIM]."""
    if slots is not None:
        padded = rows.new_zeros(grid.n_documents * grid.longest, rows.shape[1])
        rows = padded.index_copy(0, slots, rows)
    by_head = rows.reshape(grid.n_documents, grid.longest, -1, HEAD_DIM)
    return by_head.transpose(1, 2)


def main() -> None:
    """Answer the other process until its input ends."""
    workload = load_workload(sys.argv[1])
    loop = TorchLoop(init_parameters(workload.shape, 0))
    steps = [TorchPack(make_pack(batch)) for batch in workload.batches]
    for line in sys.stdin:
        started_s = time.process_time()
        losses = [loop.step(pack) for _ in range(int(line)) for pack in steps]
        cpu_s = time.process_time() - started_s
        print(json.dumps({"cpu_s": cpu_s, "losses": losses}), flush=True)


if __name__ == "__main__":
    main()
