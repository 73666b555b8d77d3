"""One short connection to the broker, to tell what it answers."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from core.connections import MqttConnection
from core.errors import StoreMisconfiguredError, StoreUnavailableError
from ingest.subscriber import tls_context, use_account

_WAIT_S = 5.0


def read_broker_certificate_end_s(connection: MqttConnection) -> float:
    """Last moment of the certificate that the broker shows, seconds since 1970.

    Raises:
        ConfigurationError: TLS files cannot be used.
        StoreUnavailableError: Nothing answers there, or its certificate is not trusted.
    """
    place = connection.host, connection.port
    context = tls_context(connection)
    try:
        with (
            socket.create_connection(place, timeout=_WAIT_S) as plain,
            context.wrap_socket(plain, server_hostname=connection.host) as secured,
        ):
            told = secured.getpeercert() or {}
    except (OSError, ssl.SSLError) as error:
        raise StoreUnavailableError(f"no TLS at {connection.url}: {error}") from None
    return float(ssl.cert_time_to_seconds(str(told["notAfter"])))


def probe_broker(connection: MqttConnection) -> str:
    """Connect with a client id of its own, read the answer, disconnect.

    Returns:
        What was found, for people.

    Raises:
        StoreUnavailableError: Nothing answers there.
        StoreMisconfiguredError: The broker refuses the account or the protocol version.
    """
    answered = threading.Event()
    reasons: list[Any] = []

    def on_connect(
        client: paho.Client, userdata: object, flags: object, reason: Any, properties: object
    ) -> None:
        reasons.append(reason)
        answered.set()

    version = paho.MQTTv5 if connection.version == 5 else paho.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=version)
    client.on_connect = on_connect
    use_account(client, connection)
    try:
        client.connect(connection.host, connection.port, keepalive=10)
    except (OSError, ssl.SSLError) as error:
        raise StoreUnavailableError(f"no broker answers at {connection.url}: {error}") from None
    client.loop_start()
    try:
        if not answered.wait(_WAIT_S):
            raise StoreUnavailableError(f"the broker at {connection.url} took no MQTT connection")
        if reasons[0].is_failure:
            raise StoreMisconfiguredError(
                f"the broker at {connection.url} refuses {connection.username or 'anonymous'}: "
                f"{reasons[0]}"
            )
    finally:
        client.disconnect()
        client.loop_stop()
    return f"MQTT {'5' if connection.version == 5 else '3.1.1'}, accepted"
