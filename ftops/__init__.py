"""One fine-tuning job file, any engine, nothing lost."""

__version__ = "0.1.0"
