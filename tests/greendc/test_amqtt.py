"""Without Mosquitto the demo takes amqtt: MQTT 3.1.1, and it says that it is not durable."""

import logging
from pathlib import Path

import pytest

from core.sites import SiteRegistry
from greendc import local_broker
from greendc.broker_probe import probe_broker


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_built_in_broker_answers_and_is_named_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(local_broker, "find_mosquitto", lambda: None)
    with caplog.at_level(logging.WARNING):
        broker = local_broker.start_local_broker(SiteRegistry([]), tmp_path)
    try:
        assert not broker.durable
        assert "NOT durable" in caplog.text
        connection = broker.connection()
        assert connection.version == 3
        assert connection.username
        assert probe_broker(connection) == "MQTT 3.1.1, accepted"
    finally:
        broker.stop()
