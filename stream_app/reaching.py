"""Why Kafka cannot be reached, in words that say what to do."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from stream_app.settings import Kafka, Settings

REACH_TIMEOUT_MS = 5_000
ADMIT_TIMEOUT_MS = 15_000


class KafkaUnreachableError(RuntimeError):
    """No broker answers, or none that lets us in. The message says what to do."""


def reach_timeout_ms(kafka: Kafka) -> int:
    """How long to try. A busy broker takes seconds over certificates and passwords, and a refusal ends it anyway."""
    return REACH_TIMEOUT_MS if kafka.security.protocol == "PLAINTEXT" else ADMIT_TIMEOUT_MS


@contextmanager
def reaching(settings: Settings, *kinds: type[Exception]) -> Iterator[None]:
    """What kafka-python raises inside as `KafkaUnreachableError`.

    That client tries again until its time is over and then says no more than that; why it was turned away it only logs.
    """
    logger, reasons = logging.getLogger("kafka.net.manager"), _Reasons(settings.kafka)
    before = logger.level, logger.propagate
    expected: tuple[type[Exception], ...] = (*kinds, _TurnedAway)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(reasons)
    try:
        yield
    except expected as problem:
        raise KafkaUnreachableError(_why(settings.kafka, problem, reasons.told)) from problem
    finally:
        logger.removeHandler(reasons)
        logger.level, logger.propagate = before


class _TurnedAway(Exception):  # noqa: N818  # it is caught in this module
    """Asking again would not help."""


class _Reasons(logging.Handler):
    """Hears why each attempt failed, and ends them (`_TurnedAway`) where another would fail as well: between two of
    them the client does nothing but log."""

    def __init__(self, kafka: Kafka) -> None:
        super().__init__()
        self._one_address = "," not in kafka.bootstrap
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Bootstrap connection to "):
            self.told.append(text)
            if _is_about_us(text) or (_is_about_a_certificate(text) and self._one_address):
                raise _TurnedAway(text)


def _is_about_us(text: str) -> bool:
    return "SaslAuthenticationFailed" in text or "UnsupportedSaslMechanism" in text


def _is_about_a_certificate(text: str) -> bool:
    return "certificate" in text.lower()


def _why(kafka: Kafka, problem: Exception, told: Sequence[str]) -> str:
    from kafka.errors import AuthorizationError, SaslAuthenticationFailedError

    where, by_password = kafka.bootstrap, kafka.security.by_password
    if isinstance(problem, AuthorizationError):
        return f"Kafka at {where} forbids it ({problem}): give {kafka.security.username or 'this client'} the right"
    # A broker closes the connection a moment after it has said no; a client that reads late gets the end alone.
    hung_up = by_password and bool(told) and "socket disconnected" in told[-1]
    if isinstance(problem, SaslAuthenticationFailedError) or any(map(_is_about_us, told)) or hung_up:
        return (
            f"Kafka at {where} does not accept {kafka.security.username or 'this client'} by "
            f"{kafka.security.mechanism}: check INTEREST_KAFKA__SECURITY__USERNAME, ..__PASSWORD, ..__MECHANISM and"
            " ..__PROTOCOL"
        )
    refused = next((text for text in told if "Handshake failed" in text or _is_about_a_certificate(text)), "")
    if refused:
        reason = refused.partition(" failed: ")[2].rpartition("Handshake failed: ")[2].rpartition(" (backoff")[0]
        return (
            f"no TLS with Kafka at {where} ({reason}): check INTEREST_KAFKA__SECURITY__CA_FILE, the names and the dates"
            " in the certificates, and that the port speaks TLS"
        )
    return f"no Kafka answers at {where}: start it, or name yours with --kafka HOST:PORT or INTEREST_KAFKA__BOOTSTRAP"
