"""How large each step is: a short warm-up, then half a cosine down to nearly nothing."""

import math

_WARM_UP_SHARE = 0.05  # of all steps
_LAST_SHARE = 0.02  # of the peak, at the very end


def learning_rate_share(step: int, n_steps: int) -> float:
    """The share of the peak learning rate that step (from 1) takes."""
    n_warm_up = max(1, round(_WARM_UP_SHARE * n_steps))
    if step <= n_warm_up:
        return step / n_warm_up
    progress = (step - n_warm_up) / max(1, n_steps - n_warm_up)
    return _LAST_SHARE + (1 - _LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * progress))
