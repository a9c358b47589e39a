"""Gathers the data of a report from the ledger and the run folder; sends no requests."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ftops.clock import Clock
from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.reading.source import open_source
from ftops.errors import DatasetError, InvalidResponse, LedgerError, StorageError
from ftops.evaluation.result import Evaluation, read_evaluation, read_predictions
from ftops.ledger.ledger import Ledger
from ftops.metrics.prediction import Prediction
from ftops.records import Run
from ftops.reports.results import ResultRow, parse_results
from ftops.reports.run_facts import DataIssue, RunFacts
from ftops.reports.training import create_training
from ftops.run_folder import RunFolder
from ftops.runs.cost import read_cost
from ftops.runs.open_run import read_training_facts
from ftops.spec.notify import find_webhook, hide_webhook

_ORDER = ("error", "warning", "advice")
_OF_TRAINING = frozenset({"small-class"})  # checks that do not apply to validation rows
_MOST_BYTES = 32 << 20  # larger data files are not checked, which would take seconds


class ReportLoader:
    """Loads runs; data that several runs share is checked once."""

    def __init__(self, ledger: Ledger, home: Path, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._home = home
        self._checked: dict[str, tuple[DataIssue, ...]] = {}

    def gather(self, run: Run) -> RunFacts:
        """All facts of the run; `missing` lists what cannot be read."""
        folder = RunFolder.of(self._home, run.id)
        stages = self._ledger.list_stages(run.id)
        missing: list[str] = []
        evaluation, predictions = _read_evaluation(folder, missing)
        facts = RunFacts(
            run=run,
            stages=stages,
            training=create_training(_read_results(folder, missing), read_training_facts(stages)),
            evaluation=evaluation,
            predictions=predictions,
            job_text=hide_webhook(
                (_read(folder.job_file, missing) or b"").decode("utf-8", "replace"),
                find_webhook(run.spec),
            ),
            model=self._ledger.find_model(run.fine_tuned_model) if run.fine_tuned_model else None,
            cost=read_cost(self._ledger, run.id, self._clock.now()),
            missing=missing,
        )
        return replace(facts, data=self._check_data(facts, folder))

    def _check_data(self, facts: RunFacts, folder: RunFolder) -> list[DataIssue]:
        issues: list[DataIssue] = []
        prepared = facts.results.prepare
        for role, path, file in (
            ("training", folder.training_rows, prepared.training if prepared else None),
            ("validation", folder.validation_rows, prepared.validation if prepared else None),
        ):
            if not path.is_file():
                continue
            digest = (file.sha256 if file else "") or str(path)
            if digest not in self._checked:
                self._checked[digest] = tuple(_check_file(path, role))
            issues += self._checked[digest]
        return sorted(issues, key=lambda issue: _ORDER.index(issue.severity))


def _check_file(path: Path, role: str) -> list[DataIssue]:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        text = f"The {role} data has {size / 1e6:,.0f} MB and was not checked here."
        return [DataIssue("advice", text, "`ftops data check` does it.")]
    try:
        source = open_source(path)
        result = run_checks(source).get_result(DataTarget(), unit=source.unit)
    except DatasetError as error:
        return [DataIssue("error", f"The {role} data cannot be read: {error.message}")]
    return [
        DataIssue(
            finding.severity.value, f"{role.capitalize()} data: {finding.message}.", finding.advice
        )
        for finding in result.findings
        if role == "training" or finding.code not in _OF_TRAINING
    ]


def _read_results(folder: RunFolder, missing: list[str]) -> Sequence[ResultRow]:
    content = _read(folder.results, missing)
    if content is None:
        return ()
    try:
        return parse_results(content)
    except InvalidResponse as error:
        missing.append(f"The results file is kept as it came, but cannot be read: {error.message}")
        return ()


def _read_evaluation(
    folder: RunFolder, missing: list[str]
) -> tuple[Evaluation | None, dict[str, list[Prediction]]]:
    try:
        evaluation = read_evaluation(folder.path)
        names = [candidate.name for candidate in evaluation.candidates] if evaluation else []
        return evaluation, read_predictions(folder.path, names)
    except (LedgerError, StorageError) as error:
        missing.append(f"The evaluation cannot be read: {error.message}")
        return None, {}


def _read(path: Path, missing: list[str]) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        missing.append(f"{path.name} of the run cannot be read: {error.strerror or error}.")
        return None
