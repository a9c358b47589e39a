"""A `models.toml`: valid content, and errors with their line."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.errors import ModelsFileError
from ftops.providers import registry
from ftops.providers.model_catalog import MAX_BYTES, ModelsFile, read_models_file

PROVIDERS = ("local", "openai")
DAY = "as_of = 2026-11-22\n"


def read(text: str | bytes) -> ModelsFile:
    content = text.encode() if isinstance(text, str) else text
    return read_models_file(content, "models.toml", providers=PROVIDERS)


def refuse(text: str | bytes) -> str:
    with pytest.raises(ModelsFileError) as caught:
        read(text)
    assert "models.toml" in caught.value.hint or "Fix" in caught.value.hint
    return caught.value.message


def test_every_value_is_read_with_its_date() -> None:
    models_file = read(
        DAY + '[openai."gpt-x"]\n'
        "train_usd = 3\ninput_usd = 0.5\ncached_input_usd = 0\noutput_usd = 1e1\n"
        "max_example_tokens = 4096\nno_jobs_from = 2027-01-06\nshutdown = 2027-01-14\n"
        'unconfirmed = ["max_example_tokens"]\n'
        '["127.0.0.1:8000"."some/model"]\ntrain_usd = 1\n'
    )
    assert (models_file.as_of, models_file.source) == (date(2026, 11, 22), "models.toml")
    entry = models_file.entries["openai"]["gpt-x"]
    assert entry.values == {
        "train_usd": 3,
        "input_usd": 0.5,
        "cached_input_usd": 0,
        "output_usd": 10.0,
        "max_example_tokens": 4096,
        "no_jobs_from": date(2027, 1, 6),
        "shutdown": date(2027, 1, 14),
    }
    assert entry.unconfirmed == {"max_example_tokens"}
    assert models_file.entries["127.0.0.1:8000"]["some/model"].values == {"train_usd": 1}


def test_a_table_may_have_its_own_date_and_a_reference(tmp_path: Path) -> None:
    entry = read(
        f'{DAY}[openai."gpt-x"]\ntrain_usd = 3\nas_of = 2026-08-20\nreference = "its blog"\n'
    ).entries["openai"]["gpt-x"]
    assert (entry.as_of, entry.reference) == (date(2026, 8, 20), "its blog")
    assert entry.values == {"train_usd": 3}
    message = refuse(f"{DAY}[openai.ada]\nas_of = 3\nreference = 4\n")
    assert "models.toml:3: as_of must be a date" in message
    assert "models.toml:4: reference must be a text" in message


@pytest.mark.parametrize("name", ["localhost", "llm.example.com", "llm:80", "[::1]:8000"])
def test_a_server_is_named_by_its_host(name: str) -> None:
    assert name in read(f'{DAY}["{name}".ada]\ntrain_usd = 1\n').entries


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[openai."x"]\ntrain_usd = 1\n', "models.toml:1: as_of is missing"),
        ("as_of = 2026-11-22T10:00:00\n", "models.toml:1: as_of must be a date"),
        ('as_of = "2026-11-22"\n', "models.toml:1: as_of must be a date"),
        (DAY + "[openai.x]\n\ntrain_us = 1\n", "models.toml:4: unknown key 'train_us', did you me"),
        (DAY + "[openai.x]\ncolour = 1\n", "known here: train_usd, input_usd"),
        (DAY + "[opanai.x]\ntrain_usd = 1\n", "models.toml:2: unknown provider 'opanai', did you"),
        (DAY + "[myserver.x]\ntrain_usd = 1\n", "by the host of its base_url"),
        (DAY + "[openai]\ntrain_usd = 1\n", "models.toml:3: 'train_usd' is above the models"),
        (DAY + "price = 1\n", "models.toml:2: unknown key 'price'"),
        (
            DAY + '[openai."x"]\ntrain_usd = "1"\n',
            "train_usd must be a number of US dollars for",
        ),
        (DAY + '[openai."x"]\ntrain_usd = true\n', "models.toml:3: train_usd must be a number"),
        (DAY + '[openai."x"]\ntrain_usd = nan\n', "models.toml:3: train_usd must be a number"),
        (DAY + '[openai."x"]\ntrain_usd = -1\n', "models.toml:3: train_usd must be a number"),
        (DAY + '[openai."x"]\ntrain_usd = inf\n', "models.toml:3: train_usd must be a number"),
        (DAY + '[openai."x"]\nmax_example_tokens = 1.5\n', "must be a whole number of tokens"),
        (DAY + '[openai."x"]\nmax_example_tokens = 0\n', "must be a whole number of tokens"),
        (DAY + "[openai.x]\nshutdown = 1\n", "models.toml:3: shutdown must be a date such as"),
        (DAY + '[openai.x]\nunconfirmed = ["x"]\n', "models.toml:3: unconfirmed must be a list"),
        (DAY + "openai.x.train_usd = false\n", "models.toml:2: train_usd must be a number"),
        (DAY + 'openai = {x = {"train_usd" = false}}\n', "models.toml:2: train_usd must be"),
        (DAY + '[openai.""]\n', "models.toml:2: a model name must have 1 to 256"),
        (
            DAY + "[openai.x]\ntrain_usd = PRICE\n",
            "models.toml:3:13: invalid TOML: Invalid value\n",
        ),
        (DAY + "[openai.x]\n[openai.x]\n", "models.toml:3:"),
        (DAY + "a = [", "models.toml:2:1: invalid TOML"),
        (
            DAY + "\x1b[31m = 1",
            "models.toml:2:1: invalid TOML: Invalid statement\n    \ufffd[31m = 1",
        ),
        (b"as_of = 2026-11-22\n# \xff\n", "models.toml:2: not UTF-8"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        (b"#" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_a_problem_is_reported_with_its_line_and_what_is_expected(
    text: str | bytes, message: str
) -> None:
    assert message in refuse(text)


def test_all_problems_are_reported_together_in_file_order() -> None:
    text = DAY + "".join(f"[openai.m{n}]\ntrain_usd = -1\n" for n in range(30))
    lines = refuse(text).splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == [str(3 + 2 * n) for n in range(20)]
    assert lines[-1] == "… and 10 more"


def test_a_byte_order_mark_and_other_line_ends_are_accepted() -> None:
    text = b"\xef\xbb\xbfas_of = 2026-11-22\r\n[openai.x]\r\ntrain_usd = 1\r\n"
    assert read(text).entries["openai"]["x"].values == {"train_usd": 1}


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_models_file_or_a_clear_error(content: bytes) -> None:
    try:
        read_models_file(content, "models.toml")
    except ModelsFileError as error:
        assert error.message.startswith("models.toml")


def test_the_file_of_the_package_is_valid() -> None:
    import ftops.providers

    path = Path(ftops.providers.__file__).with_name("models.toml")
    models_file = read_models_file(path.read_bytes(), "ftops")
    assert set(registry.PROVIDERS) <= models_file.entries.keys()  # a user may name them
    assert models_file.as_of == date(2026, 11, 22)
