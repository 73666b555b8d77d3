"""The three buckets on a real InfluxDB: made where the token may, refused clearly where not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from core.errors import StoreMisconfiguredError
from storage.influx.store import InfluxStore
from tests.services.influxd import InfluxdServer
from tests.storage.readings import ALL_TIME, T0, one_device


@pytest.fixture
def prefix(influxd: InfluxdServer) -> Iterator[str]:
    """A bucket prefix of this test's own."""
    name = f"buckets_{uuid.uuid4().hex}"
    yield name
    influxd.remove_buckets(name)


def open_store(
    server: InfluxdServer, prefix: str, *, token: str | None = None, raw_days: int = 0
) -> InfluxStore:
    return InfluxStore(server.url, server.org, prefix, token or server.token, raw_days)


def buckets(server: InfluxdServer, prefix: str) -> dict[str, int]:
    """Name without the prefix -> seconds kept, 0 for ever."""
    answer = server.request("GET", f"/api/v2/buckets?limit=100&org={server.org}")
    return {
        bucket["name"].removeprefix(prefix): sum(
            rule["everySeconds"] for rule in bucket["retentionRules"]
        )
        for bucket in answer["buckets"]
        if bucket["name"].startswith(prefix)
    }


def make_token(server: InfluxdServer, *permissions: tuple[str, str, str | None]) -> str:
    """A token with (action, type, name or None) permissions."""
    org = server.request("GET", f"/api/v2/orgs?org={server.org}")["orgs"][0]["id"]
    wanted = []
    for action, kind, name in permissions:
        resource = {"type": kind, "orgID": org}
        if name is not None:
            found = server.request("GET", f"/api/v2/buckets?name={name}&org={server.org}")
            resource["id"] = found["buckets"][0]["id"]
        wanted.append({"action": action, "resource": resource})
    body = {"orgID": org, "permissions": wanted}
    return str(server.request("POST", "/api/v2/authorizations", body)["token"])


def test_buckets_are_made_with_their_retention(influxd: InfluxdServer, prefix: str) -> None:
    store = open_store(influxd, prefix, raw_days=400)
    store.prepare()
    wanted = {"_raw": 400 * 86_400, "_intervals": 0, "_results": 0}
    assert buckets(influxd, prefix) == wanted
    store.prepare()
    assert buckets(influxd, prefix) == wanted
    store.close()


def test_the_retention_of_the_settings_is_set(influxd: InfluxdServer, prefix: str) -> None:
    for raw_days in (400, 30, 0, 50):
        store = open_store(influxd, prefix, raw_days=raw_days)
        store.prepare()
        store.close()
        assert buckets(influxd, prefix)["_raw"] == raw_days * 86_400


@pytest.mark.parametrize("first", ["write", "read", "check"])
def test_the_first_call_makes_what_is_missing(
    influxd: InfluxdServer, prefix: str, first: str
) -> None:
    store = open_store(influxd, prefix)
    if first == "write":
        store.write_readings([one_device([T0], [1.0])])
        assert len(store.read_samples("s1", "energy", ALL_TIME)) == 1
    elif first == "read":
        assert store.read_intervals("s1", ALL_TIME) == []
    else:
        assert store.check().startswith("InfluxDB 2.")
    assert sorted(buckets(influxd, prefix)) == ["_intervals", "_raw", "_results"]
    store.close()


def test_a_token_that_may_only_use_the_buckets_is_enough(
    influxd: InfluxdServer, prefix: str
) -> None:
    open_store(influxd, prefix, raw_days=400).prepare()
    names = [f"{prefix}_{name}" for name in ("raw", "intervals", "results")]
    token = make_token(
        influxd,
        *[("read", "buckets", name) for name in names],
        *[("write", "buckets", name) for name in names],
    )
    store = open_store(influxd, prefix, token=token, raw_days=400)
    store.prepare()
    store.write_readings([one_device([T0], [1.0])])
    assert len(store.read_samples("s1", "energy", ALL_TIME)) == 1
    store.close()


def test_a_token_that_may_not_make_buckets_is_named(influxd: InfluxdServer, prefix: str) -> None:
    open_store(influxd, f"{prefix}_other").prepare()
    token = make_token(influxd, ("read", "buckets", f"{prefix}_other_raw"))
    store = open_store(influxd, prefix, token=token)
    for call in (
        store.prepare,
        store.check,
        lambda: store.write_readings([one_device([T0], [1.0])]),
        lambda: store.read_latest("s1"),
    ):
        with pytest.raises(StoreMisconfiguredError, match=f"{prefix}_raw.*TOKEN"):
            call()
    store.close()


def test_a_token_that_may_only_read_may_not_write(influxd: InfluxdServer, prefix: str) -> None:
    open_store(influxd, prefix).prepare()
    names = [f"{prefix}_{name}" for name in ("raw", "intervals", "results")]
    store = open_store(
        influxd, prefix, token=make_token(influxd, *[("read", "buckets", name) for name in names])
    )
    assert store.check().startswith("InfluxDB 2.")
    assert store.read_latest("s1") == []
    with pytest.raises(StoreMisconfiguredError, match=r"may not write.*TOKEN"):
        store.write_readings([one_device([T0], [1.0])])
    store.close()


def test_a_wrong_token_and_a_wrong_organisation_are_told_apart(
    influxd: InfluxdServer, prefix: str
) -> None:
    store = open_store(influxd, prefix, token="wrong")
    with pytest.raises(StoreMisconfiguredError, match=r"401.*TOKEN"):
        store.check()
    store.close()
    store = InfluxStore(influxd.url, "nobody", prefix, influxd.token, 0)
    for call in (store.check, store.prepare):
        with pytest.raises(StoreMisconfiguredError, match="'nobody'"):
            call()
    store.close()


def test_marks_that_another_process_has_written_are_known_after_a_start(
    influxd: InfluxdServer, prefix: str
) -> None:
    first = open_store(influxd, prefix)
    first.write_readings([one_device([T0], [1.0], quality=3)])
    first.close()
    second = open_store(influxd, prefix)
    second.write_readings([one_device([T0], [2.0])])
    (series,) = second.read_samples("s1", "energy", ALL_TIME)
    assert (series.value.tolist(), series.quality.tolist()) == ([2.0], [0])
    second.close()
