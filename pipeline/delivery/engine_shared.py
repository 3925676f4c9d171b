"""The shared engine: procrastinate, on the store's own PostgreSQL, hands wake-ups to the hosts that stay.

A job holds the number of a batch and nothing else. A queueing lock keeps a batch from waiting twice, a lock
keeps it, or the lane of a limited domain, from being worked at twice at once; workers say that they live, and
jobs of those that do not are thrown away. All of this is convenience: a job may be lost, late or doubled, for
every host looks at the store itself (`tend`) and makes a job anew for what still waits there.

When the database goes, the worker goes with it; another is started until the database is back.

Limits: procrastinate's tables are made in the schema that the store's role finds first, by the first host;
that role must be allowed to, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status

from pipeline.clock import Clock
from pipeline.delivery.engine import PARALLEL, Batches, Deliver
from pipeline.errors import StoreUnwritable

BEAT_S = 2.0  # a worker says so often that it lives
STALLED_S = 10.0  # and is taken for dead after so long
TEND_S = 1.0  # the store is looked at this often
AGAIN_S = 1.0  # between two tries to reach the database
REACH_S = 5.0  # one try takes so long at most
POLL_S = 1.0  # jobs are looked for this often, should a notification get lost
DELIVER, TABLE = "deliver", "procrastinate_jobs"

_log = logging.getLogger("procrastinate")


class Shared:
    """Runs deliver(batch) for the jobs of one queue, until cancelled."""

    def __init__(
        self,
        batches: Batches,
        *,
        words: Callable[[], Mapping[str, str]],
        schema: str,
        queue: str,
        host: str,
        clock: Clock,
        parallel: int = PARALLEL,
    ) -> None:
        """``words`` are libpq's, which lead to the store's database; there it is ``schema`` that holds the
        store, and the jobs. ``queue`` is the same on every host of a campaign."""
        self._batches = batches
        self._words = words
        self._schema = schema
        self._queue = queue
        self._host = host
        self._clock = clock
        self._parallel = parallel

    async def run(self, deliver: Deliver) -> None:
        """Work until cancelled; a database that goes away is waited for."""
        for name in (
            "procrastinate",
            "psycopg.pool",
        ):  # the store's own trouble tells it
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        while True:
            with suppress(ConnectorException, StoreUnwritable, OSError):
                await self._work(deliver)
            await self._clock.sleep(AGAIN_S)

    async def _work(self, deliver: Deliver) -> None:
        """Be a worker for as long as the database is there."""
        app = self._app(deliver)
        async with app.open_async():
            await _make_tables(app)
            working = asyncio.ensure_future(
                app.run_worker_async(
                    queues=[self._queue],
                    name=self._host,
                    concurrency=self._parallel,
                    delete_jobs="always",
                    fetch_job_polling_interval=POLL_S,
                    update_heartbeat_interval=BEAT_S,
                    stalled_worker_timeout=STALLED_S,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=0,
                )
            )
            tending = asyncio.ensure_future(self._tend_for_ever(app))
            both = (working, tending)
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.wait(both, timeout=REACH_S)
                for task in both:
                    if task.done() and not task.cancelled():
                        task.exception()  # it is known: the database is away

    def _app(self, deliver: Deliver) -> procrastinate.App:
        there = {**self._words(), "options": f"-c search_path={self._schema}"}
        connector = procrastinate.PsycopgConnector(
            kwargs=there, min_size=1, max_size=self._parallel + 3, timeout=REACH_S
        )
        app = procrastinate.App(connector=connector)

        @app.task(name=DELIVER, queue=self._queue)
        async def run(batch: int) -> None:
            await deliver(batch)

        return app

    async def _tend_for_ever(self, app: procrastinate.App) -> None:
        while True:
            await self._throw_away_stalled(app)
            await self._wake(app)
            await self._clock.sleep(TEND_S)

    async def _throw_away_stalled(self, app: procrastinate.App) -> None:
        """Do away with the jobs of dead workers: their batches get new ones."""
        stalled = await app.job_manager.get_stalled_jobs(queue=self._queue, seconds_since_heartbeat=STALLED_S)
        for job in stalled:
            with suppress(ConnectorException):  # another host was quicker
                await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)

    async def _wake(self, app: procrastinate.App) -> None:
        """Make a job for each batch that nobody has in hand."""
        for batch in await self._batches.waiting():
            job = app.configure_task(
                DELIVER,
                queue=self._queue,
                lock=f"{self._queue} {batch.lock}",
                queueing_lock=f"{self._queue} batch {batch.number}",
            )
            with suppress(AlreadyEnqueued):
                await job.defer_async(batch=batch.number)


async def _make_tables(app: procrastinate.App) -> None:
    """Make procrastinate's own tables, unless they are there."""
    query = f"SELECT to_regclass('{TABLE}')::text AS name"
    if (await app.connector.execute_query_one_async(query))["name"] is None:
        await app.schema_manager.apply_schema_async()
