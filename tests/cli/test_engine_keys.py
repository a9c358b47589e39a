"""`ftops engine keys`."""

from pathlib import Path

from tests.cli.running import ftops


def test_a_key_is_printed_once_and_later_shown_by_its_prefix() -> None:
    created = ftops("engine", "keys", "create", "search-team", "--json").document
    key = str(created["key"])
    assert (created["name"], key.startswith("sk-ftops-")) == ("search-team", True)
    listed = ftops("engine", "keys", "list")
    assert "search-team" in listed.out
    assert f"{key[:15]}…" in listed.out
    assert "never" in listed.out
    for result in (listed, ftops("engine", "keys", "list", "--json")):
        assert key not in result.out
    assert ftops("engine", "keys", "list", "--quiet").out == "search-team\n"


def test_quiet_prints_only_the_key() -> None:
    result = ftops("engine", "keys", "create", "a", "--quiet")
    assert len(result.out.split()) == 1
    assert result.out.startswith("sk-ftops-")


def test_a_key_is_deleted_only_after_a_confirmation() -> None:
    ftops("engine", "keys", "create", "a")
    refused = ftops("engine", "keys", "delete", "a")
    assert (refused.code, "--yes" in refused.err) == (1, True)
    assert ftops("engine", "keys", "list", "--quiet").out == "a\n"
    assert ftops("engine", "keys", "delete", "a", "--yes").out == "Deleted: a\n"
    assert "There are no keys" in ftops("engine", "keys", "list").out
    missing = ftops("engine", "keys", "delete", "a", "--yes", "--json")
    assert (missing.code, missing.error["type"]) == (1, "EngineError")


def test_invalid_and_existing_names_are_refused() -> None:
    assert ftops("engine", "keys", "create", "Team A").code == 1
    assert ftops("engine", "keys", "create", "a").code == 0
    duplicate = ftops("engine", "keys", "create", "a")
    assert (duplicate.code, duplicate.out) == (1, "")
    assert "next: `ftops engine keys delete a`" in duplicate.err


def test_serving_other_machines_needs_a_key(temporary_home: Path) -> None:
    result = ftops("serve", "--host", "0.0.0.0")
    assert result.code == 1
    assert "`ftops engine keys create NAME`" in result.err
    assert not (temporary_home / "engine" / "address.json").exists()
