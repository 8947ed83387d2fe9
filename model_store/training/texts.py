"""What a data set says of its items, as an encoder reads it."""

from collections.abc import Callable

import numpy as np

from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.text import ItemText
from model_store.state.content import ItemContent
from model_store.training.interactions import Interactions

_CHUNK = 256


def texts_of(data: Interactions) -> list[ItemText]:
    """Title and topics of each item; an item of which neither is known has no text."""
    return [
        ItemText(item, title if title != item else "", tags=tuple(np.array(data.topics)[has > 0].tolist()))
        for item, title, has in zip(data.items, data.titles, data.item_topics, strict=True)
    ]


def content_of(
    data: Interactions, encoder: TextEncoder, report: Callable[[int], None] = lambda _done: None
) -> ItemContent:
    """The items' content by that encoder, in a space fitted to them; `report` gets the items done. Raises what
    `TextEncoder.encode` raises."""
    texts = [text.plain() for text in texts_of(data)]
    parts = []
    for start in range(0, len(texts), _CHUNK):
        parts.append(encoder.encode(texts[start : start + _CHUNK]))
        report(min(len(texts), start + _CHUNK))
    return ItemContent.encoded(encoder.name, np.concatenate(parts))
