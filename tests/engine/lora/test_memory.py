"""The estimate of memory is that of real steps, and what cannot fit is refused with a way out."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from ftops.engine.base_models import BaseModel
from ftops.engine.lora.encoding import EncodedDocument
from ftops.engine.lora.memory import (
    RowSize,
    TrainingSize,
    check_disk,
    check_memory,
    count_idle_cores,
    find_free_memory,
    find_machine_memory,
    list_largest_rows,
)
from ftops.engine.lora.model import add_adapter, list_trained, load_weights
from ftops.engine.lora.objective import predict
from ftops.engine.lora.packing import make_pack
from ftops.engine.lora.resources import save_memory
from ftops.engine.lora.trainer import LoraTrainer
from ftops.engine.trainer_registry import BaseInfo
from ftops.errors import EngineError
from ftops.lora_options import LoraOptions
from tests.engine.lora.small_model import add_model, make_chats, make_request, train
from tests.engine.running import animals, run_engine, table_settings
from tests.fakes import FakeClock

WIDE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}
GIGABYTE = 10**9


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return add_model(tmp_path_factory.mktemp("bases"), **WIDE)


def make_size(base: BaseModel, rows: Sequence[int], **options: Any) -> TrainingSize:
    """A training with rows of so many tokens, a quarter of them predicted."""
    sizes = [RowSize(tokens, tokens // 4) for tokens in rows]
    return TrainingSize(base, LoraOptions(**options), sizes)


def open_model(base: BaseModel, options: LoraOptions) -> Any:
    model = load_weights(base.folder, options, torch.device("cpu"))
    return (model if options.full else add_adapter(model, options, seed=1)).train()


def measure_kept_bytes(model: Any, lengths: Sequence[int]) -> int:
    """What a forward pass keeps for its gradients, without the weights and the logits."""
    weights = np.zeros(max(lengths), np.float32)
    weights[-1] = 1
    pack = make_pack([EncodedDocument(np.arange(n) % 250, weights[-n:]) for n in lengths])
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = predict(model, pack)
    del result
    return sum(kept.values())


@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        ({}, [256]),
        ({"rank": 64}, [40, 50, 60, 106]),
        ({"dropout": 0.1}, [64] * 4),
        ({"variant": "rslora"}, [30, 226]),
    ],
)
def test_the_estimate_of_activations_is_what_a_forward_pass_keeps(
    base: BaseModel, options: dict[str, Any], lengths: list[int]
) -> None:
    kept = measure_kept_bytes(open_model(base, LoraOptions(**options)), lengths)
    longer = make_size(base, [2 * sum(lengths)], **options)
    longer = replace(longer, largest=[RowSize(2 * sum(lengths), 0)], device="cuda")
    options_fp32 = longer.options.model_copy(update={"dtype": "fp32"})
    longer = replace(longer, options=options_fp32)
    shorter = replace(longer, largest=[RowSize(sum(lengths), 0)])
    estimated = longer.estimate_bytes(is_checkpointing=False) - shorter.estimate_bytes(
        is_checkpointing=False
    )
    assert 0.95 * kept < estimated < 1.3 * kept


def test_gradient_checkpointing_keeps_the_inputs_of_layers(base: BaseModel) -> None:
    model = open_model(base, LoraOptions())
    save_memory(model)
    kept = measure_kept_bytes(model, [256])
    size = make_size(base, [256])
    assert kept < 256 * (WIDE["num_hidden_layers"] + 1) * WIDE["hidden_size"] * 4 * 1.1
    assert size.estimate_bytes() < size.estimate_bytes(is_checkpointing=False)


@pytest.mark.parametrize(
    "options",
    [{}, {"rank": 3}, {"targets": ("q_proj", "down_proj")}, {"variant": "dora"}, {"full": True}],
)
def test_the_trained_values_are_counted_exactly(base: BaseModel, options: dict[str, Any]) -> None:
    trained = list_trained(open_model(base, LoraOptions(**options)))
    count = sum(weight.numel() for weight in trained.values())
    assert make_size(base, [9], **options).count_trained() == count


def test_four_bits_a_weight_need_less(base: BaseModel) -> None:
    plain, quantized = make_size(base, [9]), make_size(base, [9], dtype="nf4")
    assert plain.estimate_bytes() - quantized.estimate_bytes() > 3 * 0.8 * base.parameters


def test_what_fits_is_not_refused(base: BaseModel) -> None:
    size = make_size(base, [400] * 4)
    assert check_memory(size, None) == check_memory(size, 100 * GIGABYTE)
    assert check_memory(size, size.estimate_bytes()) == size.estimate_bytes()


@pytest.mark.parametrize(
    ("share", "advice"),
    [
        (0.9, "batch_size: 4, lora.gradient_accumulation: 2"),
        (0.4, "batch_size: 4, lora.gradient_accumulation: 3"),
        (
            0.2,
            "batch_size: 4, lora.gradient_accumulation: 4, lora.max_length: 100, after longer rows"
            " are shortened or removed",
        ),
    ],
)
def test_a_refusal_names_the_nearest_setting_that_fits(
    base: BaseModel, share: float, advice: str
) -> None:
    size = make_size(base, [200] * 4)
    least = make_size(base, [0]).estimate_bytes()
    memory_bytes = int(least + share * (size.estimate_bytes() - least))
    with pytest.raises(EngineError, match="not enough memory to train small: a step needs") as info:
        check_memory(size, memory_bytes)
    assert info.value.hint == f"It fits with {advice}."


def test_adapters_are_the_last_resort_of_full_training(base: BaseModel) -> None:
    large = replace(base, parameters=GIGABYTE)
    size = make_size(large, [16], full=True)
    with pytest.raises(EngineError, match=r"this machine has 8\.0 GB") as info:
        check_memory(size, 8 * GIGABYTE)
    assert info.value.hint == "It fits with lora.full: false."
    with pytest.raises(EngineError) as info:
        check_memory(size, GIGABYTE)
    assert info.value.hint == "Use a smaller base model."


def test_a_step_is_as_large_as_the_longest_rows() -> None:
    rows = [RowSize(tokens, 1) for tokens in (3, 9, 5, 7)]
    assert [row.tokens for row in list_largest_rows(rows, 2)] == [9, 7]


def test_a_full_disk_is_an_error_before_the_training(base: BaseModel, tmp_path: Path) -> None:
    check_disk(make_size(base, [9]), tmp_path)
    huge = make_size(replace(base, parameters=10**15), [9], full=True)
    with pytest.raises(EngineError, match=r"not enough disk space to train small: .* are free"):
        check_disk(huge, tmp_path)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_memory_is_that_of_the_machine_or_of_its_control_group(tmp_path: Path) -> None:
    assert find_machine_memory(tmp_path) is None
    write(tmp_path, {"proc/meminfo": "MemTotal:    4000 kB\nMemAvailable:   3000 kB\n"})
    assert (find_machine_memory(tmp_path), find_free_memory(tmp_path)) == (4_096_000, 3_072_000)
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/jobs/a\n0::/jobs/a\n",
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/jobs/memory.max": "2000000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert (find_machine_memory(tmp_path), find_free_memory(tmp_path)) == (2_000_000, 2_000_000)
    write(tmp_path, {"sys/fs/cgroup/memory/jobs/a/memory.limit_in_bytes": "1000000\n"})
    assert find_machine_memory(tmp_path) == 1_000_000


class BusyClock(FakeClock):
    """While it sleeps, the cores of the machine below `root` work and idle for these ticks."""

    def __init__(self, root: Path, busy: int, idle: int) -> None:
        super().__init__()
        self._root, self._busy, self._idle = root, busy, idle
        write(root, {"proc/stat": "cpu  900 0 100 5000 20 0 0 0 0 0\n"})

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        busy, idle = 900 + self._busy, 5000 + self._idle
        write(self._root, {"proc/stat": f"cpu  {busy} 0 100 {idle} 20 0 0 0 0 0\n"})


def test_cores_that_are_busy_now_are_not_idle(tmp_path: Path) -> None:
    cores = count_idle_cores(BusyClock(tmp_path, busy=0, idle=100), tmp_path)
    half = count_idle_cores(BusyClock(tmp_path, busy=50, idle=50), tmp_path)
    assert half == max(1, round(cores / 2))
    assert count_idle_cores(BusyClock(tmp_path, busy=100, idle=0), tmp_path) == 1
    assert 1 <= count_idle_cores(FakeClock(), tmp_path / "none") <= cores


def test_a_training_that_cannot_fit_does_not_start(base: BaseModel, tmp_path: Path) -> None:
    trainer = LoraTrainer(base, find_memory=lambda _: 1000)
    request = make_request(base, make_chats())
    with pytest.raises(EngineError, match="not enough memory to train small"):
        trainer.estimate(request, trainer.resolve(request))
    with pytest.raises(EngineError, match="not enough memory to train small"):
        train(base, request, tmp_path, find_memory=lambda _: 1000)
    assert not (tmp_path / "checkpoint").exists()


def test_a_measurement_takes_two_steps_and_stores_the_calibration(base: BaseModel) -> None:
    trainer, request = LoraTrainer(base), make_request(base, make_chats(), n_epochs=1)
    measured = trainer.measure(request, trainer.resolve(request))
    assert measured.step_s > 0
    assert measured.memory_bytes is None or measured.memory_bytes > 10**6
    assert (base.folder / "calibration.json").exists()


def test_the_api_refuses_a_training_that_cannot_fit(tmp_path: Path) -> None:
    settings = table_settings(tmp_path)
    path = add_model(settings.paths.base_models).folder / "base.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"parameters": 10**14}))
    with run_engine(settings, schedules=False) as running:
        bases = {"small": BaseInfo(10**14, is_pretrained=True)}
        object.__setattr__(running.engine, "list_bases", lambda: bases)
        file = running.upload(animals())
        with pytest.raises(
            openai.BadRequestError, match="not enough memory to train small"
        ) as info:
            running.sdk.fine_tuning.jobs.create(model="small", training_file=file)
        assert (info.value.code, info.value.param) == ("insufficient_memory", "hyperparameters")
        assert "Use a smaller base model." in str(info.value)
        assert not list(running.sdk.fine_tuning.jobs.list())
