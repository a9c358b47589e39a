"""What a training's curves say in words: each kind of finding is a function with its threshold."""

from ftops.reports.training_findings.finding import Finding
from ftops.reports.training_findings.finding_all import find_all

__all__ = ["Finding", "find_all"]
