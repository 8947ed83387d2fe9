"""What is asked of the process that computes what would be, what it answers, and how it begins and ends.

It imports TensorFlow only once it runs: the process that asks does without.
"""

import os
import signal
import threading
from dataclasses import dataclass, field
from multiprocessing import parent_process
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt

from stream_app.client import Interest
from stream_app.settings import Settings

if TYPE_CHECKING:
    from stream_app.web.second_state import Engine

Float32 = npt.NDArray[np.float32]


class WhatIfError(RuntimeError):
    """There is no answer. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """What would be, had the user clicked some items after all else (`add`, oldest first) and never others (`without`).

    `clicks`: ids that the pages know of, oldest first; `now_ms`: event time of what is added.
    """

    user_id: str
    generation: int
    clicks: tuple[str, ...]
    now_ms: int
    add: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lie:
    """What is read out of a state: vectors by name (float32 [d]), topics by weight, the best unseen items."""

    vectors: dict[str, Float32]
    topics: dict[str, float]
    offers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """`basis`: changelog or clicks; `version`: of the state, 0 for one made from clicks; `clicks`: newest first, None
    for an item that the model does not know; `titles`: of all items that are named, as far as the model knows."""

    basis: str
    version: int
    model: str
    clicks: tuple[str | None, ...]
    before: Lie
    after: Lie
    titles: dict[str, str] = field(default_factory=dict)


def question_of(
    interest: Interest, clicks: tuple[str, ...], add: tuple[str, ...] = (), without: tuple[str, ...] = ()
) -> Question:
    """About the user as Redis has them: what is added comes at the time of the latest event."""
    return Question(interest.user_id, interest.generation, clicks, interest.event_ts_ms, add, without)


_engine: "Engine | None" = None


def begin(settings: Settings) -> None:
    """Before the first question: this process ends with the one that asks, and leaves Ctrl-C to it."""
    global _engine
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from stream_app.web.second_state import Engine

    _engine = Engine(settings)


def answered(question: Question) -> Answer | str:
    """The answer, or why there is none."""
    assert _engine is not None
    try:
        return _engine.answer(question)
    except WhatIfError as error:
        return str(error)


def _end_with_parent() -> NoReturn:
    parent = parent_process()
    if parent:
        parent.join()
    os._exit(0)
