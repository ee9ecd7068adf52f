"""A real Kafka broker of a test's own: Apache Kafka in KRaft mode, one node, on 127.0.0.1.

Its jars are those of `kafka_jars.txt` (see `maven_jars`), it runs on free ports and keeps its files
in a temporary directory. `python kafka_broker.py` runs one until its standard input closes, and
prints its address.
"""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support import maven_jars
from support.external_servers import Server, answers, free_ports, running
from wavebreak.errors import ServiceError

JARS = Path(__file__).with_name("kafka_jars.txt")
# A small heap, and code that is compiled fast rather than well: a test's broker lives for seconds.
JAVA = ("-Xmx384m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")  # fmt: skip
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": 1,
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    # A cleaner that looks often: tests wait for it.
    "log.cleaner.backoff.ms": 200,
    "log.cleaner.dedupe.buffer.size": 8 << 20,
    # After a kill the broker waits until its earlier self is forgotten.
    "broker.session.timeout.ms": 1000,
    "broker.heartbeat.interval.ms": 200,
    "log.segment.delete.delay.ms": 100,
}


class KafkaBroker(Server):
    """A broker on a free port; `kill` is SIGKILL, and `start_again` goes on with its files.

    Attributes:
        log: File of what it says on standard error (warnings, and why it did not start).
    """

    PATIENCE_S = 60

    def __init__(self, **settings: str | int) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="wavebreak-kafka-"))
        self._data, self._options = self._home / "data", self._home / "server.properties"
        self.log = self._home / "broker.log"
        port, controller = free_ports(2)
        chosen = SETTINGS | {
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": self._data,
        }
        lines = [f"{name}={value}\n" for name, value in {**chosen, **settings}.items()]
        self._options.write_text("".join(lines), encoding="utf-8")
        self._java = [maven_jars.program("java"), *JAVA, "-cp", maven_jars.class_path(JARS)]
        super().__init__([*self._java, "kafka.Kafka", str(self._options)], port)
        self._passing = str(self._home)

    @property
    def address(self) -> str:
        """Its `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The folder of its topics."""
        return self._data

    def start(self) -> None:
        """Format its storage, start it, and wait until it listens."""
        # Its first byte is 0: an id that begins with a dash would be read as an option.
        cluster = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c"]
        done = subprocess.run(
            [*command, self._options], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServiceError(f"the broker's storage could not be formatted: {done.stderr}")
        self.start_again()

    def start_again(self) -> None:
        """Start it with the files that it left."""
        with self.log.open("ab") as log:
            self._owner["stderr"] = log
            super().start()

    def ready(self) -> bool:
        """Whether it takes connections."""
        return answers(self.port)

    def stop(self) -> None:
        """End it, and remove all that it kept."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)


def main() -> None:
    """Run a broker until standard input closes."""
    with running(KafkaBroker()) as broker:
        print(broker.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
