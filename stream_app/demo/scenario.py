"""Runs a scenario from start to summary: a made-up world, its items and the catalogue service beside the worker."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from rich.console import Console, RenderableType

from model_store.card import read_card
from model_store.registry import ModelRegistry
from stream_app.client import InterestReader
from stream_app.contracts.recommendations import Recommendation
from stream_app.demo.boards.board import Board
from stream_app.demo.boards.news import NewsBoard
from stream_app.demo.boards.shop import ShopBoard
from stream_app.demo.boards.social import SocialBoard
from stream_app.demo.errors import DemoError
from stream_app.demo.ledger import Ledger
from stream_app.demo.listener import Listener
from stream_app.demo.performance import Performance
from stream_app.demo.person import Person, reader_of
from stream_app.demo.run import say_if_short, teller
from stream_app.demo.spotlight import Spotlight
from stream_app.demo.stage import PREFIX, Servers, Stage
from stream_app.demo.summary import Account, Tally
from stream_app.replay import replay
from stream_app.scenarios.known import Scenario
from stream_app.scenarios.story import Story
from stream_app.settings import Settings
from stream_app.sources import Record, Source

HURRY = {"INTEREST_RECOMMEND__MIN_INTERVAL_S": "1", "INTEREST_MODELS__POLL_S": "1"}
"""Hours go by in seconds, so what is due every few minutes in earnest is due every second here."""
KNOWN_TIMEOUT_S = 120.0
LISTEN_S = 10.0
"""How long what was published last may take to be read."""


@dataclass(frozen=True)
class ScenarioPlan:
    """Which scenario, how many events of it (None: all), how fast (None: as it is meant), on whose servers, and whether
    on the page, too."""

    scenario: Scenario
    events: int | None
    rate: float | None
    servers: Servers
    web: bool = True


def run_scenario(plan: ScenarioPlan, settings: Settings, console: Console) -> Account:
    """Show everything, and return the account once every event and every word on an item was waited for. Raises
    `DemoError` and what the parts raise. Nothing is left running, however it ends."""
    say = teller(console)
    scenario, name = plan.scenario, plan.scenario.name
    with Stage(settings, plan.servers, say, prefix=f"{PREFIX}{name}.", hurry=HURRY) as stage:
        _a_model(stage, name, say)
        story = scenario.story()
        ledger = Ledger()
        board = board_of(story, ledger)
        with Listener(stage.settings, _both(ledger.offered, board.offered), ledger.heard) as listener:
            stage.start_catalog()
            for note in story.notes:
                say(note)
            _tell_standing(stage, story, ledger, listener, console)
            stage.start_worker()
            # External servers may hold an earlier demo's events: other ids make these new.
            source = story.late(f"demo-{int(time.time())}").first(plan.events)
            say_if_short(source, plan.events, say)
            with console.status("the worker loads TensorFlow and its model"):
                stage.wait_for_worker()
            if plan.web:
                stage.start_web()
            with reader_of(stage.settings) as reader:
                board.look(reader)  # what is there before anything is played
            act = _Played(story, source, ledger, board, listener)
            account = Performance(stage, act, console).play(scenario.rate if plan.rate is None else plan.rate)
            _hear_all(ledger, account, listener)
            return replace(account, tally=Tally(ledger.words, ledger.unheard(), board.figures(), board.document()))


def board_of(story: Story, ledger: Ledger) -> Board:
    """What that story shows of itself."""
    if story.name == "shop":
        return ShopBoard(ledger)
    if story.name == "social":
        return SocialBoard(ledger, sorted(story.silent))
    return NewsBoard(ledger, story)


class _Played:
    """The act of a scenario."""

    def __init__(self, story: Story, source: Source, ledger: Ledger, board: Board, listener: Listener) -> None:
        self._ledger, self._board, self._listener = ledger, board, listener
        self.source = replace(source, records=lambda: self._noted(source.records()))
        clicks = story.late_clicks()
        self._spotlight = Spotlight(clicks)
        self._rows_per_event = len(clicks) / sum(record.kind != "item" for record in story.late().records())

    def look(self, reader: InterestReader) -> None:
        self._listener.check()
        self._board.look(reader)

    def watched(self, accounted: int) -> str:
        return self._board.watched(self._spotlight.user_id(int(accounted * self._rows_per_event)))

    def titles(self, person: Person | None) -> Mapping[str, str]:
        made = person.recommendation if person else None
        if made is None:
            return {}
        because = {item.reason.because_item or "" for item in made.items}
        return self._ledger.titles_of(because) | self._board.labels(item.item_id for item in made.items)

    def panel(self) -> RenderableType:
        return self._board.panel()

    def line(self) -> str:
        return self._board.line()

    def pending(self) -> int:
        return self._ledger.unheard()

    def _noted(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            self._ledger.sent(record, _now_ms())
            self._board.sent(record)
            yield record


def _a_model(stage: Stage, name: str, say: Callable[[str], None]) -> None:
    """A first model if none is served; a word if the one that is has other half-lives than the settings ask for."""
    registry = ModelRegistry(stage.settings.models.url)
    version = registry.current()
    if version is None:
        say("training a first model on the scenario's early part (half a minute, kept for the next start)")
        stage.train(name, "--encoder", "hashing")
        version = registry.current()
    if version is None:
        raise DemoError(f"{stage.settings.models.url} serves no model: interest models list")
    decays = read_card(registry.fetch(version, stage.settings.local_copies / version)).decays
    if decays != stage.settings.training.half_lives(decays):
        say(f"the model {version} has other half-lives than the settings: remove {stage.settings.models.url} to train")
    say(f"model {version}")


def _tell_standing(stage: Stage, story: Story, ledger: Ledger, listener: Listener, console: Console) -> None:
    """Send the items that there are, and wait until the catalogue service has told of them all."""
    standing = story.standing()
    now_ms = _now_ms()
    for record in standing.records():
        ledger.sent(record, now_ms, standing=True)
    replay(standing, stage.settings)
    deadline = time.monotonic() + KNOWN_TIMEOUT_S
    with console.status("the catalogue service reads the items"):
        while ledger.unheard():
            stage.check()
            listener.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the catalogue service has not told of {ledger.unheard()} items: see its log")
            time.sleep(0.1)


def _hear_all(ledger: Ledger, account: Account, listener: Listener) -> None:
    """What was recommended last is still on its way."""
    deadline = time.monotonic() + LISTEN_S
    while ledger.lists < account.end.recommendations and time.monotonic() < deadline:
        listener.check()
        time.sleep(0.1)


def _both(
    one: Callable[[Recommendation], None], other: Callable[[Recommendation], None]
) -> Callable[[Recommendation], None]:
    def call(made: Recommendation) -> None:
        one(made)
        other(made)

    return call


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


__all__ = ["DemoError", "ScenarioPlan", "run_scenario"]
