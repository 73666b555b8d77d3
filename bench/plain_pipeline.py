"""The usual Python pipeline, as a baseline: paho callback, json.loads, Point, batching WriteApi.

It acknowledges on receipt and keeps nothing on disk. Run as a process:
`python -m bench.plain_pipeline HOST PORT USER PASSWORD CLIENT_ID INFLUX_URL ORG TOKEN BUCKET`.
"""

from __future__ import annotations

import json
import signal
import sys
import threading

import paho.mqtt.client as paho
from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import WriteOptions
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def main(arguments: list[str]) -> None:
    host, port, user, password, client_id, url, org, token, bucket = arguments
    influx = InfluxDBClient(url=url, token=token, org=org)
    write_api = influx.write_api(write_options=WriteOptions(batch_size=5_000, flush_interval=1_000))

    def on_message(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        _, _, site, family, *rest = message.topic.split("/")
        document = json.loads(message.payload)
        for reading in document if isinstance(document, list) else [document]:
            point = (
                Point(family)
                .tag("site", site)
                .tag("device", rest[0] if rest else reading["device"])
            )
            for name, value in reading["values"].items():
                point = point.field(name, float(value))
            write_api.write(bucket, org, point.time(reading["ts"], WritePrecision.MS))

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    client.username_pw_set(user, password)
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe("greendc/v1/#", qos=1)
    client.on_subscribe = lambda *_: print("subscribed", flush=True)
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 3600
    client.connect(host, int(port), clean_start=False, properties=session)
    client.loop_start()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(1):
        pass
    client.loop_stop()
    write_api.close()


if __name__ == "__main__":
    main(sys.argv[1:])
