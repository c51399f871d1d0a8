"""How the suite is shared out among processes: in pieces, the longest first."""

import re
from collections.abc import Sequence

# Files of over a minute, longest first: what begins last must not be what takes longest.
LONGEST = (
    "models/training/test_replicas.py", "components/training/test_worker.py", "models/contract/test_jax.py",
    "tuning/test_supervisor.py", "pipeline/runners/test_local_run.py", "models/contract/test_recipes.py",
    "pipeline/runners/test_compressed_run.py", "components/serving/test_released_model.py",
    "models/codecs/test_soft_to_hard.py", "pipeline/runners/test_caches.py",
    "pipeline/commands/test_cross_validate.py", "pipeline/runners/test_chain_run.py",
    "models/codecs/serving/test_server.py", "pipeline/commands/test_compress.py", "pipeline/commands/test_sweep.py",
    "pipeline/runners/test_interruption.py", "models/contract/test_toy_recipe.py", "components/server/test_server.py",
    "pipeline/client/test_remote.py", "models/codecs/serving/test_damaged_streams.py",
)  # fmt: skip
# The contract is the one file that grows with the recipes: each of them is a piece of its own.
_CONTRACT = re.compile(r"(.*/test_recipes\.py)::TestContract::.*[\[-](\w+)\]$")


def piece(nodeid: str) -> str:
    """What one process runs: a file, whose fixtures serve all its tests, or a recipe's tests of the contract."""
    found = _CONTRACT.match(nodeid)
    return f"{found[1]}[{found[2]}]" if found else nodeid.partition("::")[0]


def in_order(nodeids: Sequence[str]) -> list[int]:
    """Places of tests in the order to run them: pieces together, the longest files first, else as they were."""
    pieces = {}
    for n, nodeid in enumerate(nodeids):
        pieces.setdefault(piece(nodeid), []).append(n)

    def rank(name: str) -> int:
        ranks = (n for n, file in enumerate(LONGEST) if name.partition("[")[0].endswith(file))
        return next(ranks, len(LONGEST))

    return [n for name in sorted(pieces, key=rank) for n in pieces[name]]
