"""The job file that `ftops init` writes: short, commented, valid as it stands."""

import json
import re
from collections.abc import Mapping

_STARTER = """\
# A fine-tuning job: `ftops check` looks at it, `ftops run` starts it.
name: {name}
provider: local            # trains on this machine; `openai` needs OPENAI_API_KEY
model: ada                 # the smallest built-in model; the others are babbage, curie, davinci
suffix: {suffix}
training_file: {data_file}

# Rows in the same shape that are never trained on: what the model is measured with.
{validation}
{method}
# {rows}
hyperparameters:
  n_epochs: auto           # or a whole number
  batch_size: auto
  learning_rate_multiplier: auto
{classification}
seed: 42                   # the same seed gives the same job again

{prepare}
limits:
  max_cost_usd: 5          # nothing is sent when the estimate is higher
  max_wait: 6h             # following ends then; the job itself goes on
"""
_NOT_PREPARED = """\
# prepare:
#   separator: " ->"       # appended to every prompt that does not end with it
#   stop: "\\n"             # appended to every completion that does not end with it
"""
_TWO_CLASSES = """\
  # With a validation_file, a classifier can be measured as one:
  # compute_classification_metrics: true
  # classification_positive_class: " yes"
"""
_MORE_CLASSES = """\
  # With a validation_file, a classifier can be measured as one:
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
    """A job file for `data_file` (`rows` rows; `classes` different completions, if labels).

    `preference` says that the rows are preferences, which only `method: dpo` learns of.
    `prepare` is what the section of that name says. `name` may be any text; what a job's name
    cannot hold is replaced.
    """
    printable = "".join(character if character.isprintable() else "-" for character in name)
    tidy = re.sub(r"[\s/\\]+", "-", printable).strip(".-")[:64] or "job"
    classification = ""
    if classes is not None and classes >= 2:
        template = _TWO_CLASSES if classes == 2 else _MORE_CLASSES
        classification = template.format(classes=classes)
    validation = "# validation_file: validation.jsonl"
    if validation_file is not None:
        validation = f"validation_file: {_scalar(validation_file)}"
    return _STARTER.format(
        validation=validation,
        method="\nmethod: dpo                # the rows are preferences\n" if preference else "",
        name=_scalar(tidy),
        suffix=_scalar(tidy[:18].rstrip("-.")),
        data_file=_scalar(data_file),
        rows=f"The data has {rows:,} row{'' if rows == 1 else 's'}.",
        classification=classification,
        prepare=_render_prepare(prepare or {}),
    )


def _render_prepare(said: Mapping[str, str]) -> str:
    if not said:
        return _NOT_PREPARED
    lines = "".join(f"  {key}: {_scalar(text)}\n" for key, text in said.items())
    return f"prepare:                   # done to the data before it is sent\n{lines}"


def _scalar(text: str) -> str:
    """`text` as a YAML scalar that is read back as the same text."""
    if re.fullmatch(r"[a-z]+([-_./][a-z0-9]+)*", text) and text not in ("null", "true", "false"):
        return text
    return json.dumps(text, ensure_ascii=False).replace("${", "$${")
