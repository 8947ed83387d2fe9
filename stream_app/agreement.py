"""What all workers of a group must have in common: they take over each other's states, and write into the same places.

A version of the model may differ (a roll-out), its generation may not. How much is done at once, how long is waited,
when bad events are a flood and what is logged is each worker's own affair.
"""

import hashlib
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from model_store.model import InterestModel
from model_store.state import codec
from stream_app.contracts.pseudonyms import naming
from stream_app.contracts.redis_layout import LAYOUT_VERSION
from stream_app.settings import Redis, Settings

Terms = Mapping[str, str]
"""Name of a setting -> its value, in words."""


def terms_of(settings: Settings, model: InterestModel) -> Terms:
    """The terms of one worker; no secrets."""
    writes = model.writes
    return {
        **settings_of(settings),
        "model generation": str(model.generation),
        "model write table": _digest(part.tobytes() for part in writes.arrays().values()),
        "model decays": str(model.decays),
        "state codec": str(codec.NEWEST),
        "Redis layout": str(LAYOUT_VERSION),
    }


def settings_of(settings: Settings) -> Terms:
    """Those of the terms that are settings, by their keys."""
    kafka = settings.kafka
    return {
        "kafka.partitions": str(kafka.partitions),
        **_all_of("kafka.topics", kafka.topics),
        "redis.url": _place(settings.redis),
        "redis.ttl_s": str(settings.redis.ttl_s),
        "redis.erased_ttl_s": str(settings.redis.erased_ttl_s),
        **_all_of("recommend", settings.recommend),
        **_all_of("accept", ((name, value) for name, value in settings.accept if not name.startswith("flood_"))),
        "pseudonym_key": _trace(settings.pseudonym_key.get_secret_value()),
    }


def differences(mine: Terms, theirs: Terms) -> list[str]:
    """What differs, with both values; a name that only one side has was not there in the other's release."""
    return [
        f"{name} is {mine[name]} here, {theirs[name]} there"
        for name in mine
        if name in theirs and theirs[name] != mine[name]
    ]


def _all_of(path: str, section: Iterable[tuple[str, object]]) -> dict[str, str]:
    return {f"{path}.{name}": str(value) for name, value in section}


def _trace(key: str) -> str:
    """Differs for two keys, and does not give either away."""
    return f"a key with trace {naming(key)(b'').decode()[:12]}" if key else "not set"


def _place(redis: Redis) -> str:
    """Where Redis is, without user and password."""
    url = urlsplit(redis.url.get_secret_value())
    return f"{url.hostname or ''}:{url.port or 6379}{url.path}"


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]
