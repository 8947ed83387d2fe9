"""The two readers. What they do with Redis is one round trip; what they ask for, and what it means, is shared."""

from collections.abc import Iterable
from typing import Any, TypeVar

from redis import ConnectionError as NotConnected
from redis import Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry

from stream_app.client.asking import Asking, Command, Facet, Questions
from stream_app.client.values import Interest, ItemKnowledge, Vectors
from stream_app.contracts.recommendations import Recommendation
from stream_app.contracts.redis_layout import ModelCard

T = TypeVar("T")

_TIMEOUT_S = 5.0


class InterestReader:
    """Reads from Redis; may be shared by threads.

    What one call returns is of one generation. Between two calls another one may begin to serve: where two answers
    must fit together, ask `model` for that of the interest.

    Args:
        url: redis://, rediss:// or unix://, with the database number as the path.
        cluster: whether it is a Redis Cluster.
        pseudonym_key: that of the workers, if they keep ids as pseudonyms. Methods take and give ids all the same.
        generation: to read this one, whichever serves.
        cache: how many answers of `get`, `recommendations` and `model` to keep in this process, 0 for none. Redis tells
            when one changes (client tracking, which redis-py uses with Redis from 7.4 on; any other server is refused
            with a ConnectionError). What a lost connection had brought is forgotten.
        options: passed on to redis-py, for example `socket_timeout` (seconds; 5 unless given). A lost connection is
            made anew and the question asked once more; what has timed out is not asked again.

    Every method may raise redis.exceptions.RedisError, and LayoutError for what no worker wrote.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: bool = False,
        pseudonym_key: str = "",
        generation: int | None = None,
        cache: int = 0,
        **options: Any,
    ) -> None:
        self._questions = Questions(pseudonym_key, generation)
        if cache:
            options |= {"protocol": 3, "cache_config": CacheConfig(max_size=cache)}
        self._redis: Any = (RedisCluster if cluster else Redis).from_url(url, **_patience(Retry, cluster) | options)

    def generation(self) -> int:
        """The one that is read; of the one that serves, as it was within the last second."""
        return self._ask(self._questions.generation())

    def get(self, user_id: str) -> Interest | None:
        """The user's interests, None for one without events, or erased, or without events for longer than the TTL."""
        return self._ask(self._questions.interest(user_id))

    def get_many(self, user_ids: Iterable[str]) -> dict[str, Interest]:
        """Those of the users that have interests, in one round trip, all of one generation."""
        return self._ask(self._questions.interests(user_ids))

    def vectors(self, user_ids: Iterable[str], facet: Facet = "vector") -> Vectors:
        """One vector of each of the users as a matrix, in one round trip: for scoring many at once."""
        return self._ask(self._questions.vectors(user_ids, facet))

    def recommendations(self, user_id: str) -> Recommendation | None:
        """The latest recommendations, None if there are none."""
        return self._ask(self._questions.recommendations(user_id))

    def item(self, item_id: str) -> ItemKnowledge | None:
        """What is known of the item, None for one that nobody has told of, or that is deleted."""
        return self._ask(self._questions.item(item_id))

    def items(self, item_ids: Iterable[str]) -> dict[str, ItemKnowledge]:
        """Those of the items of which something is known, in one round trip."""
        return self._ask(self._questions.items(item_ids))

    def similar_items(self, interest: Interest | str, count: int = 20, *, exact: bool = False) -> dict[str, float]:
        """The items that the user is likeliest to take up, and `interest.vector @ place.vector + place.bias` of each,
        the largest first; nothing for a user without interests. What the user has seen already is among them.

        One round trip, and one more for a user id. Needs a server with vector sets (Redis from 8.0 on), and raises
        NoItemVectorsError without. Unless `exact`, the search may miss some; with it, it looks at every item.
        """
        return self._ask(self._questions.similar_items(interest, count, exact))

    def model(self, generation: int | None = None) -> ModelCard | None:
        """The model in use, None before a worker has announced one; with `Interest.generation` the one that explains
        that interest. Raises LayoutError for an unknown layout."""
        return self._ask(self._questions.model(generation))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def __enter__(self) -> "InterestReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ask(self, asking: Asking[T]) -> T:
        answers: Any = None
        while True:
            try:
                commands = asking.send(answers)
            except StopIteration as done:
                answer: T = done.value
                return answer
            answers = self._trip(commands)

    def _trip(self, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            # redis-py keeps answers under their keys, and asks for those of single commands only.
            return [self._redis.execute_command(*commands[0], keys=[commands[0][1]])]
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        rows: list[Any] = pipeline.execute(raise_on_error=False)
        return rows


class AsyncInterestReader:
    """`InterestReader` as coroutines; used from one event loop. redis-py's asyncio client keeps no answers, so there is
    no `cache`."""

    def __init__(
        self,
        url: str,
        *,
        cluster: bool = False,
        pseudonym_key: str = "",
        generation: int | None = None,
        **options: Any,
    ) -> None:
        self._questions = Questions(pseudonym_key, generation)
        client = AsyncRedisCluster if cluster else AsyncRedis
        self._redis: Any = client.from_url(url, **_patience(AsyncRetry, cluster) | options)

    async def generation(self) -> int:
        """See `InterestReader.generation`."""
        return await self._ask(self._questions.generation())

    async def get(self, user_id: str) -> Interest | None:
        """See `InterestReader.get`."""
        return await self._ask(self._questions.interest(user_id))

    async def get_many(self, user_ids: Iterable[str]) -> dict[str, Interest]:
        """See `InterestReader.get_many`."""
        return await self._ask(self._questions.interests(user_ids))

    async def vectors(self, user_ids: Iterable[str], facet: Facet = "vector") -> Vectors:
        """See `InterestReader.vectors`."""
        return await self._ask(self._questions.vectors(user_ids, facet))

    async def recommendations(self, user_id: str) -> Recommendation | None:
        """See `InterestReader.recommendations`."""
        return await self._ask(self._questions.recommendations(user_id))

    async def item(self, item_id: str) -> ItemKnowledge | None:
        """See `InterestReader.item`."""
        return await self._ask(self._questions.item(item_id))

    async def items(self, item_ids: Iterable[str]) -> dict[str, ItemKnowledge]:
        """See `InterestReader.items`."""
        return await self._ask(self._questions.items(item_ids))

    async def similar_items(
        self, interest: Interest | str, count: int = 20, *, exact: bool = False
    ) -> dict[str, float]:
        """See `InterestReader.similar_items`."""
        return await self._ask(self._questions.similar_items(interest, count, exact))

    async def model(self, generation: int | None = None) -> ModelCard | None:
        """See `InterestReader.model`."""
        return await self._ask(self._questions.model(generation))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def __aenter__(self) -> "AsyncInterestReader":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _ask(self, asking: Asking[T]) -> T:
        answers: Any = None
        while True:
            try:
                commands = asking.send(answers)
            except StopIteration as done:
                answer: T = done.value
                return answer
            answers = await self._trip(commands)

    async def _trip(self, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            return [await self._redis.execute_command(*commands[0])]
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        rows: list[Any] = await pipeline.execute(raise_on_error=False)
        return rows


def _patience(retry: type[Retry] | type[AsyncRetry], cluster: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"socket_timeout": _TIMEOUT_S}
    if not cluster:
        # A connection out of the pool may have ended while nobody used it. A cluster's client has its own ways.
        options["retry"] = retry(NoBackoff(), 1, supported_errors=(NotConnected,))
    return options
