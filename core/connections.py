"""How to reach an MQTT broker: plain values that any room may hand to its own client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class MqttConnection:
    """A broker and the account used there.

    Attributes:
        version: 5, or 3 for MQTT 3.1.1; never changed silently.
        tls: Whether the URL was `mqtts://`.
        password: Never shown by `repr`.
        ca_file, cert_file, key_file: PEM files; empty where not used.
    """

    host: str
    port: int
    version: Literal[3, 5] = 5
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @property
    def url(self) -> str:
        """The address without the account, for messages."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"
