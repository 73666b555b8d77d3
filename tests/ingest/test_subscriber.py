"""What the MQTT side says of its connection."""

from __future__ import annotations

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from core.clock import SystemClock
from core.connections import MqttConnection
from ingest.inbox import Inbox
from ingest.limits import IngestLimits
from ingest.subscriber import MqttSubscriber


def test_a_second_process_under_the_same_client_id_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Mosquitto 2.0.11 only closes the connection; others say why.
    inbox = Inbox(IngestLimits())
    connection = MqttConnection("127.0.0.1", 1)
    subscriber = MqttSubscriber(connection, "greendc-ingest-0", [], inbox, SystemClock())
    taken_over = ReasonCode(PacketTypes.DISCONNECT, "Session taken over")
    subscriber._client.on_disconnect(subscriber._client, None, None, taken_over, None)
    assert "another process has taken the session greendc-ingest-0" in caplog.text
    assert "GREENDC_INGEST__PARTITIONS" in caplog.text
