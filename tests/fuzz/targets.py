"""All targets by name."""

from tests.fuzz import documents, events, pages, states
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target for target in [*events.TARGETS, *states.TARGETS, *documents.TARGETS, *pages.TARGETS]
}
