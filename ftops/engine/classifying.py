"""Lets a model that names classes answer the validation rows, and judges what it says."""

from collections.abc import Callable, Mapping, Sequence

from ftops.engine.classification import Classes, classification_metrics
from ftops.engine.documents import answer_document, prompt_of
from ftops.engine.rows import TrainingRow, answer_of
from ftops.engine.trainer import (
    LoadedModel,
    SamplingParams,
    Segment,
    TrainingStopped,
)

_BATCH = 64


def classify_rows(
    model: LoadedModel,
    rows: Sequence[TrainingRow],
    classes: Classes,
    should_stop: Callable[[], bool],
) -> Mapping[str, float]:
    """What the model makes of the rows, as figures; TrainingStopped when told to stop."""
    given = _answers(model, rows, should_stop)
    expected = [answer_of(row) for row in rows]
    if classes.positive is None:
        return classification_metrics(expected, given, classes)
    # The positive class as the rows write it, with the space in front that most have.
    positive = next((row for row in rows if answer_of(row) == classes.positive.strip()), None)
    scores: list[float] = []
    for row in rows if positive is not None else ():
        if should_stop():
            raise TrainingStopped
        said = answer_document(prompt_of(row), positive or row)
        scores.append(model.log_probability(said))
    return classification_metrics(expected, given, classes, scores)


def _answers(
    model: LoadedModel, rows: Sequence[TrainingRow], should_stop: Callable[[], bool]
) -> list[str]:
    """What the model says to each row's prompt; nothing where the prompt is too long for it."""
    prompts = [prompt_of(row) for row in rows]
    longest = max(model.count_tokens((Segment(text=answer_of(row)),)) for row in rows)
    params = SamplingParams(max_tokens=longest + 4, temperature=0.0)
    room = model.context_length - params.max_tokens
    fitting = [place for place, doc in enumerate(prompts) if model.count_tokens(doc) <= room]
    given = [""] * len(rows)
    for start in range(0, len(fitting), _BATCH):
        if should_stop():
            raise TrainingStopped
        places = fitting[start : start + _BATCH]
        for delta in model.generate([prompts[place] for place in places], params):
            given[places[delta.index]] += delta.text
    return [text.strip() for text in given]
