"""Ranks items for a user: python rank.py redis://localhost:6379/0"""

import sys

from stream_app.client import InterestReader

url = sys.argv[1]
reader = InterestReader(url)
interest = reader.get("u42")
if interest:
    items = reader.items(["i7", "i8"])  # what the catalogue service knows of items: title, topics, content, place
    scores = {name: interest.vector @ item.place.vector + item.place.bias for name, item in items.items() if item.place}
    print(scores)

    best = reader.similar_items(interest)  # {"i8": 3.1, ...}: the best 20 by that score, in one round trip
    exactly = reader.similar_items("u42", 100, exact=True)  # looks at every item; may hold what the user has seen
    print(best, len(exactly))
