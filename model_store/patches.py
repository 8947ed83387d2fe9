"""A file as the difference from an earlier one, as Zstandard stores it: `zstd --patch-from`.

Whatever is in both costs next to nothing, wherever it stands; what is made of a patch is compared with the checksum of
the whole file by who asks for it.
"""

from typing import Any

from backports import zstd
from backports.zstd import CompressionParameter, DecompressionParameter, ZstdDict

_LEVEL = 3
_SMALLEST_WINDOW, _LARGEST_WINDOW = 20, 31
"""Logarithms of bytes; zstd finds nothing further back than the window, and holds one in memory."""
_SHORTEST = 8  # zstd takes nothing shorter to look in


class PatchError(Exception):
    """Bytes that are no patch of this file."""


def patch_of(content: bytes, base: bytes) -> bytes:
    """What `applied` needs, beside `base`, to make `content` again."""
    options: dict[int, int] = {
        CompressionParameter.compression_level: _LEVEL,
        CompressionParameter.window_log: _window_log(len(content) + len(base)),
        # Else the table of places, which is short at this level, forgets the beginning of the base.
        CompressionParameter.enable_long_distance_matching: 1,
    }
    return zstd.compress(content, options=options, zstd_dict=_prefix(base))


def applied(patch: bytes, base: bytes, size: int) -> bytes:
    """The file of `size` bytes that the patch was made of. Raises PatchError for anything else."""
    options: dict[int, int] = {DecompressionParameter.window_log_max: _LARGEST_WINDOW}
    try:
        reader = zstd.ZstdDecompressor(zstd_dict=_prefix(base), options=options)
        content = reader.decompress(patch, max_length=size + 1)
    except (zstd.ZstdError, ValueError) as error:
        raise PatchError(str(error)) from error
    if len(content) != size or not reader.eof or reader.unused_data:
        raise PatchError(f"it does not make {size} bytes, and no more")
    return content


def _prefix(base: bytes) -> Any:
    return ZstdDict(base, is_raw=True).as_prefix if len(base) >= _SHORTEST else None


def _window_log(size: int) -> int:
    return min(max(size.bit_length(), _SMALLEST_WINDOW), _LARGEST_WINDOW)
