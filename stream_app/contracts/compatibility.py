"""Which changes of a contract break somebody.

| change                                                     | input topic   | output topic  |
| ---------------------------------------------------------- | ------------- | ------------- |
| a new optional field                                       | fine          | fine          |
| a new required field                                       | breaks        | fine          |
| a field that goes                                          | breaks        | breaks        |
| a field is required no longer                              | fine          | breaks        |
| another type, a word less, a tighter bound or pattern      | breaks        | fine          |
| one type or one word more, a wider bound or pattern        | fine          | breaks        |
| names, descriptions, examples, defaults                    | fine          | fine          |

Of an input whatever a producer sent until now must be taken; of an output whatever is sent must be what a reader
expects until now. A change that breaks raises `schemas.VERSION`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Schema = Mapping[str, Any]

# Of bounds, whether the greater one is the tighter.
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
# Nobody can say in general which of two is the tighter one: any difference is taken for both.
_OPAQUE = ("pattern", "not", "if", "then", "else", "const", "anyOf", "allOf", "oneOf", "format")
_WIDER = {"integer": {"integer", "number"}}


def breaking_changes(old: Schema, new: Schema, flow: Literal["in", "out"]) -> list[str]:
    """What breaks producers (`in`) or readers (`out`) where the new schema takes the old one's place, each in words.

    Both are of the keywords that `schemas` uses.
    """
    gone = [f"{path}: the field is gone" for path in _gone(old, new, "")]
    if flow == "in":
        return gone + [f"{path}: {what}, which producers may not heed" for path, what in _tighter(old, new, "")]
    return gone + [f"{path}: {what} until now, which readers may rely on" for path, what in _tighter(new, old, "")]


def version_of(schema: Schema) -> int:
    """The version at the end of its `$id`."""
    return int(str(schema["$id"]).rpartition(":v")[2])


def _gone(old: Schema, new: Schema, path: str) -> Iterator[str]:
    mine, others = old.get("properties", {}), new.get("properties", {})
    for name in mine:
        if name not in others:
            yield f"{path}.{name}"
        else:
            yield from _gone(mine[name], others[name], f"{path}.{name}")
    if "items" in old and "items" in new:
        yield from _gone(old["items"], new["items"], f"{path}[]")


def _tighter(wide: Schema, narrow: Schema, path: str) -> Iterator[tuple[str, str]]:
    """Where, and what it is that `narrow` demands and `wide` does not."""
    here = path or "the value"
    if "type" in narrow and (extra := _types(wide) - _allowed(narrow)):
        yield here, f"{', '.join(sorted(extra))} is no type for it"
    if "enum" in narrow and (words := _words(wide) - _words(narrow)):
        yield here, f"{', '.join(sorted(words))} is none of the words for it"
    yield from ((here, f"{name} is {narrow[name]}") for name in _LOWER if _is_above(narrow, wide, name))
    yield from ((here, f"{name} is {narrow[name]}") for name in _UPPER if _is_above(wide, narrow, name, lower=False))
    yield from ((here, f"`{name}` is another") for name in _OPAQUE if narrow.get(name) != wide.get(name))
    for name in narrow.get("required", ()):
        if name not in wide.get("required", ()):
            yield f"{path}.{name}", "the field is required"
    for name in wide.get("properties", {}).keys() & narrow.get("properties", {}).keys():
        yield from _tighter(wide["properties"][name], narrow["properties"][name], f"{path}.{name}")
    for inside, shown in (("items", "[]"), ("additionalProperties", ".*")):
        if inside in narrow:
            yield from _tighter(wide.get(inside, {}), narrow[inside], path + shown)


def _types(schema: Schema) -> set[str]:
    told = schema.get("type", "anything")
    return {told} if isinstance(told, str) else set(told)


def _allowed(schema: Schema) -> set[str]:
    return {name for name in ("integer", *_types(schema)) if name in _types(schema) or _WIDER[name] & _types(schema)}


def _words(schema: Schema) -> set[str]:
    return set(map(str, schema.get("enum", ["anything"])))


def _is_above(one: Schema, other: Schema, name: str, *, lower: bool = True) -> bool:
    """Whether one's bound is above the other's; a bound that is not there is no bound."""
    tight = one if lower else other
    if name not in tight:
        return False
    return name not in (other if lower else one) or bool(one[name] > other[name])
