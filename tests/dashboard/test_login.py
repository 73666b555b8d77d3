"""Sign-in: the form, wrong passwords, the lock, sessions that end."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from core.clock import FakeClock
from dashboard.accounts import (
    FIRST_USERNAME,
    ensure_first_account,
    hash_password,
    is_password_of,
)
from dashboard.login import local_path
from dashboard.permissions import ROLES
from dashboard.sessions import Sessions
from dashboard.settings import BoardSettings
from tests.dashboard.conftest import PASSWORD, sign_in
from tests.dashboard.fakes import MemoryAccounts

REFUSED_EN = "User name or password is wrong"


def attempt(client: TestClient, name: str, password: str) -> tuple[int, str]:
    page = client.get("/login?lang=en").text
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
    answer = client.post("/login", data={**fields, "username": name, "password": password})
    return answer.status_code, answer.text


# ------------------------------------------------------------ the first account


def test_the_first_account_is_made_once(clock: FakeClock) -> None:
    records = MemoryAccounts()
    password = ensure_first_account(records, clock)
    assert password is not None
    assert len(password) >= 20
    account = records.read_account(FIRST_USERNAME)
    assert account is not None
    assert dict(account.roles) == dict.fromkeys(ROLES, ("*",))
    assert account.password_hash.startswith("$argon2id$")
    assert password not in account.password_hash
    assert is_password_of(account, password)
    assert ensure_first_account(records, clock) is None
    assert ("system", "account.create", "first account") in records.audit


def test_of_two_first_starts_only_one_tells_a_password(clock: FakeClock) -> None:
    class Raced(MemoryAccounts):
        def read_accounts(self) -> list:  # type: ignore[type-arg]
            return []

    records = Raced()
    assert ensure_first_account(records, clock) is not None
    assert ensure_first_account(records, clock) is None


def test_passwords(accounts: MemoryAccounts) -> None:
    account = accounts.accounts["admin"]
    assert is_password_of(account, PASSWORD)
    assert not is_password_of(account, PASSWORD + "x")
    assert not is_password_of(None, PASSWORD)
    assert not is_password_of(account, "")
    long = "p" * 1024
    from dataclasses import replace

    held = replace(account, password_hash=hash_password(long))
    assert is_password_of(held, long)
    assert not is_password_of(held, long + "anything")
    assert not is_password_of(replace(held, disabled=True), long)
    assert not is_password_of(replace(held, password_hash="no hash"), long)


# ------------------------------------------------------------ the form


def test_the_form_has_fields_that_a_script_can_fill_in(anonymous: TestClient) -> None:
    page = anonymous.get("/login").text
    assert '<form method="post" action="/login">' in page
    assert re.search(r'<input[^>]*name="username"', page)
    assert re.search(r'<input[^>]*name="password"[^>]*type="password"', page)
    assert len(re.findall(r'<input type="hidden"', page)) == 2


def test_sign_in_leads_to_where_one_wanted_to_go(anonymous: TestClient) -> None:
    page = anonymous.get("/login?next=%2Fs%2Fkakao-ansan").text
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
    answer = anonymous.post("/login", data={**fields, "username": "admin", "password": PASSWORD})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/s/kakao-ansan"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("greendc_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Max-Age" not in cookie
    assert "Secure" not in cookie


def test_only_the_hash_of_the_token_is_kept(
    anonymous: TestClient, accounts: MemoryAccounts
) -> None:
    sign_in(anonymous, "admin")
    token = anonymous.cookies["greendc_session"]
    (session,) = accounts.sessions.values()
    assert token not in repr(session)
    assert len(session.token_sha256) == 64


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/s/kakao-ansan?lang=en", "/s/kakao-ansan?lang=en"),
        ("", "/"),
        ("//evil.test/x", "/"),
        ("/\\evil.test", "/"),
        ("https://evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/login", "/"),
        ("/logout?x", "/"),
        ("\t//evil.test", "/"),
        ("/a\\b", "/"),
    ],
)
def test_where_sign_in_may_lead(target: str, path: str) -> None:
    assert local_path(target) == path


def test_a_form_of_another_browser_is_refused(anonymous: TestClient) -> None:
    data = {"username": "admin", "password": PASSWORD, "form_token": "guess", "next": "/"}
    assert anonymous.post("/login", data=data).status_code == 400
    anonymous.get("/login")
    assert anonymous.post("/login", data=data).status_code == 400
    assert anonymous.post("/login", data={**data, "form_token": ""}).status_code == 400
    assert anonymous.post("/login", json=data).status_code == 400
    big = {**data, "password": "x" * 20_000}
    assert anonymous.post("/login", data=big).status_code == 400


def test_what_is_typed_is_never_shown_again(anonymous: TestClient) -> None:
    status, page = attempt(anonymous, '"><script>alert(1)</script>', "my-secret")
    assert status == 401
    assert "<script>" not in page
    assert "my-secret" not in page
    hostile = anonymous.get('/login?next=/"><script>alert(1)</script>').text
    assert "<script>" not in hostile


def test_language_of_the_form(anonymous: TestClient) -> None:
    assert '<html lang="ko"' in anonymous.get("/login").text
    english = anonymous.get("/login", headers={"Accept-Language": "en-GB,en;q=0.9,ko;q=0.5"})
    assert '<html lang="en"' in english.text
    chosen = anonymous.get("/login?lang=en")
    assert "greendc_lang=en" in chosen.headers["set-cookie"]
    assert '<html lang="en"' in anonymous.get("/login").text


# ------------------------------------------------------------ failures


def test_name_password_and_lock_get_the_same_words(anonymous: TestClient) -> None:
    wrong_password = attempt(anonymous, "admin", "wrong")
    wrong_name = attempt(anonymous, "no-such-person", PASSWORD)
    assert wrong_password[0] == wrong_name[0] == 401
    assert wrong_password[1] == wrong_name[1]
    assert REFUSED_EN in wrong_password[1]
    for _ in range(10):
        attempt(anonymous, "admin", "wrong")
    locked = attempt(anonymous, "admin", PASSWORD)
    assert locked == wrong_password


def test_ten_failures_lock_an_account_for_a_quarter_of_an_hour(
    accounts: MemoryAccounts, clock: FakeClock
) -> None:
    sessions = Sessions(accounts, BoardSettings(), clock)
    for number in range(10):
        assert sessions.sign_in("admin", "wrong", f"10.0.0.{number}") is None
    assert sessions.sign_in("admin", PASSWORD, "10.0.1.1") is None
    assert sessions.sign_in("ADMIN ", PASSWORD, "10.0.1.1") is None
    clock.advance(timedelta(minutes=14, seconds=59))
    assert sessions.sign_in("admin", PASSWORD, "10.0.1.1") is None
    clock.advance(timedelta(seconds=2))
    assert sessions.sign_in("admin", PASSWORD, "10.0.1.1") is not None
    assert ("admin", "session.begin", "locked") in accounts.audit


def test_ten_failures_lock_an_address(accounts: MemoryAccounts, clock: FakeClock) -> None:
    sessions = Sessions(accounts, BoardSettings(), clock)
    for number in range(10):
        assert sessions.sign_in(f"guess-{number}", "wrong", "10.0.0.9") is None
    assert sessions.sign_in("admin", PASSWORD, "10.0.0.9") is None
    assert sessions.sign_in("admin", PASSWORD, "10.0.0.8") is not None


def test_nine_failures_lock_nothing(accounts: MemoryAccounts, clock: FakeClock) -> None:
    sessions = Sessions(accounts, BoardSettings(), clock)
    for _ in range(9):
        sessions.sign_in("admin", "wrong", "10.0.0.9")
    assert sessions.sign_in("admin", PASSWORD, "10.0.0.9") is not None


def test_every_refusal_does_the_work_of_a_password_check(
    accounts: MemoryAccounts, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []
    real = is_password_of

    def counted(account: object, password: str) -> bool:
        checks.append(account)
        return real(account, password)  # type: ignore[arg-type]

    monkeypatch.setattr("dashboard.sessions.is_password_of", counted)
    sessions = Sessions(accounts, BoardSettings(lock_failures=2), clock)
    sessions.sign_in("admin", "wrong", "a")
    sessions.sign_in("nobody-at-all", "wrong", "b")
    sessions.sign_in("admin", "wrong", "c")
    sessions.sign_in("admin", PASSWORD, "d")
    assert len(checks) == 4


# ------------------------------------------------------------ sessions


@pytest.fixture
def sessions(accounts: MemoryAccounts, clock: FakeClock) -> Sessions:
    return Sessions(accounts, BoardSettings(), clock)


@pytest.fixture
def token(sessions: Sessions) -> str:
    token = sessions.sign_in("admin", PASSWORD, "10.0.0.1")
    assert token is not None
    return token


def test_a_session_ends_after_half_an_hour_of_silence(
    sessions: Sessions, token: str, clock: FakeClock
) -> None:
    for _ in range(5):
        clock.advance(timedelta(minutes=29))
        assert sessions.visitor(token) is not None
    clock.advance(timedelta(minutes=30))
    assert sessions.visitor(token) is None
    clock.advance(timedelta(minutes=-29))
    assert sessions.visitor(token) is None


def test_a_live_feed_keeps_no_session_alive(
    sessions: Sessions, token: str, clock: FakeClock
) -> None:
    for _ in range(29):
        clock.advance(timedelta(minutes=1))
        assert sessions.visitor(token, is_use=False) is not None
    clock.advance(timedelta(minutes=1))
    assert sessions.visitor(token, is_use=False) is None


def test_a_session_ends_after_twelve_hours_of_use(
    sessions: Sessions, token: str, clock: FakeClock
) -> None:
    for _ in range(12 * 3 - 1):
        clock.advance(timedelta(minutes=20))
        assert sessions.visitor(token) is not None
    clock.advance(timedelta(minutes=20))
    assert sessions.visitor(token) is None


def test_a_disabled_person_is_out_at_once(
    sessions: Sessions, token: str, accounts: MemoryAccounts
) -> None:
    from dataclasses import replace

    accounts.write_account(replace(accounts.accounts["admin"], disabled=True))
    assert sessions.visitor(token) is None
    assert accounts.sessions == {}


def test_a_guessed_token_is_nobody(sessions: Sessions, token: str) -> None:
    assert sessions.visitor("") is None
    assert sessions.visitor(token[:-1]) is None


def test_reading_pages_does_not_write_records_each_time(
    sessions: Sessions, token: str, accounts: MemoryAccounts, clock: FakeClock
) -> None:
    touched = []
    real = accounts.touch_session
    accounts.touch_session = lambda *a: (touched.append(a), real(*a))[1]  # type: ignore[method-assign]
    for _ in range(60):
        clock.advance(timedelta(seconds=1))
        sessions.visitor(token)
    assert len(touched) == 2


def test_sign_out_ends_the_session_itself(
    person: Callable[[str], TestClient], accounts: MemoryAccounts
) -> None:
    client = person("admin")
    token = client.cookies["greendc_session"]
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
    assert csrf is not None
    assert client.post("/logout", data={"csrf": "guess"}).status_code == 400
    assert client.get("/").status_code == 200
    assert client.post("/logout", data={"csrf": csrf.group(1)}).status_code == 303
    client.cookies.set("greendc_session", token)
    assert client.get("/").status_code == 303
    assert accounts.sessions == {}
    assert ("admin", "session.end", "done") in accounts.audit


def test_each_sign_in_is_a_new_session(anonymous: TestClient, accounts: MemoryAccounts) -> None:
    sign_in(anonymous, "admin")
    first = anonymous.cookies["greendc_session"]
    sign_in(anonymous, "admin")
    assert anonymous.cookies["greendc_session"] != first
    assert len(accounts.sessions) == 2
    assert len({session.csrf for session in accounts.sessions.values()}) == 2
