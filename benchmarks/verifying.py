"""How long it takes to verify a pack, by the number of its entries.

    python -m benchmarks.verifying [--entries 1250 2500 5000 10000]

A line of one long change is made up (faults and resumed runs between two real stages), signed and
packed in memory; what is timed is `policies.verification.verify_pack` alone, without the disk, in
processor time, the packs in turn. An entry costs the same in a long record as in a short one where
the ratios stay at 1.
"""

import argparse
import platform
import statistics
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
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1250, 2500, 5000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    packs = {entries: make_pack(entries) for entries in sorted(asked.entries)}
    spent: dict[int, list[float]] = {entries: [] for entries in packs}
    for _ in range(asked.rounds):
        for entries, pack in packs.items():
            began = time.process_time()
            verify_pack(pack)
            spent[entries].append((time.process_time() - began) / entries)
    first = next(iter(spent))
    print("| entries | MB | an entry's time, to the first row's (range) |\n|---|---|---|")
    for entries, pack in packs.items():
        ratios = [mine / other for mine, other in zip(spent[entries], spent[first], strict=True)]
        size = sum(map(len, pack.values())) / 1e6
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {entries} | {size:.1f} | {told} |")


if __name__ == "__main__":
    main()
