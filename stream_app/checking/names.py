"""What a field was probably meant to be called."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache

_CLOSE = 0.8
_ALSO_CALLED = {
    "timestamp": "ts", "time": "ts", "eventtime": "ts", "createdat": "ts", "id": "event_id", "uuid": "event_id",
    "user": "user_id", "uid": "user_id", "userid": "user_id", "item": "item_id", "itemid": "item_id",
    "productid": "item_id", "contentid": "item_id", "dwell": "dwell_ms", "dwelltime": "dwell_ms",
    "duration": "dwell_ms", "durationms": "dwell_ms", "score": "rating", "stars": "rating", "value": "rating",
    "max": "scale_max", "maxrating": "scale_max", "target": "target_id", "type": "target_type", "name": "title",
    "categories": "tags", "genres": "tags", "creator": "creator_id", "author": "creator_id", "country": "region",
}  # fmt: skip


@lru_cache(maxsize=4_096)
def meant_by(name: str, wanted: tuple[str, ...]) -> str:
    """Which of the wanted names one of a producer's was meant to be, "" if none."""
    plain = _plain(name)
    if _ALSO_CALLED.get(plain) in wanted:
        return _ALSO_CALLED[plain]
    return _closest(plain, wanted)


def _closest(plain: str, wanted: Sequence[str]) -> str:
    known = {_plain(one): one for one in wanted}
    # Short names are close to too much.
    found = (
        get_close_matches(plain, known, n=1, cutoff=_CLOSE)
        if len(plain) > 3
        else [one for one in known if one == plain]
    )
    return known[found[0]] if found else ""


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
