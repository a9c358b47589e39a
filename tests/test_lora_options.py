"""The options of LoRA training."""

import pytest
from pydantic import ValidationError

from ftops.lora_options import LoraOptions


def test_the_scale_of_adapters_is_twice_the_rank_by_default() -> None:
    assert LoraOptions(rank=8).lora_alpha == 16
    assert LoraOptions(rank=8, alpha=4).lora_alpha == 4


def test_options_round_trip_through_json() -> None:
    options = LoraOptions(targets=("q_proj", "v_proj"), variant="dora", max_length=512)
    assert LoraOptions.model_validate(options.model_dump(mode="json")) == options


@pytest.mark.parametrize(
    "values", [{"rank": 0}, {"rank": "8"}, {"r": 8}, {"targets": []}, {"dtype": "fp16"}]
)
def test_invalid_options_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LoraOptions.model_validate(values)
