"""AdamW with a schedule and clipping; its state is plain tensors by the names of the weights."""

import math
from collections.abc import Callable, Mapping

import torch

from ftops.lora_options import LoraOptions

Weights = dict[str, torch.Tensor]
Moments = dict[str, tuple[torch.Tensor, torch.Tensor]]  # means of the gradients and their squares


def learning_rate_scale(step: int, n_steps: int, options: LoraOptions) -> float:
    """The factor of the peak learning rate at a step (from 1); above 0 at every step."""
    n_warm_up = math.ceil(options.warmup_ratio * n_steps)
    if step <= n_warm_up:
        return step / n_warm_up
    progress = (step - 1 - n_warm_up) / max(1, n_steps - n_warm_up)
    match options.scheduler:
        case "constant":
            return 1.0
        case "linear":
            return 1 - progress
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))


class Optimizer:
    """Updates the weights by their gradients, which it then clears."""

    def __init__(self, weights: Mapping[str, torch.nn.Parameter], options: LoraOptions) -> None:
        self._weights = dict(weights)
        self._max_norm = options.max_grad_norm
        decayed = [weight for weight in weights.values() if weight.ndim > 1]
        others = [weight for weight in weights.values() if weight.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": options.weight_decay},
            {"params": others, "weight_decay": 0.0},  # norms, biases and magnitudes
        ]
        self._adam = torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0)

    def reduce_gradients(self, reduce: Callable[[torch.Tensor], None]) -> None:
        """Replace the gradients by their sums over all processes, in one call of `reduce`."""
        weights = self._weights.values()
        for weight in weights:
            if weight.grad is None:  # this process has no row of the step
                weight.grad = torch.zeros_like(weight)
        flat = torch.cat([weight.grad.reshape(-1) for weight in weights])
        reduce(flat)
        for weight, part in zip(
            weights, flat.split([weight.numel() for weight in weights]), strict=True
        ):
            weight.grad.copy_(part.view_as(weight))

    def update(self, learning_rate: float) -> float:
        """Take a step; returns the norm of the gradient. Nothing changes if it is not finite."""
        norm = float(torch.nn.utils.clip_grad_norm_(self._weights.values(), self._max_norm))
        if math.isfinite(norm):
            for group in self._adam.param_groups:
                group["lr"] = learning_rate
            self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return norm

    def get_state(self) -> tuple[Weights, Moments]:
        """The weights, and the moments after the first step; not copied."""
        states = ((name, self._adam.state.get(weight)) for name, weight in self._weights.items())
        moments = {name: (state["exp_avg"], state["exp_avg_sq"]) for name, state in states if state}
        return {name: weight.detach() for name, weight in self._weights.items()}, moments

    def restore(self, weights: Weights, moments: Moments, step: int) -> None:
        """Continue after `step` with copies of these weights and moments."""
        self.set_weights(weights)
        for name, (mean, square) in moments.items():
            weight = self._weights[name]
            self._adam.state[weight] = {
                "step": torch.tensor(float(step)),
                "exp_avg": mean.to(weight.device, copy=True),
                "exp_avg_sq": square.to(weight.device, copy=True),
            }

    @torch.no_grad()
    def set_weights(self, weights: Weights) -> None:
        for name, weight in weights.items():
            self._weights[name].copy_(weight)

    def copy_weights(self) -> Weights:
        """Copies of the weights."""
        return {name: weight.detach().clone() for name, weight in self._weights.items()}
