"""Steps and epochs as findings say them."""

from ftops.reports.training import Training


def say_step(training: Training, step: int) -> str:
    """A step, with its epoch where that is known."""
    epoch = training.find_epoch(step)
    return f"step {step:,} (epoch {epoch})" if epoch else f"step {step:,}"


def say_epoch(count: int) -> str:
    """So many epochs."""
    return "1 epoch" if count == 1 else f"{count} epochs"
