"""`ftops engine keys`, without and with an engine that runs."""

from pathlib import Path

from tests.cli.running import ftops


def test_a_key_is_printed_once_and_then_only_recognised() -> None:
    made = ftops("engine", "keys", "create", "search-team", "--json").document
    key = str(made["key"])
    assert (made["name"], key.startswith("sk-ftops-")) == ("search-team", True)
    listed = ftops("engine", "keys", "list")
    assert "search-team" in listed.out
    assert f"{key[:15]}…" in listed.out
    assert "never" in listed.out
    for answer in (listed, ftops("engine", "keys", "list", "--json")):
        assert key not in answer.out
    assert ftops("engine", "keys", "list", "--quiet").out == "search-team\n"


def test_quiet_prints_the_key_alone() -> None:
    answer = ftops("engine", "keys", "create", "a", "--quiet")
    assert len(answer.out.split()) == 1
    assert answer.out.startswith("sk-ftops-")


def test_a_key_is_deleted_only_when_somebody_says_so() -> None:
    ftops("engine", "keys", "create", "a")
    refused = ftops("engine", "keys", "delete", "a")
    assert (refused.code, "--yes" in refused.err) == (1, True)
    assert ftops("engine", "keys", "list", "--quiet").out == "a\n"
    assert ftops("engine", "keys", "delete", "a", "--yes").out == "Deleted: a\n"
    assert "There are no keys" in ftops("engine", "keys", "list").out
    again = ftops("engine", "keys", "delete", "a", "--yes", "--json")
    assert (again.code, again.error["type"]) == (1, "EngineError")


def test_names_that_cannot_be_and_names_that_are_taken_are_refused() -> None:
    assert ftops("engine", "keys", "create", "Team A").code == 1
    assert ftops("engine", "keys", "create", "a").code == 0
    taken = ftops("engine", "keys", "create", "a")
    assert (taken.code, taken.out) == (1, "")
    assert "next: `ftops engine keys delete a`" in taken.err


def test_serving_other_machines_wants_a_key_first(temporary_home: Path) -> None:
    answer = ftops("serve", "--host", "0.0.0.0")
    assert answer.code == 1
    assert "`ftops engine keys create NAME`" in answer.err
    assert not (temporary_home / "engine" / "address.json").exists()
