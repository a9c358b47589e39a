"""Run fine-tuning jobs from one YAML file: check the data, train, resume, evaluate."""

__version__ = "0.1.0"
