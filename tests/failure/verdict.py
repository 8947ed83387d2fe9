"""Whether what was found is what was sent."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.failure.found import Found, RedisView
from tests.failure.letters import compare
from tests.failure.people import Event
from tests.failure.poison import Place, Poison
from tests.failure.truth import Facts, truth_of

SHOWN = 3
FAULTS = ("lost", "double", "wrong", "redis_wrong", "rec_holes", "dead_letters", "dead_letters_missing")


@dataclass
class Verdict:
    """Faults found, each counted apart.

    Attributes:
        lost: events that the state has not taken in, or not applied.
        double: those that it has taken in or applied too often.
        wrong: users whose counts are right and whose windows, ratings, followees or times are not.
        redis_wrong: users of whom Redis shows something else than the truth.
        rec_holes: recommendations whose number is missing before the last one.
        rec_ahead: users with recommendations published that their state does not know: the next one repeats their
            event id. No fault: a crash came between publishing and the changelog.
        rec_repeats: recommendations that were published more than once. No fault either, after a crash.
        poison: bad records sent.
        dead_letters: those that are of a good event, or not as they should be.
        dead_letters_missing: bad records without one.
        dead_letters_repeated: dead letters of records that have one already. No fault, after a crash.
    """

    events: int = 0
    users: int = 0
    recommendations: int = 0
    lost: int = 0
    double: int = 0
    wrong: int = 0
    redis_wrong: int = 0
    rec_holes: int = 0
    rec_ahead: int = 0
    rec_repeats: int = 0
    poison: int = 0
    dead_letters: int = 0
    dead_letters_missing: int = 0
    dead_letters_repeated: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return not any(getattr(self, name) for name in FAULTS)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def say(self, fault: str, what: str) -> None:
        """Keep the first few of each fault in words."""
        told = self.examples.setdefault(fault, [])
        if len(told) < SHOWN:
            told.append(what)


def judge(journal: list[Event], found: Found, poison: Mapping[Place, Poison] | None = None) -> Verdict:
    """Compare what was sent, good and bad, with what was found."""
    truth = truth_of(journal)
    verdict = Verdict(events=len(journal), users=len(truth))
    for user, facts in truth.items():
        _judge_state(user, facts, found.states.get(user, _NOBODY), verdict)
        _judge_redis(user, facts, found, verdict)
    for user in found.states.keys() - truth.keys():
        verdict.double += found.states[user].events
        verdict.say("double", f"{user}: has a state and sent nothing")
    _judge_recommendations(truth, found, verdict)
    _judge_dead_letters(poison or {}, found, verdict)
    return verdict


_NOBODY = Facts(0, 0, 0, 0, {}, {}, frozenset())


def _judge_state(user: str, truth: Facts, state: Facts, verdict: Verdict) -> None:
    # Both, since a retry that was applied is taken in as often as it should.
    over = (state.version - truth.version, state.events - truth.events)
    lost, double = max(0, -min(over)), max(0, *over)
    verdict.lost += lost
    verdict.double += double
    if lost or double:
        found, wanted = f"{state.version} taken in, {state.events} applied", f"{truth.version} and {truth.events}"
        verdict.say("lost" if lost else "double", f"{user}: {found}, should be {wanted}")
    elif state != truth:
        verdict.wrong += 1
        verdict.say("wrong", f"{user}: the state is {state}, should be {truth}")


def _judge_redis(user: str, truth: Facts, found: Found, verdict: Verdict) -> None:
    view = found.redis.get(user)
    fault = _redis_fault(truth, view)
    if fault:
        verdict.redis_wrong += 1
        verdict.say("redis_wrong", f"{user}: Redis {fault}: {view}, should be {truth}")


def _redis_fault(truth: Facts, view: RedisView | None) -> str | None:
    if not truth.events:
        shown = view is not None and (view.windows is not None or view.rec)
        return "still shows an erased user" if shown else None
    if view is None:
        return "lacks the user"
    if view.windows is None:
        return "has forgotten the user"
    if view.version != truth.version:
        return "has another version"
    if view.events != truth.events or not _same_windows(truth.windows, view.windows):
        return "counts differently"
    return None


def _same_windows(truth: Mapping[str, Mapping[str, int]], shown: Mapping[str, Mapping[str, Any]]) -> bool:
    """Redis shows the mean of the ratings, 0..1 to three digits, where the truth has their sum in thousandths."""
    return truth.keys() == shown.keys() and all(_same_window(truth[name], shown[name]) for name in truth)


def _same_window(truth: Mapping[str, int], shown: Mapping[str, Any]) -> bool:
    names = ("clicks", "dwell_ms", "ratings", "follows")
    mean = truth["rating_sum"] / truth["ratings"] / 1000 if truth["ratings"] else None
    close = shown["rating_mean"] is mean if mean is None else abs(shown["rating_mean"] - mean) < 0.00051
    return close and all(truth[name] == shown[name] for name in names)


def _judge_recommendations(truth: Mapping[str, Facts], found: Found, verdict: Verdict) -> None:
    verdict.rec_repeats = found.rec_repeats
    for (user, erased_at), published in found.sequences.items():
        verdict.recommendations += len(published)
        _count_holes(f"{user} since {erased_at}", published, max(published), verdict)
    for user, state in found.states.items():
        known, published = found.rec_seq[user], found.sequences.get((user, state.erased_at), set())
        ahead = max(published, default=0)
        verdict.rec_ahead += ahead > known
        if known > ahead:
            _count_holes(user, set(range(1, ahead + 1)), known, verdict)
        if user in truth and truth[user].events and not (known or published):
            verdict.rec_holes += 1
            verdict.say("rec_holes", f"{user}: was never recommended anything")


def _judge_dead_letters(poison: Mapping[Place, Poison], found: Found, verdict: Verdict) -> None:
    post = compare(poison, found.dead_letters, found.partitions)
    verdict.poison, verdict.dead_letters_repeated = len(poison), post.repeats
    verdict.dead_letters, verdict.dead_letters_missing = len(post.strange), len(post.missing)
    for what in post.strange:
        verdict.say("dead_letters", what)
    for what in post.missing:
        verdict.say("dead_letters_missing", what)


def _count_holes(who: str, published: Iterable[int], last: int, verdict: Verdict) -> None:
    missing = set(range(1, last + 1)) - set(published)
    verdict.rec_holes += len(missing)
    if missing:
        verdict.say("rec_holes", f"{who}: recommendations {sorted(missing)} of {last} were never published")
