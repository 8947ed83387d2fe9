"""What a language model has answered, and what it has cost: one SQLite file.

It outlives restarts, several processes may share it, and nothing in it is ever executed: values are bytes. Nothing is
thrown away, since what is in it was paid for; an answer takes about 300 bytes.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_store.catalog.errors import MisconfiguredError, UnavailableError

HOUR_MIN, DAY_MIN = 60, 24 * 60

_WAIT_S = 5.0  # for another process that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (minute INTEGER PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER NOT NULL);
"""
_ADD = """
INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (minute)
DO UPDATE SET requests = requests + excluded.requests, tokens = tokens + excluded.tokens
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests and tokens."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.requests + other.requests, self.tokens + other.tokens)

    def within(self, limit: "Spent") -> bool:
        return self.requests <= limit.requests and self.tokens <= limit.tokens


class Store:
    """Thread-safe; close it. Methods raise UnavailableError where the file cannot be read or written now."""

    def __init__(self, file: Path) -> None:
        """Made if it is not there. Raises MisconfiguredError."""
        self._lock = threading.Lock()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._open = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise MisconfiguredError(f"{file} cannot hold a model's answers: {error}") from error
        try:
            self._open.execute("PRAGMA journal_mode = WAL")
            self._open.execute("PRAGMA synchronous = NORMAL")
            self._open.executescript(_TABLES)
        except sqlite3.Error as error:
            self._open.close()
            raise MisconfiguredError(f"{file} cannot hold a model's answers: {error}") from error

    def close(self) -> None:
        with self._lock:
            self._open.close()

    def get(self, key: str) -> bytes | None:
        with self._locked() as database:
            row = database.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def put(self, key: str, value: bytes) -> None:
        with self._locked() as database:
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, value))

    def spend_within(self, minute: int, cost: Spent, per_hour: Spent, per_day: Spent) -> bool:
        """Book a cost unless it takes the last 60 minutes or 24 hours beyond a limit; whether it was booked."""
        with self._locked() as database:
            database.execute("BEGIN IMMEDIATE")  # nobody else books between the question and the answer
            with database:
                fits = (_since(database, minute - HOUR_MIN) + cost).within(per_hour)
                fits = fits and (_since(database, minute - DAY_MIN) + cost).within(per_day)
                if fits:
                    database.execute(_ADD, (minute, cost.requests, cost.tokens))
                database.execute("DELETE FROM spent WHERE minute <= ?", (minute - 2 * DAY_MIN,))
            return fits

    def spend(self, minute: int, cost: Spent) -> None:
        """Book a cost, or give some back, whatever the limits."""
        with self._locked() as database:
            database.execute(_ADD, (minute, cost.requests, cost.tokens))

    def spent(self, minute: int, minutes: int) -> Spent:
        """Within the last so many minutes."""
        with self._locked() as database:
            return _since(database, minute - minutes)

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open
            except sqlite3.Error as error:
                raise UnavailableError(f"the store of answers: {error}") from error


def _since(database: sqlite3.Connection, minute: int) -> Spent:
    """After that minute."""
    found = database.execute("SELECT SUM(requests), SUM(tokens) FROM spent WHERE minute > ?", (minute,)).fetchone()
    return Spent(found[0] or 0, found[1] or 0)
