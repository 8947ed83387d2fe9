"""The topics that items are told apart by: a TOML file that a person edits.

    [[topic]]
    name = "Crime"
    description = "Detectives, gangsters, heists and trials."
    synonyms = ["Thriller", "犯罪"]
    parent = "Fiction"                  # optional: another topic

A user's state keeps one weight for each topic, so there are at most `MAX_TOPICS`.
"""

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

MAX_TOPICS = 24
"""Lanes of a state's content facet (`model_store.state.layout.FACET_DIM`)."""

MAX_NAME, MAX_DESCRIPTION, MAX_SYNONYMS = 60, 300, 40

_SEPARATORS = re.compile(r"[\s\-_/]+")


class TaxonomyError(ValueError):
    """A taxonomy that cannot be used; the message says what to mend."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `description`: one line; `synonyms`: other names, as tags have them; `parent`: a topic's name or ""."""

    name: str
    description: str
    synonyms: tuple[str, ...] = ()
    parent: str = ""

    def text(self) -> str:
        """Everything that is said of it, for an encoder."""
        return f"{self.name}. {self.description}" + (f" {', '.join(self.synonyms)}." if self.synonyms else "")


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """1 to `MAX_TOPICS` topics in a fixed order. Raises TaxonomyError for others."""

    topics: tuple[Topic, ...]
    _by_key: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.topics) <= MAX_TOPICS:
            raise TaxonomyError(f"a taxonomy has 1 to {MAX_TOPICS} topics, this one has {len(self.topics)}")
        for topic in self.topics:
            _check(topic)
        object.__setattr__(self, "_by_key", _names(self.topics))
        _check_parents(self.topics)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(topic.name for topic in self.topics)

    def match(self, tag: str) -> str | None:
        """Name of the topic that a tag is a name or a synonym of, however it is written."""
        return self._by_key.get(key(tag))

    def fingerprint(self) -> str:
        """Of all that it says, 32 hexadecimal digits."""
        said = msgspec.json.encode([[t.name, t.description, t.synonyms, t.parent] for t in self.topics])
        return hashlib.blake2b(said, digest_size=16).hexdigest()


def key(tag: str) -> str:
    """What names are compared by: without case, width, and the way words are joined."""
    return _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", tag).casefold()).strip()


def load(path: Path) -> Taxonomy:
    """Raises TaxonomyError, also where there is no file."""
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
        return Taxonomy(tuple(_topic(entry) for entry in _entries(read)))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TaxonomyError) as error:
        raise TaxonomyError(f"{path}: {error}") from error


def save(taxonomy: Taxonomy, path: Path) -> None:
    """As a file that `load` reads and a person can edit. Raises OSError."""
    path.write_text("\n".join(_written(topic) for topic in taxonomy.topics), encoding="utf-8")


def _written(topic: Topic) -> str:
    lines = ["[[topic]]", f"name = {_quoted(topic.name)}", f"description = {_quoted(topic.description)}"]
    if topic.synonyms:
        lines.append(f"synonyms = [{', '.join(map(_quoted, topic.synonyms))}]")
    if topic.parent:
        lines.append(f"parent = {_quoted(topic.parent)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # A JSON string without control characters, which `_check` keeps out, is a TOML string.
    return msgspec.json.encode(text).decode()


def _entries(read: dict[str, Any]) -> list[Any]:
    unknown = sorted(read.keys() - {"topic"})
    if unknown:
        raise TaxonomyError(f"unknown: {', '.join(unknown)}; topics are written as [[topic]]")
    entries = read.get("topic", [])
    return entries if isinstance(entries, list) else [entries]


def _topic(entry: Any) -> Topic:
    try:
        return msgspec.convert(entry, _Entry).topic()
    except msgspec.ValidationError as error:
        named = entry.get("name", "without a name") if isinstance(entry, dict) else "that is no table"
        raise TaxonomyError(f"topic {named}: {error}") from error


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str
    synonyms: tuple[str, ...] = ()
    parent: str = ""

    def topic(self) -> Topic:
        return Topic(self.name, self.description, self.synonyms, self.parent)


def _check(topic: Topic) -> None:
    for what, text, longest in _texts(topic):
        if not text.strip() or len(text) > longest or not text.isprintable():
            raise TaxonomyError(
                f"topic {topic.name[:MAX_NAME]!r}: {what} must be one line of 1 to {longest} characters, "
                f"got {text[: longest + 1]!r}"
            )
    if len(topic.synonyms) > MAX_SYNONYMS:
        raise TaxonomyError(f"topic {topic.name!r} has {len(topic.synonyms)} synonyms, at most {MAX_SYNONYMS} count")


def _texts(topic: Topic) -> Iterator[tuple[str, str, int]]:
    yield "the name", topic.name, MAX_NAME
    yield "the description", topic.description, MAX_DESCRIPTION
    for synonym in topic.synonyms:
        yield "a synonym", synonym, MAX_NAME


def _names(topics: tuple[Topic, ...]) -> dict[str, str]:
    """The topic of each name and synonym. Raises TaxonomyError for one that two topics claim."""
    owners: dict[str, str] = {}
    for topic in topics:
        if owners.get(key(topic.name)) == topic.name:
            raise TaxonomyError(f"topic {topic.name!r} is there twice")
        for name in (topic.name, *topic.synonyms):
            if owners.setdefault(key(name), topic.name) != topic.name:
                raise TaxonomyError(f"{name!r} means both {owners[key(name)]!r} and {topic.name!r}")
    return owners


def _check_parents(topics: tuple[Topic, ...]) -> None:
    parents = {topic.name: topic.parent for topic in topics}
    for topic in topics:
        seen, name = {topic.name}, topic.parent
        while name:
            if name not in parents:
                raise TaxonomyError(f"topic {topic.name!r}: there is no topic {name!r} above it")
            if name in seen:
                raise TaxonomyError(f"topic {topic.name!r} is above itself")
            seen.add(name)
            name = parents[name]
