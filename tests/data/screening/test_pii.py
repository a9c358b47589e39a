"""Private data is found by its format, and similar text is not."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.data.screening.pii import list_pii, mask, redact
from ftops.data.screening.pii_kind import PiiKind

# Keys are concatenated here, so that secret scanners ignore this file.
RANDOM = "a8F3kd9Qz71LmN0pXy2BwE5rT6uV4sG9hJ1c"
BLOCK = "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "MIIEowIBAAKCAQEA" * 5 + "\n"
TOKEN = ".".join(["eyJ" + "hbGciOiJIUzI1NiJ9", "eyJ" + "zdWIiOiIxMjM0NTY3", RANDOM])

PRIVATE_TEXTS = {
    PiiKind.PRIVATE_KEY: (
        BLOCK + "-----END RSA PRIVATE " + "KEY-----",
        BLOCK.replace("\n", "\\n"),
    ),
    PiiKind.WEB_TOKEN: (TOKEN,),
    PiiKind.API_KEY: (
        "AKIA" + "IOSFODNN7EXAMPL2",
        "ghp_" + RANDOM,
        "sk-" + "proj-" + RANDOM,
        "xoxb-" + "123456789012-" + RANDOM[:24],
        "AIza" + RANDOM[:35],
        "sk_" + "live_" + RANDOM[:24],
        "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
        "SG." + RANDOM[:22] + "." + (RANDOM * 2)[:43],
        "12345678:AA" + RANDOM[:33],
    ),
    PiiKind.EMAIL: ("jo.doe+news@firma.de", "x@a-b.museum", "JO_DOE@SUB.FIRMA.CO.UK"),
    PiiKind.CARD: (
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
    ),
    PiiKind.BANK_ACCOUNT: (
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    ),
    PiiKind.NATIONAL_NUMBER: (
        "11010519491231002X",
        "2 55 08 14 168 025 38",
        "900101-1234568",
        "2345 6789 0124",
        "529.982.247-25",
        "85.07.30-033.28",
        "811218-9876",
        "131052-308T",
        "12345678Z",
        "123-45-6789",
        "193-456-787",
        "44051401359",
        "10000000146",
    ),
    PiiKind.PHONE: (
        "+49 30 901820-0",
        "+1 (555) 123-4567",
        "212-555-0187",
        "(212) 555-0187",
        "01 42 68 53 00",
    ),
}
HARMLESS_TEXTS = (
    "jo at firma.de",
    "icon@2x.png",
    "user@example.com",
    "4111 1111 1111 1112",
    "GB29 NWBK 6016 1331 9268 18",
    "DE8937040044053201300",
    "529.982.247-26",
    "110105194912310021",
    "666-45-6789",
    "2021-03-04 12:30:11.123456",
    "3.14159265358979323846",
    "[-12.5 +4.0614962j, +1.12345679, +1.79769313e+308]",
    "between 1914 and 1918 some 12,345,678 people",
    "risk-assessment-2021-for-schools-in-1994-and-more",
    "123e4567-e89b-12d3-a456-426614174000",
    "a file that begins with -----BEGIN PRIVATE " + "KEY-----",
    "the_secret_of_a_long_variable_name_in_python",
    "https://host.example/path?q=a:b",
    "postgres://user:password@host/name",
)


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind in PRIVATE_TEXTS for text in PRIVATE_TEXTS[kind]]
)
def test_private_data_is_found_completely_and_replaced(kind: PiiKind, text: str) -> None:
    context = f"Größe: {text} 。 and more"
    (place,) = list_pii(context)
    assert (place.kind, context[place.start : place.end]) == (kind, text)
    assert redact(context) == f"Größe: {kind.value} 。 and more"


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_text_that_only_looks_private_is_unchanged(text: str) -> None:
    assert redact(text) == text


def test_random_text_is_a_secret_only_next_to_a_name_of_secrets() -> None:
    address = "postgres://joe:hunter2@db.firma.de/x"
    assert redact(address) == "postgres://joe:[PASSWORD]@db.firma.de/x"
    assert redact(f'"api_key": "{RANDOM}"') == '"api_key": "[API_KEY]"'
    assert redact(f"commit {RANDOM}") == f"commit {RANDOM}"


def test_a_number_next_to_others_is_found() -> None:
    assert redact("in 2021 4111 1111 1111 1111 was paid") == "in 2021 [CARD] was paid"
    account = "GB29 NWBK 6016 1331 9268 19 BIC DEUT"
    assert redact(account) == "[BANK_ACCOUNT] BIC DEUT"
    assert redact("Tel. 030 901 8200, 17 uhr") == "Tel. [PHONE], 17 uhr"


def test_a_secret_is_masked() -> None:
    for text in (RANDOM, "jo@firma.de", "x"):
        assert text not in mask(text).split("… (")[0]
    assert mask("AKIA" + "IOSFODNN7EXAMPL2") == "AKIA… (20 characters)"


@given(
    st.lists(
        st.sampled_from(
            [text for texts in PRIVATE_TEXTS.values() for text in texts] + list(HARMLESS_TEXTS)
        )
        | st.text(max_size=5)
    ).map("".join)
)
def test_a_redacted_text_has_no_private_data(text: str) -> None:
    redacted = redact(text)
    assert list_pii(redacted) == []
    assert redact(redacted) == redacted
    places = list_pii(text)
    assert all(before.end <= after.start for before, after in pairwise(places))


@pytest.mark.parametrize("between", range(1, 30))
def test_a_number_after_another_one_is_redacted_completely(between: int) -> None:
    text = f"4111 1111 1111 1111{'?' * between}tel: +49 170 1234567."
    assert redact(text) == f"[CARD]{'?' * between}tel: [PHONE]."
