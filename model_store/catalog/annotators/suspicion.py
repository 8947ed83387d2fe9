"""What item texts, and models that have read them, should not say.

An item's text comes from strangers, and a model may follow it instead of describing it. Topics cannot be bent: only the
taxonomy's names count. The lines in free words can, so they are refused if they hold what a description has no use for.
None of this tells whether a line is *true*: a text that praises its item may be believed.
"""

import re
import unicodedata

VERBATIM_BYTES = 48
"""In UTF-8, of an item's text that may stand in an answer: about eight English words or sixteen Chinese characters. A
long title may be longer; then a worse annotation is the price."""

_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_WITHIN = r"[^.!?。！？]{0,40}"
_EARLIER = r"(?:all|any|previous|prior|above|earlier|preceding|your|以上|之前|上述|前面|先前|所有|一切|你的|全部)"
_INSTRUCTIONS = re.compile(
    "|".join(
        [
            rf"\b(?:ignore|disregard|forget|override|bypass)\b{_WITHIN}\b(?:instructions?|prompts?|directives?)\b",
            rf"\b(?:ignore|disregard|forget|override|bypass)\s+{_EARLIER}\b{_WITHIN}\b(?:rules?|guidelines?|text|context)\b",
            r"\b(?:system|developer)\s+(?:prompt|message|instruction)s?\b",
            r"\byou are (?:now|no longer)\b.{0,20}\b(?:ai|assistant|model|system|bot|admin)",
            r"\bas an? (?:ai|assistant|language model)\b",
            rf"\b(?:reveal|repeat|print|output)\b{_WITHIN}\b(?:prompt|instructions|secret word)\b",
            r"\bnew instructions?\s*:",
            rf"(?:忽略|无视|無視|忽視|忘记|忘記|跳过|不要遵[守循]){_WITHIN}(?:指令|指示|提示|命令)",
            rf"(?:忽略|无视|無視|忽視|忘记|忘記|跳过|不要遵[守循]).{{0,6}}{_EARLIER}.{{0,10}}(?:规则|規則|要求|内容|內容|设定)",
            r"(?:系统|系統|开发者|開發者)(?:提示|消息|訊息|指令)",
            r"(?:你现在是|你現在是|从现在(?:起|开始),?你|從現在(?:起|開始),?你)",
            r"作为一?个?(?:ai|人工智能|语言模型|助手)",
            r"<\|\w+|\[/?inst\]|</?(?:system|instructions?|prompt|assistant|user)>|#{2,}\s*(?:system|instruction)",
            r"(?:^|\n)\s*(?:system|assistant|developer|系统|助手)\s*:",
        ]
    )
)
_LINK = re.compile(r"https?:|www\.|\b[\w-]+\.(?:com|net|org|io|cn|ru|xyz|info|top|app|dev|shop|me)\b|\w@\w")
_MARKUP = re.compile(r"[<>{}`|\\]|\]\(|\*\*|__|#{2,}")


def instructs(text: str) -> bool:
    """Whether a text speaks to a model: orders about its instructions, or marks of another speaker; in English and
    Chinese. Other ways to say so are found in the answer at best."""
    return bool(_INSTRUCTIONS.search(_folded(text)))


def reason_against(line: str, source: str) -> str:
    """Why a model's line about an item whose text is `source` is refused: `control`, `link`, `markup`, `instructions`,
    `echo`; "" for a line that is none of these."""
    folded = _folded(line)
    if not _visible(line):
        return "control"
    if _LINK.search(folded):
        return "link"
    if _INSTRUCTIONS.search(folded):
        return "instructions"
    if _MARKUP.search(folded):
        return "markup"
    return "echo" if _shares_run(folded, _folded(source)) else ""


def _visible(line: str) -> bool:
    # Joiners are part of Persian, of Indian scripts and of emoji.
    return all(character.isprintable() for character in line if character not in "\u200c\u200d")


def _folded(text: str) -> str:
    """As it reads: without case, width, marks that do not show, and repeated blanks."""
    seen = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return re.sub(r"[^\S\n]+", " ", seen)


def _shares_run(line: str, source: str) -> bool:
    """Whether `VERBATIM_BYTES` of one in a row are in the other."""
    said, read = (" ".join(text.split()).encode("utf-8", "replace") for text in (line, source))
    return any(said[at : at + VERBATIM_BYTES] in read for at in range(len(said) - VERBATIM_BYTES + 1))
