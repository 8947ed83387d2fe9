"""Which language a browser would like."""

from stream_app.words.phrases import LANGUAGES, Language

_MOST = 20  # ranges that are looked at


def preferred(accept_language: str) -> Language:
    """Of ours the one that an `Accept-Language` header puts first; the first of ours where it names none."""
    weights = dict(reversed([_weighed(part) for part in accept_language.split(",")[:_MOST]]))
    anything = weights.get("*", 0.0)
    best = max(LANGUAGES, key=lambda one: weights.get(one, anything))
    return best if weights.get(best, anything) > 0 else LANGUAGES[0]


def _weighed(part: str) -> tuple[str, float]:
    """The language of `zh-Hans-CN;q=0.8` without script and region, and its weight."""
    tag, _, parameter = part.partition(";")
    name, _, value = parameter.strip().partition("=")
    try:
        weight = float(value) if name.strip() == "q" else 1.0
    except ValueError:
        weight = 0.0
    return tag.strip().partition("-")[0].casefold(), weight
