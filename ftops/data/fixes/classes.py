"""Labels: written in one way, or as numbers that stand for them."""

from typing import ClassVar

from ftops.data.fixes.protocol import Portion, TextFix, Value
from ftops.data.messages import quoted
from ftops.data.reading.batches import Fault
from ftops.text import to_nfc


class UnifyLabels(TextFix):
    CODE = "normalize-labels"
    TITLE = "write each label in one way"
    ABOUT = "Labels that differ by case or blanks become the one that is most frequent."
    VALUES: ClassVar = {"labels": Value("labels", "for each way to write it, the label")}

    def apply(self, portion: Portion) -> None:
        labels = {to_nfc(label): one for label, one in self.labels("labels").items()}
        portion.completions = [labels.get(to_nfc(text), text) for text in portion.completions]


class LabelMap(TextFix):
    CODE = "encode-labels"
    TITLE = "let a number stand for each label"
    ABOUT = (
        "Labels of several tokens become ` 1`, ` 2`, …, which are one token each. The map stands in"
        " the plan: a run that is given it maps the answers back, in its evaluation and in"
        " `ftops complete`. A label that is not in the map is an error, never guessed."
    )
    VALUES: ClassVar = {"labels": Value("labels", "for each label, what stands for it")}

    def apply(self, portion: Portion) -> None:
        labels = self.labels("labels")
        known = {number: number for number in labels.values()}
        known |= {to_nfc(label): number for label, number in labels.items()}
        mapped = list(map(known.get, map(to_nfc, portion.completions)))
        if None in mapped:
            for place, text, found in zip(portion.places, portion.completions, mapped, strict=True):
                if found is None:
                    reason = f"the label {quoted(text)} is not in the plan's label map"
                    portion.refused.append(Fault(place, "unknown-label", reason))
        portion.completions = [
            text if found is None else found
            for text, found in zip(portion.completions, mapped, strict=True)
        ]


def turn_round(labels: dict[str, str]) -> dict[str, str]:
    """From what stands for a label, without outer blanks, to the label: the first that has it."""
    back: dict[str, str] = {}
    for label, number in labels.items():
        back.setdefault(number.strip(), label.strip())
    return back
