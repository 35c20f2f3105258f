"""Random numbers as functions of what they are for: nothing is saved to repeat them."""

import zlib

_MASK = (1 << 64) - 1


def mix(*parts: int | str) -> int:
    """A seed in [0, 2^63) from whole numbers and names, well spread even for neighbours.

    Each part is folded in by the finaliser of splitmix64 (Steele et al., "Fast splittable
    pseudorandom number generators", OOPSLA 2014, https://doi.org/10.1145/2660193.2660195).
    """
    return fold(0, *parts) >> 1


def fold(state: int, *parts: int | str) -> int:
    """What ``mix`` has folded its parts into, given what it had for those before them."""
    for part in parts:
        number = (
            zlib.crc32(part.encode(errors="surrogateescape")) if isinstance(part, str) else part
        )
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state
