"""Kafka and Redis that let in only who has a key: TLS, passwords and rights, as in production.

Each has a plain back door on the loopback interface for the test itself.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from stream_app.local import LocalKafka, LocalValkey
from stream_app.local.server import HOST, free_port
from tests.authorities import Authority

USER, OPERATOR = "worker", "operator"
SESSION_S = 3


class GuardedKafka(LocalKafka):
    """Listeners: SASL_SSL on `sasl`, mutual TLS on `mutual`; `brief` is like `sasl`, and ends each connection after
    `SESSION_S`; `expired` is like `sasl`, with a certificate that has run out.

    `USER` has the rights that `admit` gives, `OPERATOR` all on the same topics and group, others none.
    """

    def __init__(self, folder: Path, authority: Authority, password: str) -> None:
        self._ca, self._password = authority.file, password
        self._certificate = authority.issue("server")
        self._expired = authority.issue("expired", expired=True)
        self._ports = {name: free_port() for name in ("SASL", "MUTUAL", "BRIEF", "EXPIRED")}
        super().__init__(folder)

    @property
    def sasl(self) -> str:
        return self._at("SASL")

    @property
    def mutual(self) -> str:
        return self._at("MUTUAL")

    @property
    def brief(self) -> str:
        return self._at("BRIEF")

    @property
    def expired(self) -> str:
        return self._at("EXPIRED")

    def _at(self, name: str) -> str:
        return f"{HOST}:{self._ports[name]}"

    def _properties(self) -> dict[str, object]:
        base = super()._properties()
        ours = ",".join(f"{name}://{self._at(name)}" for name in self._ports)
        protocols = ",".join(f"{name}:{'SSL' if name == 'MUTUAL' else 'SASL_SSL'}" for name in self._ports)
        by_password = {
            key: value for name in self._ports if name != "MUTUAL" for key, value in self._passwords(name).items()
        }
        return {
            **base,
            "listeners": f"{base['listeners']},{ours}",
            "advertised.listeners": f"{base['advertised.listeners']},{ours}",
            "listener.security.protocol.map": f"{base['listener.security.protocol.map']},{protocols}",
            **_key_store("", self._certificate),
            **_key_store("listener.name.expired.", self._expired),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": _one_line(self._ca),
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            **by_password,
            "listener.name.brief.scram-sha-512.connections.max.reauth.ms": SESSION_S * 1000,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    def _passwords(self, listener: str) -> dict[str, object]:
        where, modules = f"listener.name.{listener.lower()}", "org.apache.kafka.common.security"
        return {
            f"{where}.plain.sasl.jaas.config": (
                f'{modules}.plain.PlainLoginModule required user_{USER}="{self._password}";'
            ),
            f"{where}.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
        }

    def admit(self, group: str) -> None:
        """Passwords for SCRAM, and rights on everything whose name begins with the group's: a worker's, and all."""
        for user in (USER, OPERATOR):
            self.set_password(user, self._password)
        wanted = {
            ResourceType.TOPIC: ("READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"),
            ResourceType.GROUP: ("READ", "DESCRIBE"),
        }
        rights = [
            AclBinding(
                kind,
                group,
                ResourcePatternType.PREFIXED,
                f"User:{user}",
                "*",
                AclOperation[name],
                AclPermissionType.ALLOW,
            )
            for kind, names in wanted.items()
            for user, given in ((USER, names), (OPERATOR, ("ALL",)))
            for name in given
        ]
        admin = self._admin()
        for future in admin.create_acls(rights).values():
            future.result(30)

    def set_password(self, user: str, password: str) -> None:
        """From now on, for new connections."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        admin = self._admin()
        for future in admin.alter_user_scram_credentials([change]).values():
            future.result(30)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})


def _key_store(where: str, certificate: tuple[Path, Path]) -> dict[str, object]:
    cert, key = certificate
    return {
        f"{where}ssl.keystore.type": "PEM",
        f"{where}ssl.keystore.certificate.chain": _one_line(cert),
        f"{where}ssl.keystore.key": _one_line(key),
    }


def _one_line(pem: Path) -> str:
    return pem.read_text().replace("\n", "\\n")


class GuardedRedis(LocalValkey):
    """TLS on `tls_port`; the users of an ACL file. The plain port asks for the same passwords.

    As a `cluster` it is the one node of it, and nodes and clients speak TLS.
    """

    def __init__(
        self,
        folder: Path,
        binary: Path,
        authority: Authority,
        certificate: tuple[Path, Path],
        users: str,
        *,
        mutual: bool = False,
        cluster: bool = False,
    ) -> None:
        super().__init__(folder, binary=binary)
        self._authority, self._certificate, self._users, self._mutual = authority, certificate, users, mutual
        self._cluster = cluster
        self.tls_port = free_port()

    @property
    def tls_url(self) -> str:
        return f"rediss://{HOST}:{self.tls_port}/0"

    def _argv(self) -> Sequence[str]:
        users = self.folder / "users.acl"
        users.write_text(self._users)
        cert, key = self._certificate
        options: dict[str, Any] = {
            "tls-port": self.tls_port,
            "tls-cert-file": cert,
            "tls-key-file": key,
            "tls-ca-cert-file": self._authority.file,
            "tls-auth-clients": "yes" if self._mutual else "no",
            "aclfile": users,
        }
        if self._cluster:
            options |= {"cluster-enabled": "yes", "tls-cluster": "yes", "cluster-port": free_port()}
        return [*super()._argv(), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]

    def own_all_slots(self, username: str, password: str) -> None:
        """A cluster of one; returns once it serves."""
        with redis.Redis(port=self.port, username=username, password=password) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            while client.cluster("INFO")["cluster_state"] != "ok":
                time.sleep(0.05)

    def _answers(self) -> bool:
        with redis.Redis(port=self.port, socket_timeout=2) as client:
            try:
                client.ping()
            except redis.AuthenticationError:
                return True
            except redis.RedisError:
                return False
            return True
