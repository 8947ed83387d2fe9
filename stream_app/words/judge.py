"""What of a model's paragraph is believed.

What marks stand for is true by construction; judged are the words around them. They may neither count nor name: digits,
words for numbers, names, quotations, another topic of the model's, or words out of a title are refused, and with them
most of what a title can make a model say. None of this tells whether the sentence between two marks is true.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated

import msgspec

from model_store.catalog.annotators.suspicion import reason_against
from model_store.catalog.errors import UnfitError
from model_store.catalog.strangers import Fence
from model_store.catalog.structured import Answer, json_object
from stream_app.words.facts import Facts
from stream_app.words.phrases import MARK, Language, Phrases
from stream_app.words.prompt import MAX_PARAGRAPH

MAX_TEXT = 1_500
"""Characters of a text whose marks are filled in."""
RUN_WORDS, RUN_HAN = 3, 4
"""So many words, or Chinese characters, in a row out of a title are an echo of it."""

_HOLE = "□"  # stands where a mark was: neither a letter nor the end of a sentence
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_QUOTES = re.compile(r"[\"“”„«»‹›《》〈〉「」『』]")
# Titles come with quotation marks of their own, and models like to put some around them.
_QUOTED_MARK = re.compile(rf"(?:{_QUOTES.pattern}|')*({MARK.pattern})(?:{_QUOTES.pattern}|')*")
_SENTENCE_ENDS = re.compile(r"[.!?:]\s*$")
_NUMBER_WORDS = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozens?|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundreds?|thousands?|millions?|percent|per cent)\b"
    r"|[二两三四五六七八九十百千万]+(?:多|几)?(?:次|个|部|条|天|小时|周|月|年|人|位|本|首)|百分之",
    re.IGNORECASE,
)
# How sentences begin, whatever titles say.
_PLAIN = frozenset(
    _WORD.findall(
        "a about after all also among an and another as at based because besides both but by for from given here "
        "how if in it its just lately like most mostly much no now of often on one or our other overall recently "
        "since so some such than that the their them there these they this those to today together too toward up "
        "we what when where which while who why with within you your"
    )
)


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    paragraph: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PARAGRAPH)]


def read(answer: Answer, phrases: Phrases, facts: Facts, language: Language, fence: Fence) -> str:
    """The paragraph with phrases in the place of marks.

    `facts`: those that the model was told. Raises UnfitError with one of these reasons: `cut`, `declined`, `canary`,
    `schema`, `marks` (unknown ones, or no topic's), `digits`, `names`, `topics`, `language`, `long`, and those of
    `suspicion.reason_against`.
    """
    if answer.unfinished:
        raise UnfitError(answer.unfinished)
    if fence.leaks(answer.content):
        raise UnfitError("canary")
    paragraph = _QUOTED_MARK.sub(r"\1", " ".join(_decoded(answer.content).split()))
    reason = _against_marks(paragraph, phrases) or _against_words(MARK.sub(_HOLE, paragraph), facts, language)
    if reason:
        raise UnfitError(reason)
    text = phrases.filled(paragraph)
    if len(text) > MAX_TEXT:
        raise UnfitError("long")
    return text


def _decoded(content: str) -> str:
    try:
        return msgspec.json.decode(json_object(content), type=_Said).paragraph
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UnfitError("schema") from error


def _against_marks(paragraph: str, phrases: Phrases) -> str:
    used = set(MARK.findall(paragraph))
    known = used <= {phrase.mark for phrase in phrases.all} and not re.search(r"[\[\]]", MARK.sub("", paragraph))
    return "" if known and used & {phrase.mark for phrase in phrases.of("topic")} else "marks"


def _against_words(own: str, facts: Facts, language: Language) -> str:
    """Why the words around the marks are refused; "" for those that are not."""
    titles = [item.name for item in facts.items()]
    folded = unicodedata.normalize("NFKC", own)
    counts = any(unicodedata.category(one)[0] == "N" for one in own + folded) or _NUMBER_WORDS.search(folded)
    return (
        reason_against(own, "\n".join(titles))
        or ("digits" if counts else "")
        or _against_language(folded, language)
        or ("topics" if _names_another_topic(folded, facts) else "")
        or ("names" if _QUOTES.search(folded) or _names_something(folded, titles) else "")
        or ("echo" if any(_share_run(folded, title) for title in titles) else "")
    )


def _against_language(own: str, language: Language) -> str:
    letters = [one for one in own if one.isalpha()]
    if language == "zh":
        return "" if letters and all(_HAN.match(one) for one in letters) else "language"
    return "" if letters and all("LATIN" in unicodedata.name(one, "") for one in letters) else "language"


def _names_another_topic(own: str, facts: Facts) -> bool:
    told = {name for name, _ in facts.topics} | {one.topic for one in facts.recommended}
    said = own.casefold()
    return any(_stands_in(topic.casefold(), said) for topic in facts.known_topics if topic not in told)


def _stands_in(name: str, said: str) -> bool:
    if _HAN.search(name):
        return name in said
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said) is not None


def _names_something(own: str, titles: Iterable[str]) -> bool:
    """Whether a word is capitalised that does not begin a sentence, or is out of a title, or is written in capitals."""
    of_titles = {word.casefold() for title in titles for word in _WORD.findall(title)} - _PLAIN
    for found in _WORD.finditer(own):
        word = found[0]
        if not word[0].isupper():
            continue
        begins = not own[: found.start()].strip() or _SENTENCE_ENDS.search(own[: found.start()])
        if not begins or word.casefold() in of_titles or (len(word) > 1 and word.isupper()):
            return True
    return False


def _share_run(own: str, title: str) -> bool:
    words, title_words = _words(own), f" {' '.join(_words(title))} "
    runs = (" ".join(words[at : at + RUN_WORDS]) for at in range(len(words) - RUN_WORDS + 1))
    if any(f" {run} " in title_words for run in runs):
        return True
    chunks = ("".join(run) for run in re.findall(rf"(?=({_HAN.pattern}{{{RUN_HAN}}}))", own))
    return any(chunk in title for chunk in chunks)


def _words(text: str) -> list[str]:
    """Of scripts that part words."""
    return [word.casefold() for word in _WORD.findall(text) if not _HAN.search(word)]
