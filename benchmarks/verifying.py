"""How long it takes to verify a pack, by the number of its entries.

    python -m benchmarks.verifying --entries 10000

A line of one long change is made up (faults and resumed runs between two real stages), signed and
packed in memory; what is timed is `policies.verification.verify_pack` alone, without the disk.
"""

import argparse
import json
import platform
import time
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.canonical import canonical_bytes, digest
from policies.entries import Body, ChangeOpened, FaultRecorded, RunResumed
from policies.keys import public_line
from policies.ledger import Chain, seal
from policies.pack import assemble
from policies.policy import load_policy
from policies.roster import Roster
from policies.verification import verify_pack

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LINE = "bench"


def make_pack(entries: int) -> dict[str, bytes]:
    """A pack of so many entries, signed by a new key."""
    key, documents = Ed25519PrivateKey.generate(), {}

    def put(content: object) -> str:
        data = content if isinstance(content, bytes) else canonical_bytes(content)
        documents[digest(data)] = data
        return digest(data)

    people = [{"name": "ann", "roles": ["risk"], "keys": [{"key": public_line(key.public_key())}]}]
    environment = put({"python": platform.python_version()})
    opened = ChangeOpened(
        requester="erin",
        base_model=digest(b"base"),
        original_layers=30,
        kept_layers=tuple(range(30)),
        policy=put(load_policy("standard").document()),
        kpis=put({"kpis": []}),
        roster=put(Roster.model_validate({"people": people}).document()),
        run=put({"run": 1}),
        environment=environment,
    )
    fault = FaultRecorded(stage="pin the data", error="StorageError", message="no route to S3")
    resumed = RunResumed(at="pin the data", environment=environment)
    chain, envelopes = Chain(LINE, key.public_key()), []
    for at in range(entries):
        body: Body = opened if at == 0 else (fault if at % 2 else resumed)
        entry = chain.draft(body, change=f"{LINE}-0001", time=START + timedelta(seconds=at))
        envelopes.append(seal(entry, key))
        chain.follow(envelopes[-1])
    return assemble(
        chain,
        envelopes,
        f"{LINE}-0001",
        fetch=documents.__getitem__,
        signer=key,
        time=START + timedelta(seconds=entries),
        extra={},
    )


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    pack, seconds, cpu = make_pack(asked.entries), [], []
    for _ in range(asked.rounds):
        begun, worked = time.perf_counter(), time.process_time()
        report = verify_pack(pack)
        seconds.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - worked)
    print(
        json.dumps(
            {
                "entries": report.entries,
                "megabytes": round(sum(map(len, pack.values())) / 1e6, 1),
                "seconds": [round(one, 2) for one in sorted(seconds)],
                "cpu_seconds": [round(one, 2) for one in sorted(cpu)],
                "python": platform.python_version(),
                "machine": platform.machine(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
