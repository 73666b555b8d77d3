"""The time-series port on InfluxDB 2.x, through influxdb-client in synchronous mode.

The client does connections, TLS, authentication and the calls; bodies are encoded here and answers
are parsed here, because its own encoder and parsers cost 30 to 100 times more (decision 0010).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import numpy as np
from influxdb_client import Dialect, InfluxDBClient, WriteService

from core.clock import Clock, SystemClock
from core.errors import StoreRejectedError
from core.intervals import IntervalBlock
from core.periods import Period
from core.ports import ResultRow
from core.samples import Floats, Ints, ReadingBlock, Sample, SampleSeries, SeriesKey
from storage.influx import answers
from storage.influx.buckets import ensure_bucket
from storage.influx.errors import AskedWait, MissingBucketError, Place, translated
from storage.influx.flux import MOST_NAMES, Answer, Question, parse_answer, range_time
from storage.influx.line_protocol import (
    encode_intervals,
    encode_readings,
    encode_results,
    gzip_bodies,
    marks_of,
)
from storage.schema import (
    LAST_TIME_MS,
    QUALITY_SUFFIX,
    Buckets,
    check_intervals,
    check_readings,
    check_results,
    lookback_ms,
)

_T = TypeVar("_T")

# Instants further apart than this are asked for as spans of their own, so many to a query.
_SPAN_GAP_MS = 1_800_000
_SPANS_PER_QUERY = 25


class InfluxStore:
    """Samples, intervals and results in three buckets of one InfluxDB.

    Args:
        url: `http(s)://host:port`.
        org: Organisation.
        bucket: Prefix of the three buckets.
        token: API token; it needs to read and write the buckets, and to make them where they are
            not there yet.
        raw_days: Days that raw samples are kept, 0 for ever.
        timeout_s: Longest wait for a connection, and for each part of an answer.
    """

    def __init__(
        self,
        url: str,
        org: str,
        bucket: str,
        token: str,
        raw_days: int,
        *,
        timeout_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        self._url, self._org = url.rstrip("/"), org
        self._buckets = Buckets.of(bucket)
        self._raw_days = raw_days
        self._clock: Clock = clock or SystemClock()
        timeout_ms = max(1, round(timeout_s * 1000))
        self._client = InfluxDBClient(
            self._url, token=token, org=org, timeout=(min(timeout_ms, 10_000), timeout_ms)
        )
        self._writer = WriteService(self._client.api_client)
        self._reader = self._client.query_api()
        self._dialect = Dialect(header=True, annotations=[])
        # (site, family) -> series that have been given a quality mark. One ingester writes a
        # site, so what it has read once and written since is all there is.
        self._marked: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._lock = threading.Lock()
        self._asked_wait = AskedWait()
        self._preparing = threading.Lock()
        self._prepared = False

    # ------------------------------------------------------------ set-up and health

    def prepare(self) -> None:
        """See that the three buckets exist and keep their data long enough; make what is missing.

        Raises:
            StoreMisconfiguredError: A bucket is missing and the token may not make it.
            StoreUnavailableError: The server does not answer.
        """
        wanted = {self._buckets.raw: self._raw_days}
        wanted |= {self._buckets.intervals: 0, self._buckets.results: 0}
        with self._preparing:
            for bucket, keep_days in wanted.items():
                place = self._place(bucket)
                with self._asked_wait.kept(place):
                    ensure_bucket(self._client, place, keep_days)
            self._prepared = True

    def check(self) -> str:
        """Ask all three buckets; see `core.ports.TimeSeriesStore`."""
        now_ms = self._clock.now_ms()
        for bucket in (self._buckets.raw, self._buckets.intervals, self._buckets.results):
            question = Question(bucket)
            question.where("_measurement", ["check"])
            self._ask(question, question.text(range_time(now_ms - 1000), range_time(now_ms), _KEEP))
        with self._calling(self._buckets.raw, "ask for the version"):
            version = str(self._client.version())
        return f"InfluxDB {version.lstrip('v')} at {self._url}"

    def apply_retention(self, now_ms: int) -> None:
        """Nothing: the server drops what is older than the retention of the bucket."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # ------------------------------------------------------------ samples

    def write_readings(self, blocks: Sequence[ReadingBlock]) -> None:
        """Write readings; see `core.ports.TimeSeriesStore`."""
        for block in blocks:
            check_readings(block)
        texts = []
        for block in blocks:
            if not len(block):
                continue
            marked = self._marked_series(block.site, block.family)
            new = marks_of(block)
            if new:
                # Before the write: a mark that may have been stored is one.
                with self._lock:
                    marked |= new
            texts.append(encode_readings(block, marked))
        self._write(self._buckets.raw, texts)

    def read_samples(
        self,
        site: str,
        family: str,
        period: Period,
        *,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[SampleSeries]:
        """Samples of a period; see `core.ports.TimeSeriesStore`."""
        found = self._read_raw(site, family, period.start_ms, period.end_ms, devices, metrics)
        return answers.sample_series(found, site, family)

    def read_means(
        self,
        site: str,
        family: str,
        period: Period,
        every_ms: int,
        *,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> dict[SeriesKey, tuple[Ints, Floats]]:
        """Means of the samples in windows of the same length, made by the server.

        Args:
            period: Begins and ends at a multiple of `every_ms` since 1970.
            every_ms: Length of a window in milliseconds.

        Returns:
            For each series the beginnings of the windows that hold a sample, ascending, and the
            arithmetic mean of the samples in each, whatever their quality.

        Raises:
            ValueError: The period is not made of whole windows.
            StoreError: The store could not be asked.
        """
        if every_ms <= 0 or period.start_ms % every_ms or period.end_ms % every_ms:
            raise ValueError(f"{period} is not made of whole windows of {every_ms} ms")
        question = self._raw_question(site, family, devices, metrics)
        question.leave_quality()
        text = question.text(
            range_time(period.start_ms),
            range_time(period.end_ms),
            (*_KEEP, "_field", "device"),
            mean_every_ms=every_ms,
        )
        wanted = None if devices is None else set(devices)
        columns: answers.Columns = {}
        for answer in parse_answer(self._ask(question, text), ("device", "_field")):
            _collect(answer, columns, wanted)
        return {
            SeriesKey(site, family, device, field): answers.in_order(pieces)
            for (device, field), pieces in sorted(columns.items())
        }

    def read_last_before(
        self,
        site: str,
        family: str,
        time_ms: int,
        *,
        not_before_ms: int,
        devices: Sequence[str] | None = None,
    ) -> list[Sample]:
        """Newest sample before an instant; see `core.ports.TimeSeriesStore`."""
        found = self._read_raw(site, family, not_before_ms, time_ms, devices, None, "last")
        return answers.edge_samples(found, site, family)

    def read_first_from(
        self,
        site: str,
        family: str,
        time_ms: int,
        *,
        not_after_ms: int,
        devices: Sequence[str] | None = None,
    ) -> list[Sample]:
        """Oldest sample from an instant; see `core.ports.TimeSeriesStore`."""
        found = self._read_raw(site, family, time_ms, not_after_ms + 1, devices, None, "first")
        return answers.edge_samples(found, site, family)

    def read_latest(self, site: str) -> list[Sample]:
        """Newest sample of every series; see `core.ports.TimeSeriesStore`."""
        oldest_ms = self._clock.now_ms() - lookback_ms(self._raw_days)
        question = Question(self._buckets.raw)
        question.where("site", [site])
        keep = (*_KEEP, "_field", "device", "_measurement")
        text = question.text(range_time(oldest_ms), range_time(LAST_TIME_MS), keep, "last")
        labels = ("_measurement", "device", "_field")
        by_family: dict[str, answers.Columns] = {}
        for answer in parse_answer(self._ask(question, text), labels):
            values = answer.values()
            for label, rows in answer.series():
                columns = by_family.setdefault(label["_measurement"], {})
                key = (label["device"], label["_field"])
                columns.setdefault(key, []).append((answer.time_ms[rows], values[rows]))
        samples = [
            sample
            for family, columns in by_family.items()
            for sample in answers.edge_samples(columns, site, family)
        ]
        return sorted(samples, key=lambda sample: sample.key)

    def read_instants(
        self, site: str, family: str, device: str, times_ms: Sequence[int]
    ) -> dict[int, dict[str, float]]:
        """Values at exact instants; see `core.ports.TimeSeriesStore`."""
        held: dict[int, dict[str, float]] = {}
        wanted = np.unique(np.asarray(times_ms, np.int64))
        wanted = wanted[(wanted >= 0) & (wanted <= LAST_TIME_MS)]
        spans = _spans_of(wanted)
        for first in range(0, len(spans), _SPANS_PER_QUERY):
            question = self._raw_question(site, family, [device], None)
            text = question.union(
                [
                    (range_time(start), range_time(end + 1))
                    for start, end in spans[first : first + _SPANS_PER_QUERY]
                ],
                (*_KEEP, "_field"),
            )
            for answer in parse_answer(self._ask(question, text), ("_field",)):
                values = answer.values()
                for label, rows in answer.series():
                    if label["_field"].endswith(QUALITY_SUFFIX):
                        continue
                    times = answer.time_ms[rows]
                    asked = np.isin(times, wanted)
                    pairs = zip(times[asked].tolist(), values[rows][asked].tolist(), strict=True)
                    for time_ms, value in pairs:
                        held.setdefault(time_ms, {})[label["_field"]] = value
        return held

    # ------------------------------------------------------------ intervals and results

    def write_intervals(self, blocks: Sequence[IntervalBlock]) -> None:
        """Write intervals; see `core.ports.TimeSeriesStore`."""
        for block in blocks:
            check_intervals(block)
        filled = [block for block in blocks if len(block)]
        if filled:
            self._write(self._buckets.intervals, [encode_intervals(filled)])

    def read_intervals(
        self,
        site: str,
        period: Period,
        *,
        family: str | None = None,
        devices: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> list[IntervalBlock]:
        """Intervals of a period; see `core.ports.TimeSeriesStore`."""
        question = Question(self._buckets.intervals)
        if family is not None:
            question.where("_measurement", [family])
        question.where("site", [site])
        if (devices is not None and not devices) or (metrics is not None and not metrics):
            return []
        if devices is not None and len(devices) <= MOST_NAMES:
            question.where("device", devices)
        if metrics is not None:
            question.where("metric", metrics)
        labels = ("_measurement", "device", "metric", "_field")
        text = question.text(
            range_time(period.start_ms), range_time(period.end_ms), (*_KEEP, *labels)
        )
        columns: dict[SeriesKey, dict[str, list[tuple[Ints, Floats]]]] = defaultdict(dict)
        wanted = None if devices is None else set(devices)
        for answer in parse_answer(self._ask(question, text), labels):
            values = answer.values()
            for label, rows in answer.series():
                if wanted is not None and label["device"] not in wanted:
                    continue
                key = SeriesKey(site, label["_measurement"], label["device"], label["metric"])
                pieces = columns[key].setdefault(label["_field"], [])
                pieces.append((answer.time_ms[rows], values[rows]))
        return [answers.interval_block(key, columns[key]) for key in sorted(columns)]

    def write_results(self, rows: Sequence[ResultRow]) -> None:
        """Write figures; see `core.ports.TimeSeriesStore`."""
        check_results(rows)
        if rows:
            self._write(self._buckets.results, [encode_results(rows)])

    def read_results(
        self,
        site: str,
        kind: str,
        period: Period,
        *,
        names: Sequence[str] | None = None,
        resolution: str | None = None,
        subject: str | None = None,
    ) -> list[ResultRow]:
        """Figures of a period; see `core.ports.TimeSeriesStore`."""
        question = Question(self._buckets.results)
        question.where("_measurement", [kind])
        question.where("site", [site])
        for column, value in (("resolution", resolution), ("subject", subject)):
            if value is not None:
                question.where(column, [value])
        if names is not None and not names:
            return []
        if names is not None:
            question.where("name", names)
        labels = ("name", "subject", "resolution", "_field")
        text = question.text(
            range_time(period.start_ms), range_time(period.end_ms), (*_KEEP, *labels)
        )
        fields: answers.ResultFields = defaultdict(dict)
        for answer in parse_answer(self._ask(question, text), labels, text_values=True):
            values = answer.values()
            for label, rows in answer.series():
                key = (label["name"], label["subject"], label["resolution"])
                for time_ms, value in zip(answer.time_ms[rows].tolist(), values[rows], strict=True):
                    fields[*key, time_ms][label["_field"]] = value
        return answers.result_rows(fields, site, kind)

    # ------------------------------------------------------------ calls

    def _place(self, bucket: str) -> Place:
        return Place(self._url, self._org, bucket)

    @contextmanager
    def _calling(self, bucket: str, doing: str) -> Iterator[None]:
        place = self._place(bucket)
        with self._asked_wait.kept(place), translated(place, doing):
            yield

    def _write(self, bucket: str, texts: Iterable[Any]) -> None:
        if not self._prepared:
            self.prepare()
        partly: StoreRejectedError | None = None
        dropped = 0
        for body in gzip_bodies(texts):
            try:
                self._post(bucket, body)
            except StoreRejectedError as error:
                if error.dropped is None:
                    raise
                # The rest of this body is in; what follows it is not left out for its sake.
                partly, dropped = error, dropped + error.dropped
        if partly is not None:
            raise StoreRejectedError(str(partly), dropped, partly.answer)

    def _post(self, bucket: str, body: bytes) -> None:
        with self._calling(bucket, "write"):
            answer = self._writer.post_write(
                self._org,
                bucket,
                body,
                precision="ms",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
                _preload_content=False,
            )
            _text_of(answer)

    def _ask(self, question: Question, text: str) -> bytes:
        """The raw answer of a query; a bucket that is not there yet is made once."""
        bucket = str(question.parameters["bucket"])

        def ask() -> bytes:
            with self._calling(bucket, "read"):
                answer = self._reader.query_raw(
                    text, dialect=self._dialect, params=question.parameters
                )
                return _text_of(answer)

        return self._with_buckets(ask)

    def _with_buckets(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except MissingBucketError:
            if self._prepared:
                raise
            self.prepare()
        return call()

    # ------------------------------------------------------------ raw reads

    def _raw_question(
        self,
        site: str,
        family: str,
        devices: Sequence[str] | None,
        fields: Sequence[str] | None,
    ) -> Question:
        question = Question(self._buckets.raw)
        question.where("_measurement", [family])
        question.where("site", [site])
        if devices is not None and len(devices) <= MOST_NAMES:
            question.where("device", devices)
        if fields is not None:
            question.where("_field", fields)
        return question

    def _read_raw(
        self,
        site: str,
        family: str,
        start_ms: int,
        end_ms: int,
        devices: Sequence[str] | None,
        metrics: Sequence[str] | None,
        pick: Literal["", "first", "last"] = "",
    ) -> answers.Columns:
        """(device, field) -> pieces of times and values."""
        columns: answers.Columns = {}
        start, stop = range_time(start_ms), range_time(end_ms)
        if start >= stop or (devices is not None and not devices):
            return columns
        if metrics is not None and not metrics:
            return columns
        fields = None
        if metrics is not None:
            fields = [name for metric in metrics for name in (metric, metric + QUALITY_SUFFIX)]
        question = self._raw_question(site, family, devices, fields)
        text = question.text(start, stop, (*_KEEP, "_field", "device"), pick)
        wanted = None if devices is None else set(devices)
        for answer in parse_answer(self._ask(question, text), ("device", "_field")):
            _collect(answer, columns, wanted)
        return columns

    def _marked_series(self, site: str, family: str) -> set[tuple[str, str]]:
        """Series that carry quality marks; asked once of the server, then known."""
        key = (site, family)
        with self._lock:
            known = self._marked.get(key)
        if known is not None:
            return known
        oldest_ms = self._clock.now_ms() - lookback_ms(self._raw_days)
        if not self._raw_days:
            oldest_ms = 0
        question = Question(self._buckets.raw)
        question.where("_measurement", [family])
        question.where("site", [site])
        question.match_quality()
        text = question.text(
            range_time(oldest_ms), range_time(LAST_TIME_MS), (*_KEEP, "_field", "device"), "last"
        )
        found = {
            (label["device"], label["_field"].removesuffix(QUALITY_SUFFIX))
            for answer in parse_answer(self._ask(question, text), ("device", "_field"))
            for label, _ in answer.series()
        }
        with self._lock:
            return self._marked.setdefault(key, found)


_KEEP = ("_time", "_value")


def _text_of(answer: Any) -> bytes:
    """The whole answer; its connection is free again."""
    try:
        return bytes(answer.data)
    finally:
        answer.release_conn()


def _collect(answer: Answer, columns: answers.Columns, wanted: set[str] | None) -> None:
    values = answer.values()
    for label, rows in answer.series():
        device = label["device"]
        if wanted is None or device in wanted:
            pieces = columns.setdefault((device, label["_field"]), [])
            pieces.append((answer.time_ms[rows], values[rows]))


def _spans_of(times_ms: Ints) -> list[tuple[int, int]]:
    """First and last instant of each run of instants that lie close together."""
    if not len(times_ms):
        return []
    breaks = np.flatnonzero(np.diff(times_ms) > _SPAN_GAP_MS)
    starts = times_ms[np.concatenate([[0], breaks + 1])]
    ends = times_ms[np.concatenate([breaks, [len(times_ms) - 1]])]
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
