"""`interest models show`: what a version says of itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from model_store.card import Card, read_card
from model_store.items import WRITES

_UNITS_MS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"))


def notes_of(version: str, folder: Path) -> dict[str, Any]:
    """One document of what is told of the version whose files are in `folder`. Raises ModelError."""
    card = read_card(folder)
    return {
        "version": version,
        "generation": card.generation,
        "made_at": _moment(card.made_at_ms),
        "began_with": card.made.get("began_with"),
        "data": card.made.get("data"),
        "terms": card.made.get("terms"),
        "interactions": card.made.get("interactions"),
        "encoder": _encoder(folder),
        "topics": card.topics,
        "half_lives": _half_lives(card),
        "interests": card.interests,
        "reads_context": bool(card.context_half_life_ms),
        "test": card.made.get("test", []),
    }


def table_of(notes: Mapping[str, Any]) -> Table:
    """The same for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, text in _lines(notes).items():
        if text:
            table.add_row(name, Text(text))
    return table


def _lines(notes: Mapping[str, Any]) -> dict[str, str]:
    count = f", {notes['interactions']:,} interactions" if notes["interactions"] else ""
    half_lives = notes["half_lives"]
    return {
        "version": notes["version"],
        "generation": str(notes["generation"]),
        "made": notes["made_at"] or "",
        "learnt on from": notes["began_with"] or "",
        "data": f"{notes['data'] or ''}{count}",
        "terms": notes["terms"] or "",
        "content": f"as {notes['encoder']} reads it" if notes["encoder"] else "topics alone, no encoder",
        "topics": f"{len(notes['topics'])}: {', '.join(notes['topics'])}",
        "half-lives": f"clicks {half_lives['clicks']}; time {half_lives['time']}; content {half_lives['content']}",
        "interests": f"{notes['interests']} of a user" if notes["interests"] > 1 else "",
        "context": "hours, weekdays and regions" if notes["reads_context"] else "",
        "test": "\n".join(map(_ranked, notes["test"])),
    }


def _ranked(one: Mapping[str, Any]) -> str:
    return f"HR@10 {one['hit_rate_10']:.4f}  NDCG@10 {one['ndcg_10']:.4f}  {one['name']}, {one['users']:,} users"


def _half_lives(card: Card) -> dict[str, str]:
    return {
        "clicks": ", ".join(f"{clicks:g}" for clicks in card.rank_half_lives_events),
        "time": ", ".join(map(_duration, card.time_half_lives_ms)),
        "content": _duration(card.content_half_life_ms),
    }


def _encoder(folder: Path) -> str:
    """Empty for a generation whose content is topics alone."""
    with np.load(folder / WRITES, allow_pickle=False) as arrays:
        return str(arrays["encoder"]) if "encoder" in arrays else ""


def _moment(ms: int) -> str | None:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC" if ms else None


def _duration(ms: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS_MS if ms >= size), (1_000, "s"))
    return f"{ms / size:g} {unit}"
