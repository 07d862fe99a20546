"""A process that sends one PATCH for each Kafka message. The benchmark :mod:`benchmarks.push`
compares this process with the operator. Both have a latency: the time from an event in Kafka to the
change of an MLJob's status. The operator does more work, so its latency should be longer.

The process ignores run ids, states, conditions, offsets and conflicts. So almost all of its
latency is the latency of Kafka and the API server.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import aiohttp
from confluent_kafka import Consumer

from benchmarks.servers import MERGE_PATCH, Credentials, path_of

CONNECTIONS = 16


def main() -> None:
    """Send a PATCH for each new message of the Kafka topic that the environment variable
    ``BENCH_TOPIC`` names, until the process is terminated.
    """
    asyncio.run(_serve(Path(os.environ["KUBECONFIG"]), os.environ["BENCH_BROKERS"], os.environ["BENCH_TOPIC"]))


async def _serve(kubeconfig: Path, brokers: str, topic: str) -> None:
    loop = asyncio.get_running_loop()
    credentials = Credentials.of(kubeconfig)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=credentials.tls())
    async with aiohttp.ClientSession(connector=connector, headers=credentials.headers(MERGE_PATCH)) as session:

        async def patch(value: bytes) -> None:
            event = json.loads(value)
            task = {"taskId": event["task_id"], "state": "running", "metrics": event.get("metrics") or {}}
            url = credentials.server + path_of(event["mljob"]["namespace"], event["mljob"]["name"], "status")
            async with session.patch(url, data=json.dumps({"status": {"tasks": [task]}})) as answer:
                answer.raise_for_status()
                await answer.read()

        patches: set[asyncio.Task[None]] = set()

        def deliver(values: list[bytes]) -> None:
            for value in values:
                task = asyncio.create_task(patch(value))
                patches.add(task)
                task.add_done_callback(patches.discard)

        def consume() -> None:
            consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench-floor"})
            consumer.subscribe([topic])
            while True:
                first = consumer.poll(1.0)
                if first is None:
                    continue
                # consume() would wait for a full batch. So wait for one message, and take those
                # that have already arrived.
                messages = [first, *consumer.consume(500, 0)]
                loop.call_soon_threadsafe(deliver, [m.value() or b"" for m in messages if m.error() is None])

        threading.Thread(target=consume, daemon=True).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
