"""Whom an item suits, of many users at once: python score_users.py redis://localhost:6379/0"""

import sys

from stream_app.client import InterestReader

url = sys.argv[1]
reader = InterestReader(url)
item = reader.item("i7")
if item and item.place:
    users = reader.vectors(["u42", "u43", "u44"])  # matrix: float32 [3, 64], found: bool [3], zeros where not found
    scores = users.matrix @ item.place.vector + item.place.bias
    print([(users.user_ids[row], scores[row]) for row in scores.argsort()[::-1] if users.found[row]])
