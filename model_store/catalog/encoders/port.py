"""What turns texts into vectors."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class TextEncoder(Protocol):
    """A text encoder. Calls block, for as long as its own limits allow, and may come from several threads."""

    @property
    def name(self) -> str:
        """Of the space that its vectors lie in: those of two names cannot be compared. Part of a generation."""

    @property
    def dimension(self) -> int:
        """Of its vectors."""

    def encode(self, texts: Sequence[str]) -> Float32:
        """float32 [n, dimension] of n texts in their order, each of length 1; zeros for a text without a word.

        A text's vector does not depend on the others. Raises UnavailableError, RefusedError and MisconfiguredError.
        """
