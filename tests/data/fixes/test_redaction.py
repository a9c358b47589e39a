"""Placeholders for private data and secrets in rows of each format."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ftops.data.check_runner import run_checks
from ftops.data.checks.check import DataTarget
from ftops.data.fixes.fix import FixBatch
from ftops.data.fixes.redaction import REDACTED, Redact
from ftops.data.plans.inference import prepare_prompt
from ftops.data.plans.runner import FixStats
from ftops.data.reading.source import open_source
from ftops.data.screening.pii import blank_escapes, hide, list_pii, redact, redact_json
from ftops.errors import DatasetError
from ftops.records import DataPlan, PlanStep, RowFormat
from ftops.rows.messages import list_arguments
from tests.data.data_files import call_row, chat, pair, preference, tool
from tests.data.fixes.preparation import Preparation, prepare_rows, run_steps

MAIL, PHONE, CARD = "jo.doe@firma.de", "+49 170 1234567", "4111 1111 1111 1111"
SEPARATOR = "\n\n###\n\n"
PIECES = [MAIL, PHONE, CARD, "\n", " ", "tel: ", "password=", "\x1e", "a", "é", "555-", "@"]
ALL_FORMATS = PlanStep("redact", {"codes": list(REDACTED)})
MAILS = PlanStep("redact", {"codes": ["email-address"]})


def render_examples(preparation: Preparation) -> str:
    """All rows that the preparation shows as examples."""
    return "\n".join(
        f"{example_row.before}\n{example_row.after}"
        for stats in preparation.result.fix_stats
        for example_row in stats.examples
    )


def get_pii_codes(path: Path) -> set[str]:
    result = run_checks(open_source(path), asked=["pii"]).get_result(DataTarget())
    return {finding.code for finding in result.findings} & set(REDACTED)


def test_everything_that_the_scan_finds_is_redacted(
    tmp_path: Path,
) -> None:
    rows = [pair(f"Ask {MAIL} or {PHONE}", f"{CARD}, {MAIL}"), pair("a", "b"), pair(MAIL, MAIL)]
    assert run_steps(tmp_path, rows, ALL_FORMATS) == [
        pair("Ask [EMAIL] or [PHONE]", "[CARD], [EMAIL]"), pair("a", "b"),
        pair("[EMAIL]", "[EMAIL]"),
    ]  # fmt: skip
    assert get_pii_codes(tmp_path / "rows.jsonl") == {
        "email-address",
        "phone-number",
        "payment-card",
    }
    assert get_pii_codes(tmp_path / "out.jsonl") == set()


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), max_size=6))
def test_texts_of_a_batch_are_redacted_independently(texts: list[str]) -> None:
    rows = FixBatch(RowFormat.COMPLETION, range(len(texts)), (), texts, [*reversed(texts)])
    Redact({"codes": list(REDACTED)}).apply(rows)
    assert list(rows.prompts) == list(map(redact, texts))
    assert list(rows.completions) == list(map(redact, reversed(texts)))
    assert not any(map(list_pii, rows.prompts))


@given(st.lists(st.sampled_from([MAIL, PHONE, CARD, "a", "é"]), max_size=6))
def test_examples_are_masked_as_text_and_as_json(words: list[str]) -> None:
    for glue in (" ", "\n", "\t", '"', "\\", "\r\n"):
        text = glue.join(["", *words, ""])
        for masked in (hide(text), hide(json.dumps(text)), hide(json.dumps([{"a": text}]))):
            assert not [secret for secret in (MAIL, PHONE, CARD) if secret in masked]


def test_only_the_kinds_of_the_step_are_replaced(tmp_path: Path) -> None:
    (row,) = run_steps(tmp_path, [pair(f"{MAIL} {PHONE}", "x")], MAILS)
    assert row["prompt"] == f"[EMAIL] {PHONE}"


def test_every_message_of_a_chat_is_redacted_and_tools_are_unchanged(tmp_path: Path) -> None:
    row = chat(f"I am {MAIL}", "Hello", f"Call\n{PHONE}", "I will.", f"My card: {CARD}", "No.")
    row["tools"] = [tool(to={"description": MAIL})]
    expected = chat("I am [EMAIL]", "Hello", "Call\n[PHONE]", "I will.", "My card: [CARD]", "No.")
    assert run_steps(tmp_path, [row, chat("a", "b")], ALL_FORMATS) == [
        expected | {"tools": row["tools"]}, chat("a", "b")
    ]  # fmt: skip


def test_redacted_arguments_of_a_call_are_valid_json(tmp_path: Path) -> None:
    arguments = {"to": MAIL, "text": f'"Hi"\n{PHONE}', "cards": [4111111111111111, 7], "ok": True}
    (row,) = run_steps(tmp_path, [call_row(arguments)], ALL_FORMATS)
    assert [json.loads(text) for text in list_arguments(row)] == [
        {"to": "[EMAIL]", "text": '"Hi"\n[PHONE]', "cards": ["[CARD]", 7], "ok": True}
    ]
    assert get_pii_codes(tmp_path / "out.jsonl") == set()
    assert MAIL not in render_examples(prepare_rows(tmp_path, [call_row(arguments)] * 20, pii=True))


@given(
    st.recursive(
        st.one_of(
            st.sampled_from([MAIL, PHONE, CARD, 4111111111111111, -4111111111111111, None, 1.5]),
            st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
        ),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    )
)
@example({"é" + MAIL: ["\x1e" + CARD, "\x1e" + PHONE]})
def test_redacted_json_is_valid_and_has_no_private_data(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        redacted = redact_json(text)
        json.loads(redacted)
        assert list_pii(blank_escapes(redacted)) == []


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (rf'"\u00e9{MAIL}"', r'"\u00e9[EMAIL]"'),
        (rf'"Jo \u003c{MAIL}\u003e"', r'"Jo \u003c[EMAIL]\u003e"'),
        (rf'"\u001e{PHONE}"', r'"\u001e[PHONE]"'),
        (rf'"C:\\{MAIL}"', r'"C:\\[EMAIL]"'),
        (r'"https://jo:p\u00e9ssw0rt@firma.de"', '"https://jo:[PASSWORD]@firma.de"'),
    ],
)
def test_a_json_escape_before_a_match_is_unchanged(text: str, redacted: str) -> None:
    assert redact_json(text) == redacted
    assert json.loads(redacted) == redact(json.loads(text))


def test_an_address_with_an_escaped_at_sign_is_found_and_redacted(tmp_path: Path) -> None:
    escaped = MAIL.replace("@", r"\u0040")
    row = call_row({"to": "MAIL"})
    raw = json.dumps(row).replace("MAIL", escaped.replace("\\", r"\\"))
    rows = [json.loads(raw), chat(f"Ask {escaped}.", r"https://jo:s3cr3t\u0040firma.de")]
    assert list_arguments(rows[0]) == [f'{{"to": "{escaped}"}}']
    assert run_steps(tmp_path, rows, ALL_FORMATS) == [
        call_row({"to": "[EMAIL]"}), chat("Ask [EMAIL].", r"https://jo:[PASSWORD]\u0040firma.de"),
    ]  # fmt: skip
    assert get_pii_codes(tmp_path / "rows.jsonl") == {"email-address", "password-in-address"}
    assert get_pii_codes(tmp_path / "out.jsonl") == set()


def test_both_answers_of_a_preference_are_redacted(tmp_path: Path) -> None:
    rows = [preference(f"Ask {MAIL}.", f"Ask him, {MAIL}.")]
    assert run_steps(tmp_path, rows, MAILS) == [preference("Ask [EMAIL].", "Ask him, [EMAIL].")]


def test_a_preference_whose_answers_become_equal_is_a_bad_row(tmp_path: Path) -> None:
    same = preference(f"Ask {MAIL}.", "Ask x.y@firma.de.")
    rows = [preference("yes", "no"), same, preference("a", "b")]
    with pytest.raises(DatasetError, match=r"rows\.jsonl:2: .*are the same, redacted"):
        run_steps(tmp_path, rows, MAILS)
    assert not (tmp_path / "out.jsonl").exists()
    drop = PlanStep("drop-invalid-rows", {"codes": ["equal-answers"]})
    assert run_steps(tmp_path, rows, MAILS, drop) == [rows[0], rows[2]]
    preparation = prepare_rows(tmp_path, rows, pii=True)
    assert preparation.codes == ["email-address", "equal-answers"]
    assert preparation.rows == [rows[0], rows[2]]


def test_nothing_is_redacted_by_default(tmp_path: Path) -> None:
    preparation = prepare_rows(tmp_path, [pair(f"{n} {MAIL}", f"{n}") for n in range(20)])
    assert not set(preparation.codes) & set(REDACTED)
    assert MAIL in str(preparation.rows)


def test_each_kind_of_private_data_is_confirmed_separately(tmp_path: Path) -> None:
    rows = [pair(f"is it {n}, {MAIL}?{SEPARATOR}", f" {n}, or {PHONE}\n") for n in range(20)]
    confirmations: list[tuple[str, int]] = []

    def confirm(proposal: object, stats: FixStats) -> bool:
        confirmations.append((stats.check or stats.code, stats.count))
        return stats.check != "phone-number"

    preparation = prepare_rows(tmp_path, rows, confirm, pii=True)
    assert confirmations[:2] == [("email-address", 20), ("phone-number", 20)]
    assert preparation.pairs[3] == (f"is it 3, [EMAIL]?{SEPARATOR}", f" 3, or {PHONE}\n")
    assert "phone-number" in {
        finding.code for finding in preparation.draft.list_unresolved(preparation.result.rows)
    }


def test_a_plan_with_redaction_has_every_kind_that_is_not_skipped(
    tmp_path: Path,
) -> None:
    rows = [pair(f"{n} is {MAIL} or {PHONE}{SEPARATOR}", f" {n}\n") for n in range(20)]
    preparation = prepare_rows(tmp_path, rows, redact=True, skip=["phone-number"])
    (step,) = [item for item in preparation.draft.plan.steps if item.code == "redact"]
    assert set(step.values["codes"]) == set(REDACTED) - {"phone-number"}  # type: ignore[arg-type]
    assert preparation.pairs[0][0] == f"0 is [EMAIL] or {PHONE}{SEPARATOR}"


def test_shown_examples_have_no_unmasked_secret(tmp_path: Path) -> None:
    secret = f"line\n{PHONE}, {MAIL}"
    pairs: list[object] = [pair(f"{n} {secret}", f"{n} {CARD}") for n in range(20)]
    invalid_json = f"{{prompt: 'a {MAIL}', completion: 'b'}}"
    preparation = prepare_rows(
        tmp_path, [invalid_json, *pairs, pairs[0], pair(MAIL, None)], redact=True
    )
    assert {"repair-json", "null-value", "phone-number", "drop-duplicates"} <= set(
        preparation.codes
    )
    chats = [chat(f"{n} {secret}", f"it is {CARD}") for n in range(20)]
    other = prepare_rows(tmp_path, chats, redact=True)
    for text in (render_examples(preparation), render_examples(other)):
        assert "jo.… (15 characters)" in text
        assert not any(secret in text for secret in (MAIL, PHONE, CARD))


def test_rows_that_become_equal_are_deduplicated(tmp_path: Path) -> None:
    rows = [pair(f"ask n{n}@firma.de{SEPARATOR}", " yes\n") for n in range(20)]
    preparation = prepare_rows(tmp_path, rows, redact=True)
    assert preparation.pairs == [(f"ask [EMAIL]{SEPARATOR}", " yes\n")]
    assert preparation.count("drop-duplicates") == 19


def test_a_label_map_has_redacted_labels(tmp_path: Path) -> None:
    labels = [f" ask n{n}@firma.de" for n in range(50)]
    rows = [
        pair(f"{n}?{SEPARATOR}", (labels[n // 2 % 50], " nobody at all")[n % 2]) for n in range(400)
    ]
    preparation = prepare_rows(tmp_path, rows, redact=True)
    (step,) = [item for item in preparation.draft.plan.steps if item.code == "encode-labels"]
    assert step.values == {"labels": {" ask [EMAIL]": " 1", " nobody at all": " 2"}}
    assert {completion for _, completion in preparation.pairs} == {" 1", " 2"}


def test_the_prompt_of_a_request_is_redacted_as_in_training() -> None:
    plan = DataPlan((MAILS, PlanStep("add-separator", {"separator": " ->"})))
    assert prepare_prompt(plan, f"Who is {MAIL}?") == "Who is [EMAIL]? ->"
