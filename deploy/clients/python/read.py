"""Shows what Redis holds of a user: python read.py redis://localhost:6379/0"""

import sys

from stream_app.client import InterestReader

url = sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379/0"
reader = InterestReader(url, socket_timeout=0.5)  # seconds

interest = reader.get("u42")  # None if unknown
if interest:
    print(interest.vector.shape, interest.vector.dtype)  # (64,) float32
    print(interest.topics)  # {"Drama": 0.31, "Comedy": 0.22, ...}, weights sum to 1
    print(interest.windows["24h"].clicks)
print(reader.recommendations("u42"))  # the latest recommendation event

several = reader.get_many(["u42", "u43"])  # user id -> interest, in one round trip
users = reader.vectors(["u42", "u43"])  # users.matrix float32 [2, 64], users.found bool [2]
print(len(several), users.matrix.shape, users.found)
