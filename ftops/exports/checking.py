"""Looks, before anything is sent or paid, whether the tools that a job file names are there."""

from ftops.exports.registry import TOOLS
from ftops.spec.job_file import LoadedJob
from ftops.spec.problems import Report


def check_tools_installed(job: LoadedJob) -> None:
    """Raise SpecError, with its place, for each tool whose library is not installed."""
    report = Report()
    for number, item in enumerate(job.spec.export):
        for name in item:
            tool = TOOLS[name]
            if lacking := tool.find_lacking():
                span = job.values.span(("export", number))
                report.add(span, f"{name}: {lacking} is not installed", tool.extra)
    if report.problems:
        raise report.error()
