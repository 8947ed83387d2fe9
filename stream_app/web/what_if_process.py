"""What is asked of the process that reads states and computes what would be, what it answers, how it begins and ends.

It imports TensorFlow with the first question of what would be: the process that asks does without.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing import parent_process
from typing import TYPE_CHECKING, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
from aiokafka.errors import KafkaError

from model_store.state import codec
from stream_app.client import Interest
from stream_app.reaching import KafkaUnreachableError
from stream_app.reading import ReadError
from stream_app.settings import Settings
from stream_app.web.logged_states import SEARCH_S, LoggedStates
from stream_app.web.past import Past, Titles, past_of

if TYPE_CHECKING:
    from stream_app.web.second_state import Engine

Float32 = npt.NDArray[np.float32]
T = TypeVar("T")


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


class _Process:
    """What this process keeps from one question to the next."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self.states, self.titles = settings, LoggedStates(settings), Titles(settings)

    @cached_property
    def engine(self) -> "Engine":
        """Brings TensorFlow."""
        from stream_app.web.second_state import Engine

        return Engine(self._settings, self.states)


_process: _Process | None = None


def begin(settings: Settings) -> None:
    """Before the first question: this process ends with the one that asks, and leaves Ctrl-C to it."""
    global _process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _process = _Process(settings)


def answered(question: Question) -> Answer | str:
    """The answer, or why there is none."""
    assert _process is not None
    engine = _process.engine
    return _or_why(lambda: engine.answer(question))


def remembered(who: tuple[str, int]) -> Past | str:
    """The past of a user of a generation, or why it is not known."""
    assert _process is not None
    states, titles = _process.states, _process.titles

    def past() -> Past:
        record = asyncio.run(states.of(*who))
        if record is None:
            return Past()
        found = past_of(record)
        return replace(found, titles=titles.of(found.clicked, who[1]))

    return _or_why(past)


def _or_why(answer: Callable[[], T]) -> T | str:
    try:
        return answer()
    except TimeoutError:
        return (
            f"the user's state was not found within {SEARCH_S:.0f} s: the changelog is too long to be searched for one"
        )
    except (codec.NewerCodec, codec.DamagedState) as error:
        return f"the user's state in the changelog {error.why}"
    except (KafkaUnreachableError, KafkaError, ReadError, OSError) as error:
        return f"{type(error).__name__}: {error}"[:400]
    except WhatIfError as error:
        return str(error)


def _end_with_parent() -> NoReturn:
    parent = parent_process()
    if parent:
        parent.join()
    os._exit(0)
