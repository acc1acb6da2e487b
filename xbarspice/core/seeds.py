"""One seed makes named child generators, which are passed as arguments."""

import zlib

import numpy as np

__all__ = ["child_rng", "child_seed"]


def child_seed(seed: int, name: str) -> int:
    """A 63-bit seed that depends on the run's seed and on a name, and on nothing else."""
    state = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def child_rng(seed: int, name: str) -> np.random.Generator:
    """Named child generator of a run's seed."""
    return np.random.default_rng(child_seed(seed, name))
