"""All targets by name."""

from tests.fuzz import documents, events, pages, redis_writes, states
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in [*events.TARGETS, *states.TARGETS, *documents.TARGETS, *pages.TARGETS, *redis_writes.TARGETS]
}

# Those whose readers are, in part, written in Python; the others' are compiled, and tell a guide nothing.
GUIDED = ("decode", "pointer", "redis-hash", "redis-card", "settings", "http-head")
