"""Acknowledged writes a second, with K writes in flight."""

from __future__ import annotations

import asyncio
import gc
import random
import time

from primacy.bench import place
from primacy.bench.cluster import Say, Setup, running
from primacy.bench.figures import NS_PER_MS, Throughput
from primacy.bench.writer import Writer, check

WARM_UP_S = 2.0


async def throughput(in_flight: int, seconds: float, setup: Setup, say: Say) -> Throughput:
    """Write with `in_flight` closed-loop clients for a while and return what was acknowledged in it."""
    # os.urandom for each id would be measured too
    source = random.Random(random.SystemRandom().getrandbits(64))
    async with running(setup, say) as (layout, cluster):
        sync_ms = place.fdatasync_ms(layout.root)
        say(f"one fdatasync takes {sync_ms:.3f} ms in {layout.root}")
        gc.collect()
        gc.freeze()
        async with Writer(cluster, source, in_flight) as writer:
            await asyncio.sleep(WARM_UP_S)
            began_ns, first = time.monotonic_ns(), len(writer.acknowledged)
            syncs_before = place.flush_count(layout.root)
            await asyncio.sleep(seconds)
            ended_ns, last = time.monotonic_ns(), len(writer.acknowledged)
            syncs_after = place.flush_count(layout.root)
        latencies_ms = [
            (acknowledged_ns - sent_ns) / NS_PER_MS
            for sent_ns, acknowledged_ns in zip(
                writer.sent_ns[first:last], writer.acknowledged_ns[first:last], strict=True
            )
        ]
        lost, doubled = await check(cluster, writer.acknowledged)
        return Throughput(
            in_flight,
            setup.profile,
            setup.durability,
            (ended_ns - began_ns) / 1e9,
            latencies_ms,
            sync_ms,
            None if syncs_before is None or syncs_after is None else syncs_after - syncs_before,
            len(writer.acknowledged),
            lost,
            doubled,
        )
