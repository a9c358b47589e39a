"""Models in memory: recently used ones stay, and slow or closed readers block no other request."""

import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

from ftops.engine.generation import ModelPool, PooledModel
from ftops.engine.model_store import ModelManifest, publish_folder, write_manifest
from ftops.engine.settings import EngineFolder
from ftops.engine.store import ModelRow
from ftops.engine.trainer import GenerationChunk, Prompt, SamplingParams
from ftops.errors import EngineError
from ftops.records import RowFormat
from tests.engine.running import wait_for
from tests.engine.table_worker import TableModel, get_trainer

MANIFEST = ModelManifest("ft:x", "ada", "ada", "ftjob-x", RowFormat.COMPLETION, 1, 1)


class Counter:
    """A model that counts until its generation is closed."""

    context_length = 10
    longest_token_bytes = 4

    def __init__(self) -> None:
        self.ended = threading.Event()

    def count_tokens(self, prompt: Prompt) -> int:
        return len(str(prompt))

    def log_probability(self, prompt: Prompt, answer: str) -> float:
        return 0.0

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        try:
            while True:
                yield GenerationChunk(0, "1", n_tokens=1)
        finally:
            self.ended.set()


def model_row(folder: EngineFolder, number: int) -> ModelRow:
    """A published model that answers `cat` with its number."""
    row = ModelRow(f"ft:ada:local::{number}", f"ftjob-{number}", "ada", "ada", 1)
    part = folder.job(row.job_id).model
    part.mkdir(parents=True)
    (part / "table.json").write_text(f'{{"cat": "{number}"}}')
    manifest = ModelManifest(row.name, "ada", "ada", row.job_id, RowFormat.COMPLETION, 1, 1)
    write_manifest(part, manifest)
    publish_folder(part, folder.model(row.job_id))
    return row


def test_the_last_used_models_stay_in_memory(tmp_path: Path) -> None:
    folder = EngineFolder(tmp_path)
    rows = [model_row(folder, number) for number in range(3)]
    generation = ModelPool(folder, get_trainer, capacity=2)
    first, second = (generation.open(row) for row in rows[:2])
    assert generation.open(rows[0]) is first
    generation.open(rows[2])  # the second one is now the least used
    assert generation.open(rows[0]) is first
    assert generation.open(rows[1]) is not second
    generation.evict(rows[0].name)
    assert generation.open(rows[0]) is not first


def test_a_folder_without_a_manifest_is_no_model(tmp_path: Path) -> None:
    folder = EngineFolder(tmp_path)
    row = model_row(folder, 1)
    (folder.model(row.job_id) / "manifest.json").write_text("{}")
    with pytest.raises(EngineError, match="the model cannot be read"):
        ModelPool(folder, get_trainer, capacity=1).open(row)


def test_a_stale_folder_of_the_model_is_replaced(tmp_path: Path) -> None:
    folder = EngineFolder(tmp_path)
    folder.model("ftjob-1").mkdir(parents=True)
    (folder.model("ftjob-1") / "half").touch()
    model_row(folder, 1)
    names = {path.name for path in folder.model("ftjob-1").iterdir()}
    assert names == {"manifest.json", "table.json"}


def test_a_closed_reader_ends_the_generation() -> None:
    counter = Counter()
    answers = PooledModel(MANIFEST, counter).generate([""], SamplingParams())
    assert next(iter(answers)).text == "1"
    answers.close()
    assert counter.ended.wait(20)


def test_a_reader_that_does_not_read_blocks_no_other_reader() -> None:
    model = PooledModel(MANIFEST, TableModel({"": "yes"}))
    unread = model.generate([""], SamplingParams())
    wait_for(lambda: "".join(d.text for d in model.generate([""], SamplingParams())) == "yes")
    assert "".join(delta.text for delta in unread) == "yes"


class Chorus:
    """A model that answers all callers step by step, and notes how many there were."""

    context_length = 100
    longest_token_bytes = 4

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.together = threading.Event()
        self.fails = False
        self._left: dict[int, int] = {}
        self._n_joined = 0

    def __len__(self) -> int:
        return len(self._left)

    def count_tokens(self, prompt: Prompt) -> int:
        return len(str(prompt))

    def log_probability(self, prompt: Prompt, answer: str) -> float:
        return 0.0

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams
    ) -> Iterator[GenerationChunk]:
        raise AssertionError("it is asked for a batch")

    def open_batch(self) -> "Chorus":
        self._left.clear()
        return self

    def add(self, prompts: Sequence[Prompt], params: SamplingParams) -> Sequence[int]:
        request_ids = range(self._n_joined, self._n_joined + len(prompts))
        self._n_joined = request_ids.stop
        self._left |= dict.fromkeys(request_ids, params.max_tokens)
        return request_ids

    def remove(self, request_ids: Collection[int]) -> None:
        for request_id in request_ids:
            del self._left[request_id]

    def step(self) -> Sequence[GenerationChunk]:
        self.sizes.append(len(self._left))
        if len(self._left) > 1:
            self.together.set()
        if self.fails:
            raise EngineError("it fell over")
        deltas = []
        for request_id, left in list(self._left.items()):
            ends = left == 1
            self._left[request_id] = left - 1
            if ends:
                del self._left[request_id]
            deltas.append(
                GenerationChunk(
                    request_id, "1", n_tokens=1, finish_reason="length" if ends else None
                )
            )
        return deltas


def test_callers_who_come_later_join_those_who_are_answered() -> None:
    chorus = Chorus()
    model = PooledModel(MANIFEST, chorus)
    endless = model.generate([""], SamplingParams(max_tokens=1 << 60))
    whole = model.generate(["", ""], SamplingParams(max_tokens=5), is_buffered=True)
    assert [delta.index for delta in whole] == [0, 1] * 5
    assert chorus.together.is_set()
    assert max(chorus.sizes) == 3
    endless.close()
    assert list(endless)  # ends, although the model would have gone on
    wait_for(lambda: model.load == 0)


def test_a_model_that_breaks_tells_all_its_callers_and_answers_the_next_one() -> None:
    chorus = Chorus()
    model = PooledModel(MANIFEST, chorus)
    callers = [model.generate([""], SamplingParams(max_tokens=1 << 60)) for _ in range(3)]
    assert chorus.together.wait(20)
    chorus.fails = True
    for caller in callers:
        with pytest.raises(EngineError, match="fell over"):
            list(caller)
    chorus.fails = False
    assert len(list(model.generate([""], SamplingParams(max_tokens=2)))) == 2
