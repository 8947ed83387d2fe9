"""Rights in Kafka that are taken away and given back while a worker runs."""

import time

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

GUARDED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""Properties of a broker that lets everybody do everything until told otherwise."""

EVERYBODY = "User:ANONYMOUS"
WAIT_S = 30.0


def withdraw(bootstrap: str, kind: ResourceType, name: str, operation: AclOperation) -> None:
    """Nobody may do this any more to the topic or group of that name; all else they may."""
    # Where a resource has rules, what none of them allows is forbidden.
    rules = [_rule(kind, name, AclOperation.ALL, AclPermissionType.ALLOW)]
    rules.append(_rule(kind, name, operation, AclPermissionType.DENY))
    admin = _admin(bootstrap)  # a client that nobody holds ends at once
    for future in admin.create_acls(rules, request_timeout=WAIT_S).values():
        future.result()
    _wait(admin, kind, name, len(rules))


def give_back(bootstrap: str, kind: ResourceType, name: str) -> None:
    """No rules for it any more."""
    admin = _admin(bootstrap)
    for future in admin.delete_acls([_rules_of(kind, name)], request_timeout=WAIT_S).values():
        future.result()
    _wait(admin, kind, name, 0)


def _wait(admin: AdminClient, kind: ResourceType, name: str, rules: int) -> None:
    """Until the broker goes by so many rules."""
    until_s = time.monotonic() + WAIT_S
    while len(admin.describe_acls(_rules_of(kind, name), request_timeout=WAIT_S).result()) != rules:
        if time.monotonic() > until_s:
            raise TimeoutError(f"{name} has not {rules} rules after {WAIT_S:.0f} s")
        time.sleep(0.05)


def _rule(kind: ResourceType, name: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, EVERYBODY, "*", operation, permission)


def _rules_of(kind: ResourceType, name: str) -> AclBindingFilter:
    return AclBindingFilter(
        kind, name, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
    )


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
