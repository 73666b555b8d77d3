"""`greendc broker acl` and `greendc broker config`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from greendc.broker import BrokerListener, render_acl, render_configuration
from greendc.commands.answers import settings_of
from greendc.wiring import open_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc broker`."""
    parser.add_argument("action", choices=["acl", "config"])
    parser.add_argument("--folder", default="/mosquitto/data", help="the broker's own data folder")
    parser.add_argument("--bind", default="127.0.0.1", help="address of the plain listener")
    parser.add_argument("--port", type=int, default=1883, help="port of the plain listener")
    parser.add_argument("--tls-port", type=int, default=0, help="port of the TLS listener")
    parser.add_argument("--ca-file", default="")
    parser.add_argument("--cert-file", default="")
    parser.add_argument("--key-file", default="")


def run(arguments: argparse.Namespace) -> int:
    """Print the access list or the configuration for the registry."""
    if arguments.action == "acl":
        sys.stdout.write(render_acl(open_registry(settings_of(arguments))))
        return 0
    listener = BrokerListener(
        folder=Path(arguments.folder),
        bind=arguments.bind,
        port=arguments.port,
        tls_port=arguments.tls_port,
        ca_file=arguments.ca_file,
        cert_file=arguments.cert_file,
        key_file=arguments.key_file,
    )
    sys.stdout.write(render_configuration(listener))
    return 0
