"""From the names of metrics to metrics."""

from collections.abc import Sequence
from pathlib import Path

from ftops.metrics import corpus, functions, probabilities, structure, texts
from ftops.metrics.choices import MetricChoice, check_choice, name_choices
from ftops.metrics.classification import AVERAGES, Cells, ClassMetric, find_labels
from ftops.metrics.extras import is_installed
from ftops.metrics.metric import Metric, RowMetric
from ftops.metrics.prediction import Prediction


def make_metrics(
    choices: Sequence[MetricChoice], *, folder: Path = Path(), labels: Sequence[str] = ()
) -> list[Metric]:
    """The metrics of these names, in their order.

    Files that settings name are below `folder`; code in them is not run. `labels` are the classes,
    where more are known than the rows expect. ValueError in plain words for a wrong choice;
    ScoringError for a library that is missing, or a file that is.
    """
    names = name_choices(choices)
    cells, told = Cells(tuple(labels)), probabilities.Chances()
    return [
        _make(check_choice(choice), name, folder, cells, told)
        for choice, name in zip(choices, names, strict=True)
    ]


def choose_metrics(answers: Sequence[Prediction], *, labels: Sequence[str] = ()) -> list[Metric]:
    """Metrics that suit the expected answers, the headline first.

    Of classes accuracy and F1, with AUROC and calibration where chances are told; of texts exact
    match, F1 of words, and ROUGE-L where its library is installed.
    """
    if labels or find_labels(answers):
        names = ["accuracy", "f1"]
        if any(one.probabilities for one in answers):
            names += ["auroc"] if is_installed("sklearn") else []
            names.append("calibration_error")
    else:
        names = ["exact_match", "token_f1", *(["rouge_l"] if is_installed("rapidfuzz") else [])]
    return make_metrics([MetricChoice(name) for name in names], labels=labels)


def _make(
    choice: MetricChoice, name: str, folder: Path, cells: Cells, told: probabilities.Chances
) -> Metric:
    kind = choice.name
    if kind in AVERAGES:
        return ClassMetric(name, AVERAGES[kind], cells)
    if kind in ("auroc", "auprc", "calibration_error", "brier"):
        return _make_of_chances(choice, name, told)
    if kind in ("bleu", "chrf"):
        return corpus.make_bleu(name) if kind == "bleu" else corpus.make_chrf(name)
    if kind == "stop_reached":
        return structure.StopReached(name)
    if kind == "json_schema":
        return structure.make_json_schema(name, folder / str(choice.settings["file"]))
    if kind == "regex":
        return structure.make_regex(name, str(choice.settings["pattern"]))
    if kind == "python":
        return functions.make_function(name, str(choice.settings["function"]), folder)
    return _make_of_rows(choice, name)


def _make_of_chances(choice: MetricChoice, name: str, told: probabilities.Chances) -> Metric:
    positive = choice.settings.get("positive")
    label = positive if isinstance(positive, str) else None
    match choice.name:
        case "auroc":
            return probabilities.AreaMetric(
                name, "roc_auc_score", probabilities.roc_area, told, label
            )
        case "auprc":
            area = probabilities.precision_recall_area
            return probabilities.AreaMetric(name, "average_precision_score", area, told, label)
        case "brier":
            return probabilities.Brier(name, told)
    bins = choice.settings.get("bins")
    return probabilities.CalibrationError(
        name, bins if isinstance(bins, int) else probabilities.BINS
    )


def _make_of_rows(choice: MetricChoice, name: str) -> RowMetric:
    settings = choice.settings
    match choice.name:
        case "accuracy" | "exact_match":
            return RowMetric(name, texts.is_right)
        case "token_f1":
            return RowMetric(name, texts.token_f1)
        case "rouge_l":
            return RowMetric(name, texts.make_rouge_l(name))
        case "edit_distance":
            score = texts.make_edit_distance(name)
            return RowMetric(name, score, worst=1.0, higher_is_better=False)
        case "json_valid":
            return RowMetric(name, structure.json_valid)
        case "max_chars":
            most = settings["max"]
            return RowMetric(name, structure.make_max_chars(most if isinstance(most, int) else 0))
    raise ValueError(f"there is no metric `{choice.name}`")
