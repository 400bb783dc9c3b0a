"""The sweep every engine runs, in one order: fast 5..44, slow 60, 68 .. 252."""

COMBOS = [(fast, slow) for fast in range(5, 45) for slow in range(60, 260, 8)]
CASH = 100_000.0
SIZE = 100
