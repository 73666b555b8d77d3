"""Accounts, passwords, token and certificates for a deployment, made once and then kept.

What is there is never made anew: a gateway that has its password keeps working. What follows from
the registry (access list, password file, configuration) is written at every call.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigurationError, Problem
from core.sites import SiteRegistry
from greendc.broker import (
    INGEST_ACCOUNT,
    BrokerListener,
    broker_accounts,
    render_acl,
    render_configuration,
    render_passwords,
)
from greendc.wiring import read_accounts

# Where a container sees what is in `broker/`.
BROKER_FOLDER = Path("/etc/greendc-broker")
_BROKER_DATA = Path("/mosquitto/data")
_TLS_PORT = 8883
_CA_DAYS, _SERVER_DAYS = 3650, 825
_KEY_KIND = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class WrittenSecrets:
    """What a call did.

    Attributes:
        made: Files that were not there before.
        accounts: Names of the broker's accounts.
    """

    made: tuple[str, ...]
    accounts: tuple[str, ...]


def write_secrets(folder: Path, registry: SiteRegistry, hosts: Sequence[str]) -> WrittenSecrets:
    """Write all files of a deployment into `folder`, which only its owner can open.

    The files inside are readable by anybody who gets past the folder: a container that has one of
    them mounted runs under an account of its own.

    Args:
        hosts: Names and addresses in the broker's certificate, beside `localhost` and `mosquitto`.

    Raises:
        ConfigurationError: The folder cannot be written, or there is no `openssl`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        broker = folder / "broker"
        broker.mkdir(exist_ok=True)
        broker.chmod(0o755)
        made = [
            name
            for name in ("influxdb-password", "influxdb-token", "mqtt-ingest-password")
            if _write_once(folder / name, secrets.token_urlsafe(32) + "\n")
        ]
        accounts = _accounts(folder, registry, made)
        _write(broker / "passwords", render_passwords(accounts))
        _write(broker / "acl", render_acl(registry))
        _write(broker / "mosquitto.conf", render_configuration(_listener()))
        made += _write_certificates(folder, hosts)
    except OSError as error:
        hint = "name a folder that this account can write, or correct its owner"
        problem = f"cannot be written: {error}"
        raise ConfigurationError([Problem(str(folder), "", problem, hint)]) from None
    return WrittenSecrets(tuple(made), tuple(accounts))


def _listener() -> BrokerListener:
    return BrokerListener(
        folder=_BROKER_DATA,
        files=BROKER_FOLDER,
        # Inside the network of the containers, which nothing outside reaches.
        bind="0.0.0.0",  # noqa: S104
        tls_port=_TLS_PORT,
        ca_file=str(BROKER_FOLDER / "ca.crt"),
        cert_file=str(BROKER_FOLDER / "server.crt"),
        key_file=str(BROKER_FOLDER / "server.key"),
    )


def _accounts(folder: Path, registry: SiteRegistry, made: list[str]) -> dict[str, str]:
    path = folder / "broker-accounts"
    known = read_accounts(path) if path.exists() else {}
    ingest = (folder / "mqtt-ingest-password").read_text(encoding="utf-8").strip()
    accounts = {
        name: ingest if name == INGEST_ACCOUNT else known.get(name) or secrets.token_urlsafe(24)
        for name in broker_accounts(registry)
    }
    # An account whose site has left the registry keeps its line, so that it can come back.
    lines = {**known, **accounts}
    lines.pop(INGEST_ACCOUNT, None)
    text = "".join(f"{name}:{password}\n" for name, password in sorted(lines.items()))
    if not path.exists():
        made.append(path.name)
    _write(path, text)
    return accounts


def _write_certificates(folder: Path, hosts: Sequence[str]) -> list[str]:
    names = dict.fromkeys(["localhost", "mosquitto", *hosts])
    wanted = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    broker = folder / "broker"
    made = []
    authority = (folder / "ca.key", broker / "ca.crt")
    if not all(path.exists() for path in authority):
        _openssl(
            ["req", "-x509", *_KEY_KIND, "-days", str(_CA_DAYS), "-subj", "/CN=greendc broker CA"],
            [
                *("-addext", "basicConstraints=critical,CA:TRUE"),
                *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            ],
            authority,
        )
        authority[0].chmod(0o600)
        made += ["ca.key", "broker/ca.crt"]
    server = (broker / "server.key", broker / "server.crt")
    named = broker / "server.names"
    is_current = named.exists() and named.read_text(encoding="utf-8") == wanted
    if not (is_current and all(path.exists() for path in server)):
        _openssl(
            ["req", "-x509", *_KEY_KIND, "-days", str(_SERVER_DAYS), "-subj", "/CN=greendc broker"],
            [
                *("-CA", str(authority[1]), "-CAkey", str(authority[0])),
                *("-addext", "basicConstraints=critical,CA:FALSE"),
                *("-addext", "keyUsage=critical,digitalSignature"),
                *("-addext", "extendedKeyUsage=serverAuth"),
                *("-addext", f"subjectAltName={wanted}"),
            ],
            server,
        )
        _write(named, wanted)
        made += ["broker/server.key", "broker/server.crt"]
    return made


def _openssl(head: list[str], tail: list[str], pair: tuple[Path, Path]) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise ConfigurationError(
            [Problem("openssl", "", "is not installed", "apt-get install openssl")]
        )
    key, certificate = pair
    with tempfile.TemporaryDirectory(dir=key.parent) as made_in:
        new_key, new_certificate = Path(made_in) / "key", Path(made_in) / "certificate"
        command = [
            program,
            *head,
            # Nothing of the machine's own configuration gets into the certificate.
            *("-config", os.devnull),
            *tail,
            *("-keyout", str(new_key), "-out", str(new_certificate)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            problem = f"openssl {head[0]} failed: {done.stderr.strip()[-500:]}"
            raise ConfigurationError([Problem("openssl", "", problem, "OpenSSL 3 is needed")])
        for made, target in ((new_key, key), (new_certificate, certificate)):
            made.chmod(0o444)
            made.replace(target)


def _is_address(name: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _write_once(path: Path, text: str) -> bool:
    if path.exists():
        return False
    _write(path, text)
    return True


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.write_text(text, encoding="utf-8")
    part.chmod(0o444)
    part.replace(path)
