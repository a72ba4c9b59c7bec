"""A supervisor of small nodes, as a process: for signals."""

import asyncio
import sys
from pathlib import Path

from storm_gateway.config import Config
from storm_gateway.observability.logging import configure_logging
from storm_gateway.supervisor.supervisor import Supervisor

PROGRAM = (sys.executable, str(Path(__file__).with_name("small_node.py")))

if __name__ == "__main__":
    config = Config(addr="127.0.0.1:0", node_name="gate", log_format="json", drain_seconds=1)
    configure_logging(config.model_copy(update={"node_name": ""}))
    sys.exit(asyncio.run(Supervisor(config, 2, program=PROGRAM).run()))
