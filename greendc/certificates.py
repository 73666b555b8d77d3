"""Authorities and certificates of a deployment, made by `openssl`, and what a certificate says.

Three authorities, because a certificate is worth what its authority may say: one for the broker
itself, which clients trust; one for gateways of sites; one for our own services. Each has a list of
revoked certificates, which the broker reads at its start.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import ConfigurationError, Problem
from greendc.settings import MqttSettings

# A certificate is made anew, and warned of, so long before it ends.
RENEW_DAYS = 30
_AUTHORITY_DAYS, _CERTIFICATE_DAYS = 3650, 825
_DAY_S = 86_400.0
_KEY_KIND = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0
_CRL_CONFIGURATION = """\
[ca]
default_ca = authority
[authority]
database = {folder}/index
crlnumber = {folder}/number
default_md = sha256
default_crl_days = {days}
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its certificate, two PEM files."""

    key: Path
    certificate: Path

    def exists(self) -> bool:
        """Whether both are there."""
        return self.key.exists() and self.certificate.exists()


# ---------------------------------------------------------------- what a certificate says


def certificate_files(mqtt: MqttSettings) -> list[Path]:
    """The certificates that a connection uses or trusts."""
    return [path for path in (mqtt.ca_file, mqtt.cert_file) if path is not None]


def certificate_end_s(path: Path) -> float:
    """The last moment of a PEM file's certificates, seconds since 1970; the earliest of several.

    Raises:
        ConfigurationError: The file cannot be read or holds no certificate.
    """
    return min(end for _, end in _read(path))


def check_certificate(path: Path, now_s: float) -> tuple[bool, str]:
    """Whether a certificate is good for a month more, and what to say of it.

    Raises:
        ConfigurationError: The file cannot be read or holds no certificate.
    """
    return check_end(str(path), certificate_end_s(path), now_s)


def check_end(what: str, end_s: float, now_s: float) -> tuple[bool, str]:
    """Whether something that ends then is good for a month more, and what to say of it."""
    day = datetime.fromtimestamp(end_s, UTC).date().isoformat()
    days = (end_s - now_s) / _DAY_S
    if days < 0:
        return False, f"{what} has ended on {day}"
    return days >= RENEW_DAYS, f"{what} ends on {day}, in {days:.0f} days"


def _read(path: Path) -> list[tuple[int, float]]:
    """Serial and end of each certificate of a PEM file."""
    hint = "name a readable PEM file"
    try:
        blocks = _PEM.findall(path.read_text(encoding="ascii"))
        found = [_serial_and_end(ssl.PEM_cert_to_DER_cert(block)) for block in blocks]
    except (OSError, ValueError, IndexError) as error:
        problem = f"cannot be read as a certificate: {error}"
        raise ConfigurationError([Problem(str(path), "", problem, hint)]) from None
    if not found:
        raise ConfigurationError([Problem(str(path), "", "holds no certificate", hint)])
    return found


def _serial_and_end(der: bytes) -> tuple[int, float]:
    # Certificate > tbsCertificate > [version], serial, algorithm, issuer, validity (RFC 5280, 4.1).
    (_, certificate), *_ = _parts(der)
    (_, signed), *_ = _parts(certificate)
    parts = _parts(signed)
    tag, body = next(parts)
    if tag == _VERSION:
        _, body = next(parts)
    serial = int.from_bytes(body, "big")
    next(parts)
    next(parts)
    _, validity = next(parts)
    _, (tag, text) = tuple(_parts(validity))
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[tag]
    return serial, datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER value in `data`."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length > 127:
            size = length & 127
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        yield tag, data[at : at + length]
        at += length


# ---------------------------------------------------------------- making them


def make_authority(name: str, pair: Pair) -> bool:
    """Make an authority where there is none; whether one was made.

    Raises:
        ConfigurationError: `openssl` is missing or fails.
    """
    if pair.exists():
        return False
    _request(
        ["-days", str(_AUTHORITY_DAYS), "-subj", f"/CN={name}"],
        [
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        ],
        pair,
    )
    pair.key.chmod(0o600)
    return True


def issue_certificate(
    authority: Pair, pair: Pair, name: str, *, usage: str, names: Sequence[str] = ()
) -> None:
    """Make a key and a certificate, in place of what is there.

    Args:
        name: The common name; of a client it is its account.
        usage: `serverAuth` or `clientAuth`.
        names: Alternative names, as `DNS:…` or `IP:…`.

    Raises:
        ConfigurationError: `openssl` is missing or fails.
    """
    alternative = ("-addext", f"subjectAltName={','.join(names)}") if names else ()
    _request(
        ["-days", str(_CERTIFICATE_DAYS), "-subj", f"/CN={name}"],
        [
            *("-CA", str(authority.certificate), "-CAkey", str(authority.key)),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-addext", "keyUsage=critical,digitalSignature"),
            *("-addext", f"extendedKeyUsage={usage}"),
            *alternative,
        ],
        pair,
    )


def write_revocations(authority: Pair, serials: Sequence[int], path: Path) -> None:
    """Write the authority's list of revoked certificates.

    Raises:
        ConfigurationError: `openssl` is missing or fails.
    """
    with tempfile.TemporaryDirectory(dir=authority.key.parent) as made_in:
        folder = Path(made_in)
        moment = datetime.now(UTC).strftime("%y%m%d%H%M%SZ")
        rows = [
            f"R\t{moment}\t{moment}\t{_hex(serial)}\tunknown\t/CN=revoked\n" for serial in serials
        ]
        (folder / "index").write_text("".join(rows), encoding="ascii")
        (folder / "number").write_text(f"{_hex(int(time.time()))}\n", encoding="ascii")
        configuration = _CRL_CONFIGURATION.format(folder=folder, days=_AUTHORITY_DAYS)
        (folder / "configuration").write_text(configuration, encoding="utf-8")
        made = folder / "list"
        _openssl(
            [
                *("ca", "-gencrl", "-config", str(folder / "configuration")),
                *("-cert", str(authority.certificate), "-keyfile", str(authority.key)),
                *("-out", str(made)),
            ]
        )
        made.chmod(0o444)
        made.replace(path)


def serial_of(path: Path) -> int:
    """Serial number of a PEM file's first certificate.

    Raises:
        ConfigurationError: The file cannot be read or holds no certificate.
    """
    return _read(path)[0][0]


def _hex(number: int) -> str:
    digits = f"{number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def _request(head: list[str], tail: list[str], pair: Pair) -> None:
    with tempfile.TemporaryDirectory(dir=pair.key.parent) as made_in:
        new = Pair(Path(made_in) / "key", Path(made_in) / "certificate")
        _openssl(
            [
                *("req", "-x509", *_KEY_KIND, *head),
                # Nothing of the machine's own configuration gets into the certificate.
                *("-config", os.devnull),
                *tail,
                *("-keyout", str(new.key), "-out", str(new.certificate)),
            ]
        )
        for made, target in ((new.key, pair.key), (new.certificate, pair.certificate)):
            made.chmod(0o444)
            made.replace(target)


def _openssl(arguments: list[str]) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise ConfigurationError(
            [Problem("openssl", "", "is not installed", "apt-get install openssl")]
        )
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        problem = f"openssl {arguments[0]} failed: {done.stderr.strip()[-500:]}"
        raise ConfigurationError([Problem("openssl", "", problem, "OpenSSL 3 is needed")])
