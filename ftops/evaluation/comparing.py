"""Several runs side by side, on the rows that all of them answered: nobody is asked anything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ftops.errors import RunError
from ftops.evaluation.result import CandidateKind, Evaluation
from ftops.evaluation.scores import find_metrics, make_named_metrics
from ftops.evaluation.scoring import Candidate, evaluate
from ftops.evaluation.storage import read_evaluation, read_predictions
from ftops.evaluation.subject import describe_run
from ftops.evaluation.ways import Way, say
from ftops.ledger.ledger import Ledger
from ftops.metrics.prediction import Prediction
from ftops.records import Run
from ftops.run_folder import get_run_folder
from ftops.spec.evaluate import EvaluateSpec
from ftops.text import to_nfc

_Key = tuple[str, str]  # what is asked, and what is expected


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a run has kept of its own model's answers."""

    run: Run
    evaluation: Evaluation
    answers: dict[_Key, Prediction]


def compare_runs(runs: Sequence[Run], ledger: Ledger, home: Path, spec: EvaluateSpec) -> Evaluation:
    """The models of the runs, the first against each other one; RunError where none can be.

    A row that stands in the file twice counts once, and so does a run that is named twice.
    """
    runs = list({run.id: run for run in runs}.values())
    if len(runs) < 2:
        raise RunError(
            f"all of these are {runs[0].id}, and a run cannot be compared with itself",
            hint="Name another; `ftops runs` lists them.",
        )
    kept = [_load(run, ledger, home) for run in runs]
    common = [key for key in kept[0].answers if all(key in one.answers for one in kept)]
    if not common:
        raise RunError(
            "these runs have answered no row in common",
            hint="Evaluate both on the same file: `ftops eval MODEL FILE --against 'model: OTHER'`",
        )
    names = _name_all(runs)
    candidates = []
    for one, name in zip(kept, names, strict=True):
        answers = [replace(one.answers[key], line=at) for at, key in enumerate(common, start=1)]
        candidates.append(
            Candidate(
                name,
                CandidateKind.MODEL,
                answers,
                one.run.fine_tuned_model,
                one.run.provider.type,
                refused_parameters=one.evaluation.candidates[0].refused_parameters,
            )
        )
    folder = Path(runs[0].job_file).parent
    named = make_named_metrics(spec, folder, run_code=True)
    metrics = find_metrics(spec, candidates[0].answers, (), [], named)
    files = list(dict.fromkeys(one.evaluation.file for one in kept))
    found = evaluate(" and ".join(files), candidates, metrics, seed=spec.seed)
    return replace(found, notes=(*_note_rows(kept, names, len(common)), *found.notes))


def _load(run: Run, ledger: Ledger, home: Path) -> _Kept:
    folder = get_run_folder(home, run.id)
    evaluation = read_evaluation(folder)
    subject = describe_run(run, ledger, home)
    if evaluation is None or subject is None or not evaluation.candidates:
        raise RunError(
            f"{run.id} has no evaluation that could be compared",
            hint="The same `ftops run` evaluates it, where its job file names rows to ask.",
        )
    names = [one.name for one in evaluation.candidates]
    answers = read_predictions(folder, names).get(names[0])
    if answers is None:
        raise RunError(
            f"{run.id} has not kept its answers",
            hint="Its `ftops run` with another `evaluate` section asks them again.",
        )
    keyed = {_make_key(one, subject.way): one for one in answers}
    return _Kept(run, evaluation, keyed)


def _make_key(answer: Prediction, way: Way) -> _Key:
    """What is asked without the marks that a run's own preparation has put there."""
    return to_nfc(say(answer.prompt).removesuffix(way.separator).strip()), to_nfc(answer.expected)


def _name_all(runs: Sequence[Run]) -> list[str]:
    """The names of the runs; their ids, where names would be the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.id) for run in runs]


def _note_rows(kept: Sequence[_Kept], names: Sequence[str], common: int) -> list[str]:
    """That they were evaluated on different rows, where that is so."""
    counts = {name: len(one.answers) for one, name in zip(kept, names, strict=True)}
    if all(count == common for count in counts.values()):
        return []
    told = ", ".join(f"{name} answered {count:,}" for name, count in counts.items())
    return [
        f"the runs were evaluated on different rows ({told}); compared on the {common:,} that all"
        " of them answered"
    ]
