"""The table of API keys: only the hash of each is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from ftops.engine.store.database import Database


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key. `name` is the owner of what is created with it; `hint` is the key's beginning."""

    name: str
    sha256: str
    hint: str
    created_at: int
    last_used_at: int | None = None


class KeyTable:
    """The keys.

    They are read over a connection of their own: that happens before every request, which must
    not wait for a transaction of another thread.
    """

    def __init__(self, database: Database, reader: Database) -> None:
        self._database = database
        self._reader = reader

    def add(self, row: KeyRow) -> bool:
        """Add the key; False when there is one of that name."""
        changed = self._database.change(
            "INSERT OR IGNORE INTO keys (name, sha256, hint, created_at) VALUES (?, ?, ?, ?)",
            (row.name, row.sha256, row.hint, row.created_at),
        )
        return changed == 1

    def list_all(self) -> Sequence[KeyRow]:
        """All keys, by name."""
        rows = self._reader.rows("SELECT * FROM keys ORDER BY name")
        return [KeyRow(**dict(row)) for row in rows]

    def list_hashes(self) -> Sequence[tuple[str, str]]:
        """The name and the hash of each key: all that authentication needs."""
        rows = self._reader.rows("SELECT name, sha256 FROM keys")
        return [(row[0], row[1]) for row in rows]

    def delete(self, name: str) -> bool:
        """Delete the key; False when there is none of that name."""
        return self._database.change("DELETE FROM keys WHERE name = ?", (name,)) == 1

    def set_used(self, name: str, at: int) -> None:
        self._database.change("UPDATE keys SET last_used_at = ? WHERE name = ?", (at, name))
