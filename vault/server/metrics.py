"""What `/metrics` says: the counts of all workers together, and how the log's witnesses stand.

Workers of one supervisor count in files of one folder, which each of them adds up when it is asked. The
witnesses are asked by other processes too, so their numbers are read from the database at each scrape.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from access_log.witness import remembered
from access_log.witness.remembered import Failures, Standing
from consent.expiring import Expiring, Kind, expiring
from vault.catalogue import Catalogue
from vault.records import quality
from vault.records.quality import Measure

_SOON: Final = timedelta(days=30)


class _Witnesses(Collector):
    def __init__(self, standings: Iterable[Standing], failures: Iterable[Failures]) -> None:
        self._standings = list(standings)
        self._failures = list(failures)

    def collect(self) -> Iterable[Metric]:
        """Sizes, ages and failures."""
        sizes = GaugeMetricFamily(
            "creditvault_witness_size", "Log size a witness cosigned last.", labels=["witness"]
        )
        ages = GaugeMetricFamily(
            "creditvault_witness_age_seconds", "Seconds since a witness cosigned.", labels=["witness"]
        )
        failures = CounterMetricFamily(
            "creditvault_witness_failures", "Failures of a witness by kind.", labels=["witness", "kind"]
        )
        for standing in self._standings:
            sizes.add_metric([standing.name], standing.size)
            ages.add_metric([standing.name], standing.age)
        for failure in self._failures:
            failures.add_metric([failure.name, failure.kind], failure.count)
        return sizes, ages, failures


def worker_metrics(shared: Path | None) -> bytes:
    """The counts of the workers in the Prometheus text format.

    Args:
        shared: the folder they count in; None where this process is the only one.
    """
    if shared is None:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(shared))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


class _Expiring(Collector):
    def __init__(self, found: Iterable[Expiring]) -> None:
        self._found = Counter(one.kind for one in found)

    def collect(self) -> Iterable[Metric]:
        """How many of each kind."""
        expiring_soon = GaugeMetricFamily(
            "creditvault_expiring_soon", "Grants that end by themselves within 30 days.", labels=["kind"]
        )
        for kind in get_args(Kind):
            expiring_soon.add_metric([kind], self._found[kind])
        return (expiring_soon,)


async def expiry_metrics(engine: AsyncEngine, catalogue: Catalogue) -> bytes:
    """What ends soon, in the Prometheus text format; nothing while the database does not answer."""
    now = datetime.now(UTC)
    try:
        async with engine.connect() as connection:
            found = _Expiring(await expiring(connection, _SOON, now=now, today=catalogue.today(now)))
    except SQLAlchemyError:
        return b""
    registry = CollectorRegistry()
    registry.register(found)
    return generate_latest(registry)


class _Furnished(Collector):
    def __init__(self, totals: Mapping[Measure, int]) -> None:
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        """New, corrected and rejected ones, of all bodies together."""
        furnished = CounterMetricFamily(
            "creditvault_furnished_records", "Records handed in, by what became of them.", labels=["became"]
        )
        for measure in (Measure.ENROLLED, Measure.CORRECTED, Measure.REJECTED):
            furnished.add_metric([measure], self._totals.get(measure, 0))
        return (furnished,)


async def furnishing_metrics(engine: AsyncEngine) -> bytes:
    """What was handed in, in the Prometheus text format; nothing while the database does not answer."""
    try:
        async with engine.connect() as connection:
            found = _Furnished(await quality.totals(connection))
    except SQLAlchemyError:
        return b""
    registry = CollectorRegistry()
    registry.register(found)
    return generate_latest(registry)


async def witness_metrics(engine: AsyncEngine, log: int) -> bytes:
    """The witnesses' numbers in the Prometheus text format; nothing while the database does not answer."""
    try:
        async with engine.connect() as connection:
            found = _Witnesses(
                await remembered.standings(connection, log), await remembered.failures(connection, log)
            )
    except SQLAlchemyError:
        return b""
    registry = CollectorRegistry()
    registry.register(found)
    return generate_latest(registry)
