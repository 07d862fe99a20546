"""Serve a simulated Airflow until SIGTERM or SIGINT. ``python -m benchmarks.simulated_airflow
--help`` shows the options.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from .airflow import Settings, SimulatedAirflow
from .catalog import all_dags
from .dags import read_dags
from .events import SOURCE, Format
from .faults import Faults
from .server import serve

DEFAULTS = Settings()


def main() -> int:
    """Serve a simulated Airflow until SIGTERM or SIGINT.

    Return the exit status: 0, or 2 if the DAGs or the faults in the arguments are invalid.
    """
    arguments = _parser().parse_args()
    try:
        dags = all_dags() + [dag for file in arguments.dags for dag in read_dags(file)]
        faults = Faults.model_validate(json.loads(arguments.faults))
    except (OSError, ValueError, ValidationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    settings = Settings(
        user=arguments.user,
        password=os.environ.get("SIMULATED_AIRFLOW_PASSWORD", DEFAULTS.password),
        version=arguments.version,
        seed=arguments.seed,
        starts_per_second=arguments.starts_per_second,
        brokers=arguments.brokers,
        topic=arguments.topic,
        form=Format(arguments.format),
        source=arguments.source,
    )
    asyncio.run(_serve(SimulatedAirflow(dags, settings, faults), arguments.port))
    return 0


async def _serve(airflow: SimulatedAirflow, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner, port = await serve(airflow, port)
    print(f"simulated Airflow at http://127.0.0.1:{port}, user {airflow.settings.user}", flush=True)
    await ended.wait()
    await runner.cleanup()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated_airflow",
        description=__doc__,
        epilog="SIMULATED_AIRFLOW_PASSWORD: the user's password.",
    )
    parser.add_argument("--port", type=int, default=0, help="the port on loopback; 0, the default: a free one")
    parser.add_argument("--user", default=DEFAULTS.user, help="the only user")
    parser.add_argument("--version", default=DEFAULTS.version, help="Airflow's version")
    parser.add_argument("--dags", type=Path, action="append", default=[], help="a JSON file with more DAGs")
    parser.add_argument("--brokers", default="", help="Kafka's bootstrap servers; empty, the default: no events")
    parser.add_argument("--topic", default=DEFAULTS.topic, help="the topic of the events")
    parser.add_argument("--format", choices=list(Format), default=DEFAULTS.form, help="whose events are sent")
    parser.add_argument("--source", default=SOURCE, help="the name that this Airflow gives itself in events")
    parser.add_argument("--seed", type=int, default=0, help="decides faults and how long tasks take")
    parser.add_argument("--starts-per-second", type=float, help="how many runs start in a second at most")
    parser.add_argument("--faults", default="{}", help='what goes wrong, as JSON: {"errors": 0.01}')
    return parser


if __name__ == "__main__":
    sys.exit(main())
