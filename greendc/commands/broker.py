"""`greendc broker acl`, `greendc broker config` and `greendc broker secrets`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from greendc.broker import BrokerListener, render_acl, render_configuration
from greendc.commands.answers import settings_of
from greendc.wiring import open_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc broker`."""
    parser.add_argument("action", choices=["acl", "config", "secrets"])
    parser.add_argument(
        "--folder",
        help="the broker's own data folder (default /mosquitto/data); where secrets are written "
        "(default secrets)",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        help="secrets: a name or address by which gateways reach the broker; may be repeated",
    )
    parser.add_argument("--bind", default="127.0.0.1", help="address of the plain listener")
    parser.add_argument("--port", type=int, default=1883, help="port of the plain listener")
    parser.add_argument("--tls-port", type=int, default=0, help="port of the TLS listener")
    parser.add_argument("--ca-file", default="")
    parser.add_argument("--cert-file", default="")
    parser.add_argument("--key-file", default="")


def run(arguments: argparse.Namespace) -> int:
    """Print the access list or the configuration, or write the files of a deployment."""
    if arguments.action == "secrets":
        return _write_secrets(arguments)
    if arguments.action == "acl":
        sys.stdout.write(render_acl(open_registry(settings_of(arguments))))
        return 0
    listener = BrokerListener(
        folder=Path(arguments.folder or "/mosquitto/data"),
        bind=arguments.bind,
        port=arguments.port,
        tls_port=arguments.tls_port,
        ca_file=arguments.ca_file,
        cert_file=arguments.cert_file,
        key_file=arguments.key_file,
    )
    sys.stdout.write(render_configuration(listener))
    return 0


def _write_secrets(arguments: argparse.Namespace) -> int:
    from greendc.broker_secrets import write_secrets

    folder = Path(arguments.folder or "secrets")
    registry = open_registry(settings_of(arguments))
    written = write_secrets(folder, registry, arguments.host)
    print(f"{folder}: {len(written.accounts)} broker accounts: {', '.join(written.accounts)}")
    print(f"{folder}: made {', '.join(written.made)}" if written.made else f"{folder}: all kept")
    print(f"gateways trust {folder / 'broker' / 'ca.crt'}; passwords: {folder / 'broker-accounts'}")
    return 0
