"""The job file that `ftops init` writes: short, commented, valid."""

import json
import re
from collections.abc import Mapping

_TEMPLATE = """\
# A fine-tuning job: `ftops check` checks it, `ftops run` starts it.
name: {name}
provider: local            # trains on this machine; `openai` needs OPENAI_API_KEY
model: ada                 # the smallest built-in model; the others are babbage, curie, davinci
suffix: {suffix}
training_file: {data_file}

# Rows in the same format that are not trained on, to evaluate the model.
{validation}
{method}
# {rows}
hyperparameters:
  n_epochs: auto           # or a number
  batch_size: auto
  learning_rate_multiplier: auto
{classification}
seed: 42                   # the same seed repeats the job

{prepare}
limits:
  max_cost_usd: 5          # a higher estimate stops the run before anything is sent
  max_wait: 6h             # then the command exits; the job continues
"""
_NO_PREPARE = """\
# prepare:
#   separator: " ->"       # appended to every prompt that does not end with it
#   stop: "\\n"             # appended to every completion that does not end with it
"""
_TWO_CLASSES = """\
  # With a validation_file, a classifier can be evaluated as one:
  # compute_classification_metrics: true
  # classification_positive_class: " yes"
"""
_MORE_CLASSES = """\
  # With a validation_file, a classifier can be evaluated as one:
  # compute_classification_metrics: true
  # classification_n_classes: {classes}
"""


def render_starter(
    data_file: str,
    *,
    name: str,
    classes: int | None,
    rows: int,
    preference: bool = False,
    validation_file: str | None = None,
    prepare: Mapping[str, str] | None = None,
) -> str:
    """A job file for `data_file`, which has `rows` rows; `classes` is the number of labels, if any.

    `preference` is for rows of preferences, which need `method: dpo`. `prepare` has the fields of
    that section. `name` may be any text: characters that a job's name cannot contain are replaced.
    """
    printable = "".join(character if character.isprintable() else "-" for character in name)
    job_name = re.sub(r"[\s/\\]+", "-", printable).strip(".-")[:64] or "job"
    classification = ""
    if classes is not None and classes >= 2:
        template = _TWO_CLASSES if classes == 2 else _MORE_CLASSES
        classification = template.format(classes=classes)
    validation = "# validation_file: validation.jsonl"
    if validation_file is not None:
        validation = f"validation_file: {_scalar(validation_file)}"
    return _TEMPLATE.format(
        validation=validation,
        method="\nmethod: dpo                # the rows are preferences\n" if preference else "",
        name=_scalar(job_name),
        suffix=_scalar(job_name[:18].rstrip("-.")),
        data_file=_scalar(data_file),
        rows=f"The data has {rows:,} row{'' if rows == 1 else 's'}.",
        classification=classification,
        prepare=_render_prepare(prepare or {}),
    )


def _render_prepare(fields: Mapping[str, str]) -> str:
    if not fields:
        return _NO_PREPARE
    lines = "".join(f"  {key}: {_scalar(text)}\n" for key, text in fields.items())
    return f"prepare:                   # how the data is prepared before it is sent\n{lines}"


def _scalar(text: str) -> str:
    """`text` as a YAML scalar."""
    if re.fullmatch(r"[a-z]+([-_./][a-z0-9]+)*", text) and text not in ("null", "true", "false"):
        return text
    return json.dumps(text, ensure_ascii=False).replace("${", "$${")
