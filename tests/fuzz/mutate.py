"""Mutations: JSON texts token by token, and any bytes byte by byte."""

import re
from collections.abc import Sequence
from random import Random

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][-+.eE0-9]*|true|false|null|[\[\]{}:,]|\s+')

NUMBERS = [
    b"0", b"-0", b"-1", b"1", b"5", b"5.5", b"1.0", b"-0.0", b"1e3", b"1e999", b"-1e999", b"1e308", b"1e-320",
    b"5e-324", b"1e-9999", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809",
    b"18446744073709551616", b"4294967296", b"1790000000000", b"1790000300000", b"1790000300001", b"86400000",
    b"86400001", b"9" * 30, b"-" + b"9" * 1_500, b"9" * 4_301, b"0." + b"9" * 400,
    b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b".5", b"1.", b"1e", b"-", b"0x10", b"1_000", b'"4"',
]  # fmt: skip
STRINGS = [
    b'""', b'" "', b'"a"', b'"user"', b'"topic"', b'"follow"', b'"mute"', b'"}"', b'"{a}"', b'"%7D"', b'"a\\u0000b"',
    b'"a\\nb"', b'"\\u007f"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\q"', b'"\\u12"', b'"a\nb"', b'"\x00"', b'"\x7f"',
    b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', '"é"'.encode(), '"\U0001f511"'.encode(),
    '"\u2028\u202e"'.encode(), b'"' + b"x" * 255 + b'"', b'"' + b"x" * 256 + b'"', b'"' + b"x" * 257 + b'"',
    b'"' + "é".encode() * 128 + b'"', b'"' + "é".encode() * 129 + b'"', b'"\\u0065"', b'"../../etc"', b'"a:b"',
]  # fmt: skip
OTHERS = [
    b"true", b"false", b"null", b"{}", b"[]", b"[1]", b'{"a":null}', b"", b",", b":", b"{", b"}", b"[", b"]", b"nul",
    b"\xef\xbb\xbf", b"//", b" ", b"\t\r\n", b"\x0c", b"'a'", b"[" * 1_200, b"[" * 300 + b"]" * 300,
    b'{"a":' * 300 + b"1" + b"}" * 300,
]  # fmt: skip
HUGE = [b'"' + b"x" * 60_000 + b'"', b"[" * 40_000, b"9" * 60_000, b'"' + b"\\u0001" * 9_000 + b'"', b" " * 66_000]
WORDS = (NUMBERS, STRINGS, OTHERS)
_HUGE_ONCE_IN = 400

Text = Sequence[bytes]


def tokens(json_text: bytes) -> Text:
    """A JSON text cut into its tokens."""
    return _TOKEN.findall(json_text)


def word(dice: Random) -> bytes:
    """A token that has broken a reader somewhere."""
    if dice.random() * _HUGE_ONCE_IN < 1:
        return dice.choice(HUGE)
    return dice.choice(WORDS[int(dice.random() * 3)])


def mutated_json(dice: Random, text: Text) -> bytes:
    """The text with one to three tokens replaced, left out, doubled or put in; now and then with broken bytes too."""
    parts = list(text)
    for _ in range(1 + int(dice.random() * dice.random() * 3)):
        at, chance = int(dice.random() * len(parts)), dice.random()
        if chance < 0.6:
            parts[at : at + 1] = [word(dice)]
        elif chance < 0.7:
            del parts[at : at + 1]
        elif chance < 0.8:
            parts[at:at] = [dice.choice(text)]
        elif chance < 0.9:
            parts[at:at] = [word(dice)]
        else:
            other = int(dice.random() * len(text))
            parts[at : at + 1] = text[other : other + 4]
        if not parts:
            break
    raw = b"".join(parts)
    return mutated(dice, raw) if dice.random() < 0.15 else raw


def mutated(dice: Random, raw: bytes) -> bytes:
    """The bytes with one to four of them, or stretches of them, changed."""
    out = bytearray(raw)
    for _ in range(1 + int(dice.random() * 4)):
        at, chance = int(dice.random() * (len(out) + 1)), dice.random()
        if chance < 0.35 and at < len(out):
            out[at] ^= 1 << int(dice.random() * 8)
        elif chance < 0.55 and at < len(out):
            out[at] = int(dice.random() * 256)
        elif chance < 0.7:
            del out[at : at + 1 + int(dice.random() * 16)]
        elif chance < 0.8:
            out[at:at] = out[at : at + 1 + int(dice.random() * 32)]
        elif chance < 0.9:
            out[at:at] = dice.randbytes(1 + int(dice.random() * 8))
        else:
            del out[at:]
    return bytes(out)


def garbage(dice: Random, longest: int = 64) -> bytes:
    """Random bytes."""
    return dice.randbytes(int(dice.random() * longest))
