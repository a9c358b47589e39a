"""What a chat teaches: the assistant's turns of weight 1, and nothing else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ftops.engine.settings import EngineSettings
from ftops.engine.tiny.batch import encode_examples
from ftops.engine.tiny.config import ModelShape
from ftops.engine.tiny.document import render_row
from ftops.engine.tiny.loss import compute_gradients
from ftops.engine.tiny.parameters import Parameters, init_parameters
from ftops.engine.tiny.tokenizer import train_tokenizer
from ftops.engine.training_file import ChatRow, read_rows
from tests.engine.running import Running, run_engine

WRONG = "Nobody knows."
ANSWERS = {
    "Where is the ladder?": "Behind the shed.",
    "Where is the kettle?": "On the second shelf.",
    "Who waters the plants?": "Grandmother does.",
}


def say(role: str, content: str, **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


def make_chats() -> list[dict[str, object]]:
    """Each begins with a wrong answer of weight 0, which is then put right."""
    return [
        {
            "messages": [
                say("system", "Answer in a few words."),
                say("user", question),
                say("assistant", WRONG, weight=0),
                say("user", "Look again."),
                say("assistant", expected, weight=1),
            ]
        }
        for question, expected in ANSWERS.items()
    ]


def test_a_target_of_weight_0_has_no_gradient_at_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in make_chats()))
    rows = [row for row in read_rows(path) if isinstance(row, ChatRow)]
    documents = [render_row(row) for row in rows]
    tokenizer = train_tokenizer(documents)
    shape = ModelShape(n_layers=2, width=64, vocab_size=tokenizer.vocab_size)
    parameters = init_parameters(shape, seed=1)
    examples = encode_examples(documents, tokenizer)
    rng = np.random.default_rng(0)
    garbled = [
        replace(
            example,
            targets=np.where(
                example.weights == 0,
                rng.integers(0, shape.vocab_size, example.n_tokens),
                example.targets,
            ).astype(np.uint16),
        )
        for example in examples
    ]
    gradients = [Parameters.zeros(shape) for _ in range(2)]
    tallies = [
        compute_gradients(parameters, gradient, batch)
        for gradient, batch in zip(gradients, (examples, garbled), strict=True)
    ]
    assert (examples[0].targets != garbled[0].targets).any()
    assert gradients[0].flat.tobytes() == gradients[1].flat.tobytes()
    assert gradients[0].flat.any()
    assert tallies[0] == tallies[1]
    counted = sum(int((example.weights == 1).sum()) for example in examples)
    answers = [tokenizer.encode(expected) for expected in ANSWERS.values()]
    assert counted == sum(len(answer) + 1 for answer in answers)  # and the end of each turn


def answer(running: Running, model: str, *messages: dict[str, object]) -> str | None:
    chat: Any = [say("system", "Answer in a few words."), *messages]
    completion = running.sdk.chat.completions.create(
        model=model, messages=chat, temperature=0, max_tokens=20
    )
    return completion.choices[0].message.content


def test_a_model_does_not_learn_turns_of_weight_0(tmp_path: Path) -> None:
    with run_engine(EngineSettings(tmp_path)) as running:
        job = running.sdk.fine_tuning.jobs.create(
            model="ada",
            training_file=running.upload(make_chats()),
            hyperparameters={"n_epochs": 100, "batch_size": 1},
            seed=2,
        )
        model = running.wait_for_end(job.id).fine_tuned_model
        assert model is not None
        for question, expected in ANSWERS.items():
            first = say("user", question)
            corrected = (say("assistant", WRONG), say("user", "Look again."))
            assert answer(running, model, first, *corrected) == expected
            assert answer(running, model, first) != WRONG
