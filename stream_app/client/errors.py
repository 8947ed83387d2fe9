"""What readers raise beside redis.exceptions.RedisError."""


class LayoutError(RuntimeError):
    """Redis holds what this reader cannot read: a newer layout (update the reader), or what no worker wrote."""


class NoItemVectorsError(RuntimeError):
    """The server has no vector sets, or nobody has put items into one."""
