"""A random order of n things of which any place can be asked for, without holding the order.

A Feistel network permutes the numbers below a power of four; what it sends to n or beyond is sent on until it lands
below n (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking). Less than 4 n numbers are
permuted, so a place takes four turns on average at most.
"""

from __future__ import annotations

from burnish.numerics import seed_from

_ROUNDS = 6


def shuffled_place(place: int, count: int, seed: int) -> int:
    """Where `place` goes in the order of `count` things that `seed` stands for; one to one.

    Raises:
        IndexError: the place is not one of them.
    """
    if not 0 <= place < count:
        raise IndexError(f"there are the places 0 to {count - 1}; found {place}")
    half = ((count - 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (seed_from(seed, turn, right) & mask)
        place = left << half | right
        if place < count:
            return place
