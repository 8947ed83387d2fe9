"""An encoder that is asked for the same texts twice in a row, and answers the second time from memory."""

import threading
from collections.abc import Sequence

import numpy as np

from model_store.catalog.encoders.port import Float32, TextEncoder


class RememberingEncoder:
    """Keeps the vectors of the last texts that it was asked for: who describes a batch and who finds its topics both
    want them. Thread-safe."""

    def __init__(self, encoder: TextEncoder, most: int) -> None:
        """`most`: vectors that are kept, those of the latest texts."""
        self._encoder, self._most = encoder, most
        self._vectors: dict[str, Float32] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._encoder.name

    @property
    def dimension(self) -> int:
        return self._encoder.dimension

    def encode(self, texts: Sequence[str]) -> Float32:
        """See the port."""
        with self._lock:
            held = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in held]
        if new:
            held |= dict(zip(new, self._encoder.encode(new), strict=True))
        with self._lock:
            self._vectors = dict(list((self._vectors | held).items())[-self._most :])
        return np.stack([held[text] for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)
