"""Members tell the group their terms when they join, and a newcomer compares.

The terms travel with the subscription, which Kafka keeps for as long as the member stays and no longer: nothing has to
be stored, expired or cleaned up.
"""

import json
from collections.abc import Mapping
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor import PartitionAssignor

_TERMS = "interest_terms"


class AnnouncingAssignor(PartitionAssignor):
    """Faust's assignor, whose members' notes carry the worker's terms too."""

    def metadata(self, topics: set[str]) -> Any:
        notes = json.loads(super().metadata(topics).user_data)
        terms = json.dumps({**notes, _TERMS: self.app.terms}).encode()
        return ConsumerProtocolMemberMetadata(self.version, list(topics), terms)


def terms_in(member_metadata: bytes) -> Mapping[str, str]:
    """What a member announced; nothing if it is of a release that did not."""
    notes = json.loads(ConsumerProtocolMemberMetadata.decode(member_metadata).user_data)
    terms: Mapping[str, str] = notes.get(_TERMS, {})
    return terms
