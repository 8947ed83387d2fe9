"""Pseudonyms: user ids as the state, Redis and Kafka show them where they must not be readable there.

A pseudonym is the HMAC-SHA256 of the id (UTF-8) under a secret key, its first 16 bytes in hexadecimal, so any language
can make one. In a shell:

    printf %s u42 | openssl dgst -sha256 -hmac "$INTEREST_PSEUDONYM_KEY" -r | cut -c1-32
"""

from collections.abc import Callable
from hmac import digest

PSEUDONYM_BYTES = 16

Naming = Callable[[bytes], bytes]
"""From a user id in UTF-8 to the name by which that user goes behind the door."""


def naming(key: str) -> Naming:
    """Names are pseudonyms under this key; with an empty one, the ids themselves."""
    secret = key.encode()
    if not secret:
        return bytes
    return lambda user_id: digest(secret, user_id, "sha256")[:PSEUDONYM_BYTES].hex().encode()
