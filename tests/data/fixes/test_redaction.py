"""Placeholders in the place of private data and secrets, in rows of each shape."""

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
from tests.data.fixes.trials import Trial, run_steps, try_all

MAIL, PHONE, CARD = "jo.doe@firma.de", "+49 170 1234567", "4111 1111 1111 1111"
MARK = "\n\n###\n\n"
PIECES = [MAIL, PHONE, CARD, "\n", " ", "tel: ", "password=", "\x1e", "a", "é", "555-", "@"]
ALL_FORMATS = PlanStep("redact", {"codes": list(REDACTED)})
MAILS = PlanStep("redact", {"codes": ["email-address"]})


def shown(trial: Trial) -> str:
    """All that is shown of rows."""
    return "\n".join(
        f"{one.before}\n{one.after}" for stats in trial.outcome.fix_stats for one in stats.examples
    )


def private(path: Path) -> set[str]:
    verdict = run_checks(open_source(path), asked=["pii"]).get_result(DataTarget())
    return {finding.code for finding in verdict.findings} & set(REDACTED)


def test_all_that_the_scan_finds_is_gone_and_the_same_row_is_always_the_same(
    tmp_path: Path,
) -> None:
    rows = [pair(f"Ask {MAIL} or {PHONE}", f"{CARD}, {MAIL}"), pair("a", "b"), pair(MAIL, MAIL)]
    assert run_steps(tmp_path, rows, ALL_FORMATS) == [
        pair("Ask [EMAIL] or [PHONE]", "[CARD], [EMAIL]"), pair("a", "b"),
        pair("[EMAIL]", "[EMAIL]"),
    ]  # fmt: skip
    assert private(tmp_path / "rows.jsonl") == {"email-address", "phone-number", "payment-card"}
    assert private(tmp_path / "out.jsonl") == set()


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), max_size=6))
def test_many_texts_at_once_become_what_each_becomes_alone(texts: list[str]) -> None:
    rows = FixBatch(RowFormat.COMPLETION, range(len(texts)), (), texts, [*reversed(texts)])
    Redact({"codes": list(REDACTED)}).apply(rows)
    assert list(rows.prompts) == list(map(redact, texts))
    assert list(rows.completions) == list(map(redact, reversed(texts)))
    assert list_pii("\x1e".join(rows.prompts)) == []


@given(st.lists(st.sampled_from([MAIL, PHONE, CARD, "a", "é"]), max_size=6))
def test_what_is_shown_holds_nothing_whole_as_text_and_as_json(words: list[str]) -> None:
    for seam in (" ", "\n", "\t", '"', "\\", "\r\n"):
        text = seam.join(["", *words, ""])
        for shown in (hide(text), hide(json.dumps(text)), hide(json.dumps([{"a": text}]))):
            assert not [whole for whole in (MAIL, PHONE, CARD) if whole in shown]


def test_only_the_kinds_that_the_step_names_are_replaced(tmp_path: Path) -> None:
    (row,) = run_steps(tmp_path, [pair(f"{MAIL} {PHONE}", "x")], MAILS)
    assert row["prompt"] == f"[EMAIL] {PHONE}"


def test_every_message_of_a_chat_is_searched_and_names_and_calls_stay(tmp_path: Path) -> None:
    row = chat(f"I am {MAIL}", "Hello", f"Call\n{PHONE}", "I will.", f"My card: {CARD}", "No.")
    row["tools"] = [tool(to={"description": MAIL})]
    wanted = chat("I am [EMAIL]", "Hello", "Call\n[PHONE]", "I will.", "My card: [CARD]", "No.")
    assert run_steps(tmp_path, [row, chat("a", "b")], ALL_FORMATS) == [
        wanted | {"tools": row["tools"]}, chat("a", "b")
    ]  # fmt: skip


def test_the_arguments_of_a_call_stay_json_and_lose_what_is_private(tmp_path: Path) -> None:
    asked = {"to": MAIL, "text": f'"Hi"\n{PHONE}', "cards": [4111111111111111, 7], "ok": True}
    (row,) = run_steps(tmp_path, [call_row(asked)], ALL_FORMATS)
    assert [json.loads(text) for text in list_arguments(row)] == [
        {"to": "[EMAIL]", "text": '"Hi"\n[PHONE]', "cards": ["[CARD]", 7], "ok": True}
    ]
    assert private(tmp_path / "out.jsonl") == set()
    assert MAIL not in shown(try_all(tmp_path, [call_row(asked)] * 20, pii=True))


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
def test_redacted_json_is_json_without_anything_private(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        clean = redact_json(text)
        json.loads(clean)
        assert list_pii(blank_escapes(clean)) == []


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (rf'"\u00e9{MAIL}"', r'"\u00e9[EMAIL]"'),
        (rf'"Jo \u003c{MAIL}\u003e"', r'"Jo \u003c[EMAIL]\u003e"'),
        (rf'"\u001e{PHONE}"', r'"\u001e[PHONE]"'),
        (rf'"C:\\{MAIL}"', r'"C:\\[EMAIL]"'),
        (r'"https://jo:p\u00e9ssw0rt@firma.de"', '"https://jo:[PASSWORD]@firma.de"'),
    ],
)
def test_an_escape_of_json_before_a_match_stays_whole(text: str, clean: str) -> None:
    assert redact_json(text) == clean
    assert json.loads(clean) == redact(json.loads(text))


def test_an_address_with_an_escaped_at_sign_is_found_and_redacted(tmp_path: Path) -> None:
    escaped = MAIL.replace("@", r"\u0040")
    row = call_row({"to": "MAIL"})
    raw = json.dumps(row).replace("MAIL", escaped.replace("\\", r"\\"))
    rows = [json.loads(raw), chat(f"Ask {escaped}.", r"https://jo:s3cr3t\u0040firma.de")]
    assert list_arguments(rows[0]) == [f'{{"to": "{escaped}"}}']
    assert run_steps(tmp_path, rows, ALL_FORMATS) == [
        call_row({"to": "[EMAIL]"}), chat("Ask [EMAIL].", r"https://jo:[PASSWORD]\u0040firma.de"),
    ]  # fmt: skip
    assert private(tmp_path / "rows.jsonl") == {"email-address", "password-in-address"}
    assert private(tmp_path / "out.jsonl") == set()


def test_both_answers_of_a_preference_are_searched(tmp_path: Path) -> None:
    rows = [preference(f"Ask {MAIL}.", f"Ask him, {MAIL}.")]
    assert run_steps(tmp_path, rows, MAILS) == [preference("Ask [EMAIL].", "Ask him, [EMAIL].")]


def test_a_preference_whose_answers_become_the_same_is_no_row_any_more(tmp_path: Path) -> None:
    same = preference(f"Ask {MAIL}.", "Ask x.y@firma.de.")
    rows = [preference("yes", "no"), same, preference("a", "b")]
    with pytest.raises(DatasetError, match=r"rows\.jsonl:2: .*are the same, redacted"):
        run_steps(tmp_path, rows, MAILS)
    assert not (tmp_path / "out.jsonl").exists()
    drop = PlanStep("drop-invalid-rows", {"codes": ["equal-answers"]})
    assert run_steps(tmp_path, rows, MAILS, drop) == [rows[0], rows[2]]
    trial = try_all(tmp_path, rows, pii=True)
    assert trial.codes == ["email-address", "equal-answers"]
    assert trial.rows == [rows[0], rows[2]]


def test_nothing_is_redacted_unless_asked(tmp_path: Path) -> None:
    trial = try_all(tmp_path, [pair(f"{n} {MAIL}", f"{n}") for n in range(20)])
    assert not set(trial.codes) & set(REDACTED)
    assert MAIL in str(trial.rows)


def test_what_is_found_is_asked_about_kind_by_kind(tmp_path: Path) -> None:
    rows = [pair(f"is it {n}, {MAIL}?{MARK}", f" {n}, or {PHONE}\n") for n in range(20)]
    asked: list[tuple[str, int]] = []

    def ask(proposal: object, stats: FixStats) -> bool:
        asked.append((stats.check or stats.code, stats.count))
        return stats.check != "phone-number"

    trial = try_all(tmp_path, rows, ask, pii=True)
    assert asked[:2] == [("email-address", 20), ("phone-number", 20)]
    assert trial.pairs[3] == (f"is it 3, [EMAIL]?{MARK}", f" 3, or {PHONE}\n")
    assert "phone-number" in {left.code for left in trial.found.list_unresolved(trial.outcome.rows)}


def test_a_plan_made_by_request_holds_every_kind_but_those_that_were_skipped(
    tmp_path: Path,
) -> None:
    rows = [pair(f"{n} is {MAIL} or {PHONE}{MARK}", f" {n}\n") for n in range(20)]
    trial = try_all(tmp_path, rows, redact=True, skip=["phone-number"])
    (step,) = [one for one in trial.found.plan.steps if one.code == "redact"]
    assert set(step.values["codes"]) == set(REDACTED) - {"phone-number"}  # type: ignore[arg-type]
    assert trial.pairs[0][0] == f"0 is [EMAIL] or {PHONE}{MARK}"


def test_nothing_that_is_shown_of_rows_holds_a_secret_whole(tmp_path: Path) -> None:
    secret = f"line\n{PHONE}, {MAIL}"
    pairs: list[object] = [pair(f"{n} {secret}", f"{n} {CARD}") for n in range(20)]
    nearly = f"{{prompt: 'a {MAIL}', completion: 'b'}}"
    trial = try_all(tmp_path, [nearly, *pairs, pairs[0], pair(MAIL, None)], redact=True)
    assert {"repair-json", "null-value", "phone-number", "drop-duplicates"} <= set(trial.codes)
    chats = [chat(f"{n} {secret}", f"it is {CARD}") for n in range(20)]
    other = try_all(tmp_path, chats, redact=True)
    for text in (shown(trial), shown(other)):
        assert "jo.… (15 characters)" in text
        assert not any(whole in text for whole in (MAIL, PHONE, CARD))


def test_rows_that_become_equal_are_kept_once(tmp_path: Path) -> None:
    rows = [pair(f"ask n{n}@firma.de{MARK}", " yes\n") for n in range(20)]
    trial = try_all(tmp_path, rows, redact=True)
    assert trial.pairs == [(f"ask [EMAIL]{MARK}", " yes\n")]
    assert trial.count("drop-duplicates") == 19


def test_a_label_map_knows_labels_by_their_placeholders(tmp_path: Path) -> None:
    labels = [f" ask n{n}@firma.de" for n in range(50)]
    rows = [pair(f"{n}?{MARK}", (labels[n // 2 % 50], " nobody at all")[n % 2]) for n in range(400)]
    trial = try_all(tmp_path, rows, redact=True)
    (step,) = [one for one in trial.found.plan.steps if one.code == "encode-labels"]
    assert step.values == {"labels": {" ask [EMAIL]": " 1", " nobody at all": " 2"}}
    assert {completion for _, completion in trial.pairs} == {" 1", " 2"}


def test_a_model_is_asked_as_it_was_trained() -> None:
    plan = DataPlan((MAILS, PlanStep("add-separator", {"separator": " ->"})))
    assert prepare_prompt(plan, f"Who is {MAIL}?") == "Who is [EMAIL]? ->"
