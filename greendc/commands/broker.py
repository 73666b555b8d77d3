"""`greendc broker acl`, `config`, `secrets` and `certificates`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from core.errors import ConfigurationError, Problem
from greendc.broker import (
    INGEST_ACCOUNT,
    BrokerListener,
    ClientAuthority,
    render_acl,
    render_configuration,
)
from greendc.commands.answers import print_table, settings_of
from greendc.sparkplug_access import sparkplug_access
from greendc.wiring import open_mappings, open_registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `greendc broker`."""
    parser.add_argument("action", choices=["acl", "config", "secrets", "certificates"])
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
    parser.add_argument(
        "--tls-port", type=int, default=0, help="port of the TLS listener for passwords"
    )
    parser.add_argument("--cert-file", default="", help="certificate of the broker")
    parser.add_argument("--key-file", default="", help="its key")
    parser.add_argument(
        "--gateway-port", type=int, default=0, help="port for gateways with certificates"
    )
    parser.add_argument("--gateway-ca-file", default="", help="who signs those")
    parser.add_argument("--gateway-crl-file", default="", help="which of them are revoked")
    parser.add_argument(
        "--service-port", type=int, default=0, help="port for greendc's services elsewhere"
    )
    parser.add_argument("--service-ca-file", default="", help="who signs their certificates")
    parser.add_argument("--service-crl-file", default="", help="which of them are revoked")
    parser.add_argument(
        "--revoke",
        action="append",
        default=[],
        metavar="ACCOUNT",
        help="certificates: refuse the account's certificate and make another; may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the access list or the configuration, or write the files of a deployment."""
    if arguments.action == "secrets":
        return _write_secrets(arguments)
    if arguments.action == "certificates":
        return _write_certificates(arguments)
    if arguments.action == "acl":
        settings = settings_of(arguments)
        sparkplug = sparkplug_access(open_mappings(settings), host=INGEST_ACCOUNT)
        sys.stdout.write(render_acl(open_registry(settings), sparkplug=sparkplug))
        return 0
    sys.stdout.write(render_configuration(_listener(arguments)))
    return 0


def _listener(arguments: argparse.Namespace) -> BrokerListener:
    wanted = {
        "--cert-file": arguments.cert_file,
        "--key-file": arguments.key_file,
    }
    tls = {"--tls-port": arguments.tls_port}
    if arguments.gateway_port:
        wanted["--gateway-ca-file"] = arguments.gateway_ca_file
        tls["--gateway-port"] = arguments.gateway_port
    if arguments.service_port:
        wanted["--service-ca-file"] = arguments.service_ca_file
        tls["--service-port"] = arguments.service_port
    if any(tls.values()):
        problems = [
            Problem("command line", option, "is missing", "a TLS listener needs it")
            for option, value in wanted.items()
            if not value
        ]
        if problems:
            raise ConfigurationError(problems)
    return BrokerListener(
        folder=Path(arguments.folder or "/mosquitto/data"),
        bind=arguments.bind,
        port=arguments.port,
        tls_port=arguments.tls_port,
        cert_file=arguments.cert_file,
        key_file=arguments.key_file,
        gateways=_authority(
            arguments.gateway_port, arguments.gateway_ca_file, arguments.gateway_crl_file
        ),
        services=_authority(
            arguments.service_port, arguments.service_ca_file, arguments.service_crl_file
        ),
    )


def _authority(port: int, ca_file: str, crl_file: str) -> ClientAuthority | None:
    return ClientAuthority(port, ca_file, crl_file) if port else None


def _write_secrets(arguments: argparse.Namespace) -> int:
    from greendc.broker_secrets import write_secrets

    folder = Path(arguments.folder or "secrets")
    settings = settings_of(arguments)
    sparkplug = sparkplug_access(open_mappings(settings), host=INGEST_ACCOUNT)
    written = write_secrets(folder, open_registry(settings), arguments.host, sparkplug=sparkplug)
    print(f"{folder}: {len(written.accounts)} broker accounts: {', '.join(written.accounts)}")
    print(f"{folder}: made {', '.join(written.made)}" if written.made else f"{folder}: all kept")
    print(f"gateways trust {folder / 'broker' / 'ca.crt'}; passwords: {folder / 'broker-accounts'}")
    return 0


def _write_certificates(arguments: argparse.Namespace) -> int:
    from greendc.broker_secrets import write_client_certificates
    from greendc.certificates import check_certificate

    folder = Path(arguments.folder or "secrets")
    registry = open_registry(settings_of(arguments))
    written = write_client_certificates(folder, registry, revoke=arguments.revoke)
    rows = []
    for name, pair in written.files.items():
        done = "made" if name in written.made else "kept"
        rows.append((name, done, check_certificate(pair.certificate, time.time())[1]))
    print_table(["account", "", "certificate"], rows)
    if written.revoked:
        print(f"revoked: {', '.join(written.revoked)}; restart the broker so that it knows")
    return 0
