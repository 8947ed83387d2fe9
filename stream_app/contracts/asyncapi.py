"""All topics in one AsyncAPI 3.0 document, as this project sees them: it receives the inputs and sends the others."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream_app.contracts.cloud_events import STRUCTURED, Envelope
from stream_app.contracts.schemas import VERSION, Contract, Schema, schema_of

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_BINDING = "0.5.0"  # of Kafka's
_LISTS, _NUMBERS = ("cleanup.policy",), ("retention.ms", "delete.retention.ms", "max.message.bytes")
_ABOUT = (
    "Who a user is now: interests out of clicks, follows and ratings, in milliseconds. Every record has a key; the"
    " topics of events are partitioned by murmur2 of it, as Kafka's own clients do. Unknown fields are ignored."
)
_ENVELOPED = (
    " Also taken as a CloudEvent: in structured mode the second message; in binary mode the first, with the attributes"
    " in headers `ce_id`, `ce_source`, `ce_specversion`, `ce_type` and, where they are to fill in fields, `ce_time` and"
    " `ce_subject`."
)


def document(
    contracts: Sequence[Contract], topics: Mapping[str, str], configs: Mapping[str, Mapping[str, str]]
) -> Schema:
    """`topics`: contract -> its topic's name; `configs`: topic -> what it is configured as in Kafka."""
    inputs = [one for one in contracts if one.flow == "in"]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "interest-updater", "version": f"{VERSION}.0.0", "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {one.name: _channel(one, topics[one.name], configs[topics[one.name]]) for one in contracts},
        "operations": {_operation_name(one): _operation(one) for one in contracts},
        "components": {
            "messages": {
                **{one.title: _message(one) for one in contracts},
                **{_enveloped_name(one): _enveloped(one) for one in inputs},
            },
            "schemas": {
                **{one.name: _bare(one.schema) for one in contracts},
                "cloud-event": {**schema_of(Envelope, {"data": {"type": "object"}}), "title": "CloudEvent"},
            },
        },
    }


def _channel(contract: Contract, topic: str, configs: Mapping[str, str]) -> Schema:
    messages = [contract.title, *([_enveloped_name(contract)] if contract.flow == "in" else [])]
    told = str(contract.schema["description"]) + (_ENVELOPED if contract.flow == "in" else "")
    return {
        "address": topic,
        "description": f"The key is {contract.key}. {told}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {"topic": topic, "topicConfiguration": _configuration(configs), "bindingVersion": _BINDING}
        },
    }


def _configuration(configs: Mapping[str, str]) -> dict[str, Any]:
    """Those that the binding has words for."""
    lists = {name: configs[name].split(",") for name in _LISTS if name in configs}
    return lists | {name: int(configs[name]) for name in _NUMBERS if name in configs}


def _operation_name(contract: Contract) -> str:
    return ("receive-" if contract.flow == "in" else "send-") + contract.name


def _operation(contract: Contract) -> Schema:
    return {
        "action": "receive" if contract.flow == "in" else "send",
        "channel": {"$ref": f"#/channels/{contract.name}"},
    }


def _message(contract: Contract) -> Schema:
    schema = {"$ref": f"#/components/schemas/{contract.name}"}
    head = {"name": contract.title, "title": contract.title}
    example = contract.schema["examples"][0]
    if contract.part == "headers":
        anything = {"description": "The original's bytes."}
        told = {"contentType": "application/octet-stream", "headers": schema, "payload": anything}
    else:
        told = {"contentType": "application/json", "payload": schema}
    examples = [{"headers" if contract.part == "headers" else "payload": example}]
    return {**head, **told, "bindings": _key(contract), "examples": examples}


def _enveloped_name(contract: Contract) -> str:
    return f"{contract.title}CloudEvent"


def _enveloped(contract: Contract) -> Schema:
    name = _enveloped_name(contract)
    payload = {"$ref": "#/components/schemas/cloud-event"}
    return {"name": name, "title": name, "contentType": STRUCTURED, "payload": payload, "bindings": _key(contract)}


def _key(contract: Contract) -> Schema:
    key = {"type": "string", "description": contract.key}
    return {"kafka": {"key": key, "bindingVersion": _BINDING}}


def _bare(schema: Schema) -> Schema:
    """AsyncAPI has names of its own, and a dialect in which our keywords mean the same."""
    return {name: value for name, value in schema.items() if not name.startswith("$")}


def as_yaml(document: Schema) -> str:
    """In blocks; scalars as JSON has them, which YAML takes for the same, but for unprintable characters (escaped) and
    a number like 1e5 (1.0e5)."""
    return "\n".join(_lines(document, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    entries = (
        [(f"{name}:", one) for name, one in value.items()] if isinstance(value, dict) else [("-", one) for one in value]
    )
    for head, one in entries:
        if isinstance(one, dict | list) and one:
            yield indent + head
            yield from _lines(one, indent + "  ")
        else:
            yield f"{indent}{head} {_scalar(one)}"


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "." not in text:
        return text.replace("e", ".0e")
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
