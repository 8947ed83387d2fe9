"""Keeps what it has read until Redis says that it has changed: python cached.py redis://localhost:6379/0"""

import sys

from stream_app.client import InterestReader

url = sys.argv[1]
reader = InterestReader(url, cache=10_000)  # answers kept in this process; Redis from 7.4 on
for _ in range(3):
    interest = reader.get("u42")  # asks Redis once, and again when the user has changed
    print(interest and interest.version)
