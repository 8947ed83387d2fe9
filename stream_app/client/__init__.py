"""What a service imports to read interests. Needs redis-py, numpy and msgspec; neither Faust nor TensorFlow.

    reader = InterestReader("redis://localhost:6379/0")
    interest = reader.get("user-42")
    if interest:
        print(interest.topics, interest.vector @ other_vector)

`AsyncInterestReader` has the same methods as coroutines. Both keep a connection pool: make one and share it.

What they ask for is in `asking`, what the answers mean in `decode`: both are pure, and `reader` only acts.
"""

from stream_app.client.errors import LayoutError, NoItemVectorsError
from stream_app.client.reader import AsyncInterestReader, InterestReader
from stream_app.client.values import Interest, ItemKnowledge, Place, Vector, Vectors, Window

__all__ = [
    "AsyncInterestReader",
    "Interest",
    "InterestReader",
    "ItemKnowledge",
    "LayoutError",
    "NoItemVectorsError",
    "Place",
    "Vector",
    "Vectors",
    "Window",
]
