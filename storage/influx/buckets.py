"""The three buckets: found, or made where the token may."""

from __future__ import annotations

import logging
from typing import Any

from influxdb_client import BucketRetentionRules, InfluxDBClient
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.rest import ApiException

from core.errors import StoreMisconfiguredError
from storage.influx.errors import Place, translated

_log = logging.getLogger(__name__)
_DAY_S = 86_400


def ensure_bucket(client: InfluxDBClient, place: Place, keep_days: int) -> None:
    """See that a bucket exists and keeps its data long enough.

    Args:
        keep_days: Days that data are to be kept, 0 for ever.

    Raises:
        StoreMisconfiguredError: It does not exist and the token may not make it, or it keeps data
            for less time and the token may not change that.
        StoreUnavailableError: The server does not answer.
    """
    api = client.buckets_api()
    found = _find(api, place)
    if found is None:
        if _make(api, place, keep_days):
            return
        found = _find(api, place)
        if found is None:
            raise StoreMisconfiguredError(
                f"{place}: the bucket can neither be found nor made with this token; make it by "
                "hand, or set GREENDC_TIMESERIES__TOKEN to a token of this organisation that may "
                "make buckets"
            )
    held_s = _retention_s(found)
    wanted_s = keep_days * _DAY_S
    if held_s == wanted_s:
        return
    found.retention_rules = [BucketRetentionRules(type="expire", every_seconds=wanted_s)]
    try:
        with translated(place, "change the retention of the bucket"):
            api.update_bucket(found)
    except StoreMisconfiguredError as error:
        kept = "for ever" if held_s == 0 else f"for {held_s / _DAY_S:g} days"
        wanted = "for ever" if wanted_s == 0 else f"for {keep_days} days"
        if held_s and (wanted_s == 0 or held_s < wanted_s):
            raise StoreMisconfiguredError(
                f"{place}: it keeps data {kept}, the settings want {wanted}, and this token may "
                f"not change that ({error}); change the bucket or GREENDC_TIMESERIES__RAW_DAYS"
            ) from None
        _log.warning("%s keeps data %s, the settings say %s", place, kept, wanted)


def _find(api: Any, place: Place) -> Any:
    with translated(place, "find the bucket"):
        try:
            answer = api.find_buckets(name=place.bucket, org=place.org)
        except ApiException as error:
            # Servers answer 404 for a bucket that is unknown or not for this token.
            if error.status == 404 and "bucket" in str(error.body):
                return None
            raise
    return answer.buckets[0] if answer.buckets else None


def _make(api: Any, place: Place, keep_days: int) -> bool:
    """Make the bucket; False when the token may not, or another process was faster."""
    rules = [BucketRetentionRules(type="expire", every_seconds=keep_days * _DAY_S)]
    with translated(place, "make the bucket"):
        try:
            api.create_bucket(bucket_name=place.bucket, org=place.org, retention_rules=rules)
        except ApiException as error:
            if error.status in (401, 403, 404, 409, 422):
                return False
            raise
        except InfluxDBError:
            # A token for certain buckets may not even look up the organisation.
            return False
    return True


def _retention_s(bucket: Any) -> int:
    rules = bucket.retention_rules or []
    return int(rules[0].every_seconds or 0) if rules else 0
