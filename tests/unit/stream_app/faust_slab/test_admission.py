"""Which failed connections end a worker, and which are aiokafka's to repeat."""

import asyncio
import ssl
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from stream_app.contracts.errors import StopWorker
from stream_app.faust_slab import admission


def _closed_because(cause: Exception) -> KafkaConnectionError:
    """As aiokafka reports what ends a connection between the handshake and the first answer."""
    error = KafkaConnectionError("Connection at kafka:9093 closed")
    error.__cause__ = cause
    return error


UNKNOWN_SERVER = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired")
UNKNOWN_CLIENT = ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired")


@pytest.mark.parametrize(
    ("error", "stops"),
    [
        (SaslAuthenticationFailed("invalid credentials"), True),
        (UnsupportedSaslMechanismError("not SCRAM"), True),
        (UNKNOWN_SERVER, True),
        (_closed_because(UNKNOWN_CLIENT), True),
        (_closed_because(ConnectionResetError("reset by peer")), False),
        (ConnectionRefusedError("away"), False),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), False),
        (KafkaConnectionError("Connection at kafka:9093 closed"), False),
    ],
)
def test_a_refusal_stops_and_what_passes_is_raised(
    error: Exception, stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_args: Any, **_options: Any) -> None:
        raise error

    def stopped(_where: str, reason: StopWorker) -> None:
        raise reason

    monkeypatch.setattr(admission, "create_conn", refused)
    monkeypatch.setattr(admission, "stop_process", stopped)
    with pytest.raises(StopWorker if stops else type(error)) as raised:
        asyncio.run(admission._connect("kafka", 9093))
    assert not stops or "no longer accept each other" in str(raised.value)
