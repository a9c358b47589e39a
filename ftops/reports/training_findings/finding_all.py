"""All findings of one training."""

from collections.abc import Sequence

from ftops.metrics.result import ClassResult
from ftops.reports.training import Training
from ftops.reports.training_findings import (
    divergence,
    nothing_learned,
    over_fitting,
    under_training,
)
from ftops.reports.training_findings.catalogue import FINDERS
from ftops.reports.training_findings.curves import make_curves
from ftops.reports.training_findings.finding import Evidence, Finding

# what a finding explains already, and is not to be said beside it
_EXPLAINED = {
    divergence.CODE: {over_fitting.CODE, under_training.CODE, nothing_learned.CODE},
    nothing_learned.CODE: {under_training.CODE, over_fitting.CODE},
}


def find_all(training: Training, classes: Sequence[ClassResult] = ()) -> list[Finding]:
    """What should be known of a training; nothing where all went as it should.

    `classes` are those of an evaluation of the tuned model, where there was one.
    """
    evidence = Evidence(training, make_curves(training), classes)
    found: list[Finding] = []
    explained: set[str] = set()
    for finder in FINDERS:
        finding = None if finder.code in explained else finder.find(evidence)
        if finding:
            found.append(finding)
            explained |= _EXPLAINED.get(finding.code, set())
    return found
