"""Certificates: what one says, authorities that are apart, revocation, renewal before the end."""

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.site_files import build_registry, parse_site_files
from core.sites import SiteRegistry
from greendc.broker import INGEST_ACCOUNT, MONITOR_ACCOUNT, render_acl
from greendc.broker_secrets import write_client_certificates, write_secrets
from greendc.certificates import certificate_end_s, check_certificate, serial_of
from greendc.cli import main
from greendc.commands import doctor
from greendc.settings import load_settings
from tests.greendc.test_broker_files import SITE

DAY_S = 86_400


def registry_of(*gateways: str) -> SiteRegistry:
    site = SITE.format(id="site-a", status="operating")
    return build_registry({"a": f"gateways = {list(gateways)}\n{site}"})


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployment") / "secrets"
    write_secrets(folder, registry_of("roof"), [])
    write_client_certificates(folder, registry_of("roof"))
    return folder


def openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_end_and_serial_are_those_that_openssl_reads(secrets: Path) -> None:
    for name in ("broker/ca.crt", "broker/server.crt", "certificates/site-a.crt"):
        path = secrets / name
        shown = openssl("x509", "-in", str(path), "-noout", "-enddate", "-serial", "-dateopt",
                        "iso_8601").splitlines()  # fmt: skip
        end = datetime.fromtimestamp(certificate_end_s(path), UTC)
        assert f"notAfter={end:%Y-%m-%d %H:%M:%S}Z" == shown[0]
        assert f"serial={serial_of(path):X}" == shown[1].replace("serial=0", "serial=")


def test_a_far_end_is_written_in_another_form_and_read_all_the_same(tmp_path: Path) -> None:
    # From 2050 on the time has four digits of the year (RFC 5280, 4.1.2.5).
    path = tmp_path / "far.crt"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "20000", "-subj", "/CN=far", "-out", str(path)),
        *("-keyout", str(tmp_path / "far.key")),
    )
    assert abs(certificate_end_s(path) - time.time() - 20_000 * DAY_S) < 60
    # Of several in one file the earliest counts: a chain is good as long as all of it is.
    near = tmp_path / "near.crt"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "3", "-subj", "/CN=near", "-out", str(near)),
        *("-keyout", str(tmp_path / "near.key")),
    )
    both = tmp_path / "both.crt"
    both.write_text(path.read_text() + near.read_text())
    assert certificate_end_s(both) == certificate_end_s(near)


def test_a_certificate_is_warned_of_a_month_before_its_end(secrets: Path) -> None:
    path = secrets / "certificates" / "site-a.crt"
    end_s = certificate_end_s(path)
    for days, good, words in ((31, True, "in 31 days"), (29, False, "in 29 days")):
        ok, detail = check_certificate(path, end_s - days * DAY_S)
        assert ok is good
        assert words in detail
    ok, detail = check_certificate(path, end_s + 1)
    assert not ok
    assert "has ended" in detail


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.crt"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"x\.crt"):
        certificate_end_s(path)


def test_every_account_has_one_and_its_name_is_the_account(secrets: Path) -> None:
    names = {path.stem for path in (secrets / "certificates").glob("*.crt")}
    assert names == {"site-a", "site-a.roof", INGEST_ACCOUNT, MONITOR_ACCOUNT}
    for name in names:
        path = secrets / "certificates" / f"{name}.crt"
        assert openssl("x509", "-in", str(path), "-noout", "-subject") == f"subject=CN = {name}"
        signer = "services" if name.startswith("greendc-") else "gateways"
        other = {"services": "gateways", "gateways": "services"}[signer]
        broker = secrets / "broker"
        assert "OK" in openssl("verify", "-CAfile", str(broker / f"{signer}-ca.crt"), str(path))
        with pytest.raises(subprocess.CalledProcessError):
            openssl("verify", "-CAfile", str(broker / f"{other}-ca.crt"), str(path))
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert (secrets / "gateways-ca.key").stat().st_mode & 0o777 == 0o600
    assert not list((secrets / "broker").glob("*ca.key")), "the broker needs no authority's key"


def test_what_is_good_is_kept_and_what_is_revoked_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    write_secrets(folder, registry_of(), [])
    write_client_certificates(folder, registry_of())
    path = folder / "certificates" / "site-a.crt"
    first = path.read_bytes()
    lost = serial_of(path)
    assert write_client_certificates(folder, registry_of()).made == ()
    assert path.read_bytes() == first
    written = write_client_certificates(folder, registry_of(), revoke=["site-a"])
    assert (written.made, written.revoked) == (("site-a",), ("site-a",))
    assert serial_of(path) != lost
    crl = folder / "broker" / "gateways.crl"
    listed = openssl("crl", "-in", str(crl), "-noout", "-text")
    assert f"{lost:X}" in listed
    assert f"{serial_of(path):X}" not in listed
    # A later call of anything that writes the list keeps what it held.
    write_secrets(folder, registry_of(), [])
    assert f"{lost:X}" in openssl("crl", "-in", str(crl), "-noout", "-text")
    with pytest.raises(ConfigurationError, match="site-z"):
        write_client_certificates(folder, registry_of(), revoke=["site-z"])


def test_further_gateways_write_for_their_site_and_have_accounts_of_their_own() -> None:
    text = render_acl(registry_of("roof", "hall-2"))
    assert "user site-a.roof\ntopic write greendc/v1/site-a/#\n" in text
    assert "user site-a.hall-2\n" in text
    _, problems = parse_site_files(
        {"a": 'gateways = ["roof", "Roof", "roof"]\n' + SITE.format(id="a", status="operating")}
    )
    assert [problem.key for problem in problems] == ["gateways.1", "gateways.2"]


def test_doctor_tells_of_an_end_before_it_comes(secrets: Path, tmp_path: Path) -> None:
    soon = tmp_path / "soon.crt"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "20", "-subj", "/CN=soon", "-out", str(soon)),
        *("-keyout", str(tmp_path / "soon.key")),
    )
    settings = load_settings(
        None,
        {
            "GREENDC_MQTT__CA_FILE": str(secrets / "broker" / "ca.crt"),
            "GREENDC_MQTT__CERT_FILE": str(soon),
            "GREENDC_MQTT__KEY_FILE": str(tmp_path / "soon.key"),
        },
    ).settings
    checks = {check.name: check for check in doctor._check_certificates(settings)}
    assert checks["certificate ca.crt"].ok
    assert not checks["certificate soon.crt"].ok
    assert "in 20 days" in checks["certificate soon.crt"].detail
    assert "greendc broker certificates" in checks["certificate soon.crt"].hint
    # The configuration of a container names places of the container; here they lie beside it.
    of_broker = list(doctor._check_broker_certificates(secrets / "broker" / "mosquitto.conf"))
    assert {check.name for check in of_broker} == {
        "broker's server.crt",
        "broker's gateways-ca.crt",
        "broker's services-ca.crt",
    }
    assert all(check.ok for check in of_broker)


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sites"
    folder.mkdir()
    (folder / "a.toml").write_text(SITE.format(id="site-a", status="operating"), encoding="utf-8")
    monkeypatch.setenv("GREENDC_SITES_DIR", str(folder))


@pytest.mark.usefixtures("sites")
def test_the_command_tells_of_each_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "secrets")
    assert main(["broker", "certificates", "--folder", folder]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("site-a ") and " made " in line for line in lines)
    assert main(["broker", "certificates", "--folder", folder, "--revoke", "site-a"]) == 0
    out = capsys.readouterr().out
    assert "revoked: site-a; restart the broker" in out
    assert main(["broker", "certificates", "--folder", folder, "--revoke", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


@pytest.mark.usefixtures("sites")
def test_a_listener_without_its_files_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["broker", "config", "--gateway-port", "8884", "--cert-file", "x"]) == 2
    told = capsys.readouterr().err
    assert "--key-file" in told
    assert "--gateway-ca-file" in told
    files = ["--cert-file", "c", "--key-file", "k", "--service-ca-file", "s"]
    assert main(["broker", "config", "--service-port", "8885", *files]) == 0
    text = capsys.readouterr().out
    assert "listener 8885" in text
    assert "use_username_as_clientid" not in text
    assert "require_certificate true" in text
