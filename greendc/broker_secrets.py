"""Accounts, passwords, token and certificates for a deployment, made once and then kept.

What is there is never made anew: a gateway that has its password keeps working. What follows from
the registry (access list, password file, configuration) is written at every call.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigurationError, Problem
from core.sites import SiteRegistry
from greendc.broker import (
    INGEST_ACCOUNT,
    MONITOR_ACCOUNT,
    SERVICE_ACCOUNTS,
    BrokerListener,
    ClientAuthority,
    broker_accounts,
    render_acl,
    render_configuration,
    render_passwords,
)
from greendc.certificates import (
    Pair,
    check_certificate,
    issue_certificate,
    make_authority,
    serial_of,
    write_revocations,
)
from greendc.wiring import read_accounts

# Where a container sees what is in `broker/`.
BROKER_FOLDER = Path("/etc/greendc-broker")
_BROKER_DATA = Path("/mosquitto/data")
_TLS_PORT, _GATEWAY_PORT, _SERVICE_PORT = 8883, 8884, 8885
# Whose certificates an authority signs.
GATEWAYS, SERVICES = "gateways", "services"
_ACCOUNT_FILES = {
    INGEST_ACCOUNT: "mqtt-ingest-password",
    MONITOR_ACCOUNT: "mqtt-monitor-password",
}


@dataclass(frozen=True, slots=True)
class WrittenSecrets:
    """What a call did.

    Attributes:
        made: Files that were not there before.
        accounts: Names of the broker's accounts.
    """

    made: tuple[str, ...]
    accounts: tuple[str, ...]


def write_secrets(
    folder: Path, registry: SiteRegistry, hosts: Sequence[str], *, sparkplug: Sequence[str] = ()
) -> WrittenSecrets:
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
            for name in ("influxdb-password", "influxdb-token", *_ACCOUNT_FILES.values())
            if _write_once(folder / name, secrets.token_urlsafe(32) + "\n")
        ]
        accounts = _accounts(folder, registry, made)
        _write(broker / "passwords", render_passwords(accounts))
        _write(broker / "acl", render_acl(registry, sparkplug=sparkplug))
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
        cert_file=str(BROKER_FOLDER / "server.crt"),
        key_file=str(BROKER_FOLDER / "server.key"),
        gateways=_client_authority(GATEWAYS, _GATEWAY_PORT),
        services=_client_authority(SERVICES, _SERVICE_PORT),
    )


def _client_authority(name: str, port: int) -> ClientAuthority:
    return ClientAuthority(port, f"{BROKER_FOLDER / name}-ca.crt", f"{BROKER_FOLDER / name}.crl")


def _accounts(folder: Path, registry: SiteRegistry, made: list[str]) -> dict[str, str]:
    path = folder / "broker-accounts"
    known = read_accounts(path) if path.exists() else {}
    accounts = {
        name: (folder / _ACCOUNT_FILES[name]).read_text(encoding="utf-8").strip()
        if name in _ACCOUNT_FILES
        else known.get(name) or secrets.token_urlsafe(24)
        for name in broker_accounts(registry)
    }
    # An account whose site has left the registry keeps its line, so that it can come back.
    lines = {
        name: text for name, text in {**known, **accounts}.items() if name not in _ACCOUNT_FILES
    }
    text = "".join(f"{name}:{password}\n" for name, password in sorted(lines.items()))
    if not path.exists():
        made.append(path.name)
    _write(path, text)
    return accounts


def _write_certificates(folder: Path, hosts: Sequence[str]) -> list[str]:
    """The broker's own certificate, and the authorities of its clients with what they revoked."""
    names = dict.fromkeys(["localhost", "mosquitto", *hosts])
    wanted = [f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names]
    broker = folder / "broker"
    made = []
    authority = Pair(folder / "ca.key", broker / "ca.crt")
    if make_authority("greendc broker CA", authority):
        made += ["ca.key", "broker/ca.crt"]
    server = Pair(broker / "server.key", broker / "server.crt")
    named = broker / "server.names"
    is_current = named.exists() and named.read_text(encoding="utf-8") == ",".join(wanted)
    if not (is_current and _is_good(server)):
        issue_certificate(authority, server, "greendc broker", usage="serverAuth", names=wanted)
        _write(named, ",".join(wanted))
        made += ["broker/server.key", "broker/server.crt"]
    return made + _write_authorities(folder)


def _write_authorities(folder: Path) -> list[str]:
    made = []
    for name in (GATEWAYS, SERVICES):
        authority = _authority(folder, name)
        if make_authority(f"greendc {name} CA", authority):
            made += [authority.key.name, f"broker/{authority.certificate.name}"]
        # Anew at each call, so that the list itself never ends before the authority does.
        revoked = [serial for serials in _read_revoked(folder, name).values() for serial in serials]
        write_revocations(authority, revoked, folder / "broker" / f"{name}.crl")
    return made


def _authority(folder: Path, name: str) -> Pair:
    return Pair(folder / f"{name}-ca.key", folder / "broker" / f"{name}-ca.crt")


def _is_good(pair: Pair) -> bool:
    return pair.exists() and check_certificate(pair.certificate, time.time())[0]


# ---------------------------------------------------------------- certificates of clients


@dataclass(frozen=True, slots=True)
class WrittenCertificates:
    """What a call did.

    Attributes:
        made: Accounts that got a certificate.
        revoked: Accounts whose certificate is good no more.
        files: Account -> key and certificate.
    """

    made: tuple[str, ...]
    revoked: tuple[str, ...]
    files: dict[str, Pair]


def write_client_certificates(
    folder: Path, registry: SiteRegistry, *, revoke: Sequence[str] = ()
) -> WrittenCertificates:
    """Give every account a certificate that is good for a month more, and revoke some.

    A revoked account gets another one at once: what was revoked is the key that got lost. Who is to
    have none leaves the registry.

    Args:
        folder: The folder of `write_secrets`.
        revoke: Accounts whose certificate is to be refused from the broker's next start on.

    Raises:
        ConfigurationError: The folder cannot be written, an account is not known, or there is no
            `openssl`.
    """
    try:
        clients = folder / "certificates"
        (folder / "broker").mkdir(parents=True, exist_ok=True)
        clients.mkdir(exist_ok=True)
        folder.chmod(0o700)
        _write_authorities(folder)
        files = {name: _client_pair(clients, name) for name in broker_accounts(registry)}
        # A site may have left the registry because its key is lost.
        known = {*files, *(path.stem for path in clients.glob("*.crt"))}
        for name in revoke:
            pair = _client_pair(clients, name)
            if name not in known or not pair.exists():
                hint = f"one of {', '.join(sorted(known))}"
                problem = "has no certificate that could be revoked"
                raise ConfigurationError([Problem(str(clients), name, problem, hint)])
            _revoke(folder, name, pair)
        made = []
        for name, pair in files.items():
            if not _is_good(pair):
                authority = _authority(folder, _signer(name))
                issue_certificate(authority, pair, name, usage="clientAuth")
                made.append(name)
    except OSError as error:
        hint = "name a folder that this account can write, or correct its owner"
        problem = f"cannot be written: {error}"
        raise ConfigurationError([Problem(str(folder), "", problem, hint)]) from None
    return WrittenCertificates(tuple(made), tuple(revoke), files)


def _signer(account: str) -> str:
    return SERVICES if account in SERVICE_ACCOUNTS else GATEWAYS


def _client_pair(clients: Path, account: str) -> Pair:
    return Pair(clients / f"{account}.key", clients / f"{account}.crt")


def _revoke(folder: Path, account: str, pair: Pair) -> None:
    signer = _signer(account)
    revoked = _read_revoked(folder, signer)
    revoked.setdefault(account, []).append(serial_of(pair.certificate))
    # First noted, then forgotten: a call that is cut off in between can be made again.
    _write(folder / f"{signer}-revoked.json", json.dumps(revoked, indent=1) + "\n")
    pair.certificate.unlink()
    pair.key.unlink()
    _write_authorities(folder)


def _read_revoked(folder: Path, signer: str) -> dict[str, list[int]]:
    path = folder / f"{signer}-revoked.json"
    if not path.exists():
        return {}
    found: dict[str, list[int]] = json.loads(path.read_text(encoding="utf-8"))
    return found


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
