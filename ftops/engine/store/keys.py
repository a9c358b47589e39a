"""The table of keys that were made beside the engine's own token: of each only its hash."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ftops.engine.store.database import Database


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key; `name` also owns what is made with it, `hint` is how the key begins."""

    name: str
    sha256: str
    hint: str
    created_at: int
    last_used_at: int | None = None


class KeyTable:
    """Questions and changes about keys.

    Questions go by a connection of their own: they are asked before every request, and must not
    wait for a transaction that another thread has open.
    """

    def __init__(self, changing: Database, asking: Database) -> None:
        self._changing = changing
        self._asking = asking

    def add(self, row: KeyRow) -> bool:
        """Keep the key; False when there is one of that name."""
        changed = self._changing.change(
            "INSERT OR IGNORE INTO keys (name, sha256, hint, created_at) VALUES (?, ?, ?, ?)",
            (row.name, row.sha256, row.hint, row.created_at),
        )
        return changed == 1

    def all(self) -> Sequence[KeyRow]:
        """By name."""
        return [_key(row) for row in self._asking.rows("SELECT * FROM keys ORDER BY name")]

    def hashes(self) -> Sequence[tuple[str, str]]:
        """Each name with the hash of its key: all that opening takes, and fast."""
        rows = self._asking.rows("SELECT name, sha256 FROM keys")
        return [(row[0], row[1]) for row in rows]

    def remove(self, name: str) -> bool:
        """Forget the key; whether there was one."""
        return self._changing.change("DELETE FROM keys WHERE name = ?", (name,)) == 1

    def set_used(self, name: str, at: int) -> None:
        self._changing.change("UPDATE keys SET last_used_at = ? WHERE name = ?", (at, name))


def _key(row: sqlite3.Row) -> KeyRow:
    return KeyRow(**{key: row[key] for key in row.keys()})  # noqa: SIM118
