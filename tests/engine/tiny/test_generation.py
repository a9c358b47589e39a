"""Answers: the cache is exact, sampling does what it is asked, text is never cut in the middle."""

from dataclasses import replace

import numpy as np
import pytest

from ftops.engine.tiny.batch import TrainingExample, make_pack
from ftops.engine.tiny.config import ModelShape
from ftops.engine.tiny.generation import AnswerDecoder, TinyModel
from ftops.engine.tiny.inference import BlockedWeights, read_prompts, read_token
from ftops.engine.tiny.model import forward
from ftops.engine.tiny.parameters import Parameters, count_parameters
from ftops.engine.tiny.tokenizer import SPECIALS, Tokenizer
from ftops.engine.trainer import GenerationChunk, PromptTooLong, SamplingParams
from ftops.errors import EngineError
from tests.engine.tiny.jobs import ANSWERS, GREEDY, ask

KETTLE = "Where is the kettle?"  # the answer has a dash of three bytes
KEY = "What opens the cellar?"  # the answer has an emoji of four bytes
WILD = SamplingParams(max_tokens=30, temperature=3.0, seed=1)


def make_random_model(seed: int = 0) -> TinyModel:
    """A model with random weights."""
    tokenizer = Tokenizer.train([], 320)
    shape = ModelShape(2, 64, tokenizer.vocab_size)
    rng = np.random.default_rng(seed)
    flat = 0.1 * rng.standard_normal(count_parameters(shape), dtype=np.float32)
    return TinyModel(tokenizer, Parameters(shape, flat))


def collect(model: TinyModel, prompt: str, params: SamplingParams) -> list[GenerationChunk]:
    return list(model.generate([prompt], params))


def test_the_cache_gives_the_same_logits_as_reading_everything_at_once() -> None:
    shape = ModelShape(3, 64, 50)
    rng = np.random.default_rng(0)
    flat = 0.3 * rng.standard_normal(count_parameters(shape), dtype=np.float32)
    parameters = Parameters(shape, flat)
    blocked = BlockedWeights(parameters)
    documents = [rng.integers(0, 50, n).astype(np.uint16) for n in (45, 60, 41)]
    n_last = 40  # read one by one: more than the first capacity of the cache
    logits, cache = read_prompts(blocked, [tokens[:-n_last] for tokens in documents])
    for place in range(-n_last, 1):
        for row, tokens in enumerate(documents):
            seen = tokens[: len(tokens) + place]
            weights = np.zeros(len(seen), dtype=np.float32)
            weights[-1] = 1
            expected, _ = forward(parameters, make_pack([TrainingExample(seen, seen, weights)]))
            np.testing.assert_allclose(logits[row], expected[0], atol=2e-5)
        if place < 0:
            new = np.array([tokens[place] for tokens in documents], dtype=np.intp)
            logits = read_token(blocked, cache, new)


def test_answers_do_not_depend_on_what_is_answered_beside_them(model: TinyModel) -> None:
    prompts = [*ANSWERS, "Something quite different", ""] * 20  # several groups
    together = ask(model, prompts)
    assert together[:6] == list(ANSWERS.values())
    assert together[8:16] == together[:8]
    assert [ask(model, [prompt])[0] for prompt in prompts[:8]] == together[:8]


def test_an_answer_ends_with_stop_when_the_model_ends_it(model: TinyModel) -> None:
    deltas = collect(model, KETTLE, GREEDY)
    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].finish_reason == "stop"
    text = "".join(delta.text for delta in deltas)
    assert sum(delta.n_tokens for delta in deltas) == model.count_tokens(text)


def test_an_answer_that_is_cut_ends_with_length(model: TinyModel) -> None:
    deltas = collect(model, KETTLE, replace(GREEDY, max_tokens=2))
    assert deltas[-1].finish_reason == "length"
    assert sum(delta.n_tokens for delta in deltas) == 2


def test_no_tokens_asked_for_means_an_empty_answer(model: TinyModel) -> None:
    (delta,) = collect(model, KETTLE, replace(GREEDY, max_tokens=0))
    assert (delta.text, delta.finish_reason, delta.n_tokens) == ("", "length", 0)


@pytest.mark.parametrize("stop", [" shelf", "f –", "econd", "left.", "–"])
def test_text_ends_before_the_stop_and_none_of_it_leaks(model: TinyModel, stop: str) -> None:
    deltas = collect(model, KETTLE, replace(GREEDY, stop=("never", stop)))
    text = "".join(delta.text for delta in deltas)
    assert text == ANSWERS[KETTLE].partition(stop)[0]
    assert deltas[-1].finish_reason == "stop"


def test_what_only_looked_like_a_stop_is_given_out_after_all(model: TinyModel) -> None:
    assert ask(model, [KETTLE], replace(GREEDY, stop=("left!", ""))) == [ANSWERS[KETTLE]]


def test_a_stop_is_found_across_pieces_and_held_back_meanwhile() -> None:
    answer = AnswerDecoder(0, ["END"])
    pieces = []
    for piece in (b"one E", b"N", b"two E", b"N", b"D three"):
        answer.add(piece, None)
        delta = answer.take()
        pieces.append(delta.text if delta else None)
    assert pieces == ["one ", None, "ENtwo ", None, ""]
    assert answer.finish_reason == "stop"


def test_a_character_is_given_out_when_all_its_bytes_are_there() -> None:
    answer = AnswerDecoder(0, [])
    pieces = []
    for byte in "a🔑b".encode():
        answer.add(bytes([byte]), None)
        delta = answer.take()
        pieces.append(delta.text if delta else None)
    assert pieces == ["a", None, None, None, "🔑", "b"]


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    answer = AnswerDecoder(0, [])
    answer.add(b"\xf0\x9f", None)
    assert answer.take() is None
    answer.finish("length")
    delta = answer.take()
    assert delta is not None
    assert (delta.text, delta.finish_reason) == ("\ufffd", "length")


def test_no_piece_of_an_answer_cuts_a_character(model: TinyModel) -> None:
    deltas = collect(model, KEY, GREEDY)
    assert "".join(delta.text for delta in deltas) == ANSWERS[KEY]
    assert not any("\ufffd" in delta.text for delta in deltas)


def test_special_tokens_never_appear_in_the_text() -> None:
    for answer in ask(make_random_model(), ["", "a", "b"], replace(WILD, max_tokens=300)):
        assert answer
        assert not any(name in answer for name in SPECIALS)


def test_the_same_seed_gives_the_same_answer_and_another_one_another() -> None:
    model = make_random_model()
    first, again = ask(model, ["x", "y"], WILD), ask(model, ["x", "y"], WILD)
    assert first == again
    assert first != ask(model, ["x", "y"], replace(WILD, seed=2))
    assert first[0] != first[1]
    unseeded = replace(WILD, seed=None)
    assert ask(model, ["x"], unseeded) != ask(model, ["x"], unseeded)


def test_a_tiny_top_p_or_temperature_takes_the_likeliest(model: TinyModel) -> None:
    for params in (
        replace(WILD, top_p=1e-9, max_tokens=40),
        replace(WILD, temperature=1e-30, max_tokens=40),
    ):
        assert ask(model, list(ANSWERS), params) == list(ANSWERS.values())


def test_draws_follow_the_shares_and_stay_in_the_nucleus() -> None:
    model = make_random_model()
    first = replace(GREEDY, max_tokens=1, logprobs=model._tokenizer.vocab_size)
    (delta, *_) = collect(model, "q", first)
    shares = {name: np.exp(value) for name, value in delta.logprobs[0].top.items()}
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-4)
    nucleus, reached = set(), 0.0
    for name, share in shares.items():
        nucleus.add(name)
        reached += share
        if reached >= 0.5:
            break
    params = SamplingParams(max_tokens=1, top_p=0.5, seed=7, logprobs=0)
    prompts = ["q"] * 2000
    drawn = [entry.token for delta in model.generate(prompts, params) for entry in delta.logprobs]
    assert set(drawn) <= nucleus
    likeliest = next(iter(shares))
    expected = shares[likeliest] / reached
    assert drawn.count(likeliest) / len(drawn) == pytest.approx(expected, abs=0.03)


def test_logprobs_come_with_alternatives_and_cover_the_text(model: TinyModel) -> None:
    entries = [
        entry
        for delta in collect(model, KETTLE, replace(GREEDY, logprobs=3))
        for entry in delta.logprobs
    ]
    assert "".join(e.token for e in entries if "bytes:" not in e.token).startswith(" On the")
    for entry in entries:
        assert len(entry.top) == 3
        assert list(entry.top.values()) == sorted(entry.top.values(), reverse=True)
        assert entry.top[entry.token] == entry.logprob <= 0
    plain = collect(model, KETTLE, GREEDY)
    assert not any(delta.logprobs for delta in plain)


def test_logprobs_of_a_stop_are_left_out_with_its_text(model: TinyModel) -> None:
    params = replace(GREEDY, logprobs=1, stop=(" shelf",))
    deltas = collect(model, KETTLE, params)
    tokens = [entry.token for delta in deltas for entry in delta.logprobs]
    assert "".join(tokens) == " On the second"


def test_a_logit_bias_forces_and_forbids_tokens(model: TinyModel) -> None:
    (unwanted,) = model._tokenizer.encode("!")
    (wanted,) = model._tokenizer.encode("?")
    params = replace(GREEDY, max_tokens=3, logit_bias={wanted: 100.0, unwanted: -100.0})
    assert ask(model, [KETTLE], params) == ["???"]


@pytest.mark.parametrize("token", [-1, 10**6])
def test_a_bias_for_a_token_that_does_not_exist_is_refused_at_once(
    model: TinyModel, token: int
) -> None:
    with pytest.raises(EngineError, match=f"token {token}"):
        model.generate(["x"], replace(GREEDY, logit_bias={token: 1.0}))


@pytest.mark.parametrize("penalty", ["presence_penalty", "frequency_penalty"])
def test_penalties_make_repeating_less_likely(model: TinyModel, penalty: str) -> None:
    (wanted,) = model._tokenizer.encode("?")
    params = replace(GREEDY, max_tokens=6, logit_bias={wanted: 30.0})
    assert ask(model, [KETTLE], params) == ["??????"]
    (answer,) = ask(model, [KETTLE], replace(params, **{penalty: 60.0}))  # type: ignore[arg-type]
    assert answer.count("?") == 1


def test_a_prompt_that_does_not_fit_is_refused_before_the_first_piece(model: TinyModel) -> None:
    prompts = ["short", "?! " * 1000]
    with pytest.raises(PromptTooLong) as caught:
        model.generate(prompts, GREEDY)
    assert (caught.value.index, caught.value.limit) == (1, model.context_length - 1)
    assert caught.value.tokens == model.count_tokens(prompts[1])


def test_an_answer_ends_where_the_context_ends() -> None:
    model = make_random_model()
    bias = dict.fromkeys(model._tokenizer.ends, -100.0)
    params = replace(WILD, max_tokens=10**6, logit_bias=bias)
    deltas = collect(model, "x" * 1000, params)
    assert deltas[-1].finish_reason == "length"
    assert 1000 + sum(delta.n_tokens for delta in deltas) == model.context_length
