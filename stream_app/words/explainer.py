"""Explanations on request: looked up, or made from what Redis holds now, and never later than promised."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from pydantic_settings import SettingsError
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from model_store.catalog.annotators.observer import Observer
from model_store.catalog.bounded_chat import GiveUpError
from stream_app.access import reader_options
from stream_app.client import AsyncInterestReader, Interest
from stream_app.settings import Settings, Words
from stream_app.words.cache import Cache
from stream_app.words.explanation import TEMPLATE, Explanation, Stand
from stream_app.words.facts import Facts, facts_of, items_asked
from stream_app.words.phrases import Language
from stream_app.words.template import by_template
from stream_app.words.wording import Wording, wording_of

Titles = Mapping[str, str]
_Key = tuple[str, Language, Stand]

FOR_GOOD = ("refused", "no_facts")
"""Why the template stands in until the user's interests change."""


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation and what it is made from; None for one that was looked up."""

    explanation: Explanation
    facts: Facts | None = None


class Explainer:
    """Used by one event loop; close it. Whatever is kept, Redis is asked each time whether the user is there and at
    which version."""

    def __init__(
        self,
        reader: AsyncInterestReader,
        wording: Wording | None,
        settings: Words,
        observer: Observer,
        titles: Titles | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`titles`: by item id, of items of which Redis has none. `clock`: nanoseconds since 1970."""
        self._reader, self._wording, self._settings, self._observer = reader, wording, settings, observer
        self._titles, self._clock = titles or {}, clock
        self._cache = Cache(settings.cached, settings.cached_s)
        self._under_way: dict[_Key, asyncio.Task[Explanation]] = {}
        self._pool = ThreadPoolExecutor(settings.concurrency, "words")

    def close(self) -> None:
        """Nobody is answered any more; what the model is at is not waited for."""
        for task in self._under_way.values():
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def explain(self, user_id: str, language: Language) -> Explained | None:
        """None for a user that Redis does not have. Raises `redis.RedisError`, `LayoutError`, and TimeoutError where
        Redis takes longer than `answer_s`."""
        ends_s = asyncio.get_running_loop().time() + self._settings.answer_s
        async with asyncio.timeout_at(ends_s):
            interest = await self._reader.get(user_id)
            if interest is None:
                self._cache.forget(user_id)
                return None
            stand = Stand.of(interest)
            kept = self._cache.get(user_id, language, stand)
            self._observer.on_cache(kept is not None)
            if kept:
                return Explained(kept)
            facts = await self._facts(interest)
        return Explained(await self._made(facts, (user_id, language, stand), ends_s), facts)

    async def _facts(self, interest: Interest) -> Facts:
        recommendation = await self._reader.recommendations(interest.user_id)
        asked = items_asked(recommendation)
        found = await self._reader.items(asked)
        card = await self._reader.model(interest.generation)
        titles = {item: found[item].title if item in found else self._titles.get(item, "") for item in asked}
        return facts_of(interest, recommendation, titles, card.topics if card else ())

    async def _made(self, facts: Facts, key: _Key, ends_s: float) -> Explanation:
        if self._wording is None:
            return self._keep(key, self._by_template(facts, key))
        under_way = self._under_way.get(key)
        if under_way is None and len(self._under_way) >= self._settings.concurrency:
            return self._instead("busy", facts, key)
        try:
            async with asyncio.timeout_at(ends_s):
                return await asyncio.shield(under_way or self._begun(self._wording, facts, key))
        except TimeoutError:
            return self._instead("late", facts, key)

    def _begun(self, wording: Wording, facts: Facts, key: _Key) -> asyncio.Task[Explanation]:
        """Goes on when nobody waits for it any more, for the one who asks next."""
        task = self._under_way[key] = asyncio.create_task(self._worded(wording, facts, key))
        task.add_done_callback(lambda _: self._under_way.pop(key))
        return task

    async def _worded(self, wording: Wording, facts: Facts, key: _Key) -> Explanation:
        loop = asyncio.get_running_loop()
        try:
            text = await loop.run_in_executor(self._pool, wording.of, facts, key[1])
        except GiveUpError as error:
            instead = self._instead(error.why, facts, key)
            # The same facts would be refused again, and paid for again.
            return self._keep(key, instead) if error.why in FOR_GOOD else instead
        return self._keep(key, self._explanation(text, wording.model, key))

    def _instead(self, why: str, facts: Facts, key: _Key) -> Explanation:
        self._observer.on_fallback(why)
        return self._by_template(facts, key)

    def _by_template(self, facts: Facts, key: _Key) -> Explanation:
        return self._explanation(by_template(facts, key[1]), TEMPLATE, key)

    def _explanation(self, text: str, made_by: str, key: _Key) -> Explanation:
        _, language, stand = key
        return Explanation(text, made_by, stand.version, self._clock() // 1_000_000, language)

    def _keep(self, key: _Key, explanation: Explanation) -> Explanation:
        user_id, language, stand = key
        self._cache.put(user_id, language, stand, explanation)
        return explanation


@asynccontextmanager
async def explaining(
    settings: Settings, observer: Observer, generation: int | None = None, titles: Titles | None = None
) -> AsyncIterator[Explainer]:
    """Ready to explain, closed at the end. Raises MisconfiguredError, `SettingsError`.

    `generation`: of which; without one the one that serves.
    """
    with wording_of(settings, observer) as wording:
        async with _reader(settings, generation) as reader:
            with closing(Explainer(reader, wording, settings.words, observer, titles)) as explainer:
                yield explainer


def _reader(settings: Settings, generation: int | None) -> AsyncInterestReader:
    patience = Retry(NoBackoff(), 1)  # a connection may have gone stale
    options = reader_options(settings)
    try:
        return AsyncInterestReader(
            settings.redis.url.get_secret_value(), generation=generation, retry=patience, **options
        )
    except ValueError as problem:
        raise SettingsError(f"redis.url: {problem}") from problem
