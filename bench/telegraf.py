"""Telegraf at its best, as the one to beat: what it is given, and how it is started.

`bench/build_telegraf.sh` builds it. Its settings are those with which it did best: bodies of 10,000
lines, gzip, the parser `json_v2` or `influx` in its newer form, and a collector that runs less
often. Its acknowledgements wait for the store (`persistent_session`), as ours wait for the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.load import Form, Load
from core.connections import MqttConnection

VERSION = "1.37.3"
ENVIRONMENT = {"GOGC": "400"}
_BATCH = 10_000
_UNDELIVERED = 50_000


def program() -> Path:
    """Where the build script leaves it."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "greendc" / f"telegraf-{VERSION}"


def is_there() -> bool:
    """Whether it has been built."""
    return os.access(program(), os.X_OK)


def render_configuration(
    connection: MqttConnection,
    client_id: str,
    load: Load,
    form: Form,
    *,
    url: str,
    org: str,
    token: str,
    bucket: str,
) -> str:
    """Its configuration for one kind of load."""
    lines = form == "lines"
    single = load.shape.per_message == 1
    levels = "+/+/+" if single else "+/+"
    topic = "telegraf/#" if lines else f"greendc/v1/{levels}"
    text = f"""
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = {_BATCH}
  metric_buffer_limit = {10 * _UNDELIVERED}
  omit_hostname = true

[[outputs.influxdb_v2]]
  urls = ["{url}"]
  token = "{token}"
  organization = "{org}"
  bucket = "{bucket}"
  content_encoding = "gzip"

[[inputs.mqtt_consumer]]
  servers = ["tcp://{connection.host}:{connection.port}"]
  username = "{connection.username}"
  password = "{connection.password}"
  client_id = "{client_id}"
  topics = ["{topic}"]
  topic_tag = ""
  qos = 1
  persistent_session = true
  max_undelivered_messages = {max(1, _UNDELIVERED // load.shape.per_message)}
"""
    if lines:
        return text + '  data_format = "influx"\n  influx_parser_type = "upstream"\n'
    device = "_/_/site/_/device" if single else "_/_/site/_"
    stamp = "2006-01-02T15:04:05.000Z07:00" if single else "unix_ms"
    named = "" if single else '      tags = ["device"]\n'
    return (
        text
        + f"""  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "{topic}"
    tags = "{device}"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "{load.family}"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "@this"
      timestamp_key = "ts"
      timestamp_format = "{stamp}"
      disable_prepend_keys = true
{named}"""
    )
