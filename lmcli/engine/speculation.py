"""Speculation: guess the next tokens, let the decoder check them all in one pass.

Decode waits for the weights, so a pass over five tokens takes little longer than one over a single token. What repeats
the prompt or itself (names, quotations, code, lists) can be guessed: prompt lookup decoding (Saxena 2023; Yang et al.
2023, arXiv:2304.04487). Each checked token is chosen from the decoder's own logits by the request's own sampler, and a
guess counts only where it is the token chosen. So the answer is the one that would be given without, drawn ones too:
for guesses that are certain of themselves this is speculative sampling (Leviathan et al. 2023, arXiv:2211.17192).
What follows from no repetition a smaller decoder may guess, see drafting, and what a grammar leaves no choice about is
no guess at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lmcli.engine.grammar import Constraint

MOST = 7  # guesses in a pass; with the token before them, as many rows as the packed products take
_NGRAMS = (3, 2)  # tokens that must repeat for the next ones to be guessed: the longest first
_FEW = 3
_PATIENCE = 4  # misses
_LONGEST_PAUSE = 16  # tokens
_CHECK = 0.1  # what each guess adds to a pass: one over four tokens takes 1.3 times as long
_MEMORY = 0.9  # a pass's weight in the estimate beside the next one's
_PROBE = 2  # guesses after a rest
_RESTS = (8, 64)  # tokens: the first rest and the longest


class Guesser(Protocol):
    """Something that guesses tokens; it may guess none."""

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens to follow `tokens`, which begin with those of the last call."""

    def learn(self, guessed: int, right: int) -> None:
        """How many of the last guesses were right."""


class Drafter(Guesser, Protocol):
    """A guesser that computes."""

    def prepare(self) -> None:
        """As a decoder's: do now what would be done behind the first tokens."""


class Lookup:
    """Guesses that what followed the last two or three tokens before will follow them again."""

    def __init__(self) -> None:
        self._seen = 0  # tokens whose n-grams are in the index
        self._next: dict[tuple[int, ...], int] = {}  # where each n-gram was last followed by a token
        self._pace = Pace()

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        for end in range(max(self._seen, 1), len(tokens)):
            for n in _NGRAMS:
                self._next[tuple(tokens[max(end - n, 0) : end])] = end
        self._seen = len(tokens)
        length = min(most, self._pace.length())
        for n in _NGRAMS:
            start = self._next.get(tuple(tokens[-n:])) if length else None
            if start is not None:
                return list(tokens[start : start + length])
        return []

    def learn(self, guessed: int, right: int) -> None:
        self._pace.learn(guessed, right)


class Chain:
    """The first guesser's guess where it has one, else the next one's."""

    def __init__(self, *guessers: Guesser) -> None:
        self._guessers = guessers
        self._last = guessers[0]

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        for guesser in self._guessers:
            if guess := guesser.guess(tokens, most):
                self._last = guesser
                return guess
        return []

    def learn(self, guessed: int, right: int) -> None:
        self._last.learn(guessed, right)


class Bound:
    """What the answer's grammar leaves no choice about, else as much of another's guess as it allows."""

    def __init__(self, constraint: Constraint, guesser: Guesser) -> None:
        self._constraint, self._guesser = constraint, guesser
        self._forced = False

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        forced = self._constraint.forced()
        self._forced = bool(forced)
        if forced:
            return forced[: max(most, 0)]
        guess = self._guesser.guess(tokens, most)
        return guess[: self._constraint.fitting(guess)]

    def learn(self, guessed: int, right: int) -> None:
        if not self._forced:
            self._guesser.learn(guessed, right)


class Pace:
    """How many tokens to guess at once: three, as many as there are rows for after all were right, and none for a
    while after four misses in a row. (Among such rules it was the fastest on summaries of news, at what a pass over
    more tokens costs here.)"""

    def __init__(self) -> None:
        self._length, self._misses, self._pause = _FEW, 0, 0

    def length(self) -> int:
        """0 while guessing rests."""
        if self._pause:
            self._pause -= 1
            return 0
        return self._length

    def learn(self, guessed: int, right: int) -> None:
        self._length = MOST if right == guessed else _FEW
        self._misses = 0 if right else self._misses + 1
        self._pause = min(2 ** (self._misses - _PATIENCE), _LONGEST_PAUSE) if self._misses >= _PATIENCE else 0


class DraftPace:
    """How many tokens to guess where each guess takes `cost` of a pass: as many as bring the most tokens in the time.

    Where a guess is right with probability a, k guesses bring 1 + a + … + a^k tokens in 1 + k · cost passes (Leviathan
    et al. 2023, section 3.5). If that is never more than a token a pass, guessing rests, ever longer, and a short guess
    finds out whether it still has to. No clock is read, so the same requests are worked in the same passes each time.
    """

    def __init__(self, cost: float) -> None:
        self._cost = cost + _CHECK
        self._right, self._tried = 2.4, 3.0  # A draft is trusted at first.
        self._pause, self._rest = 0, _RESTS[0]

    def length(self) -> int:
        """0 while guessing rests."""
        if self._pause:
            self._pause -= 1
            return 0
        return self._best() or _PROBE

    def learn(self, guessed: int, right: int) -> None:
        # What follows the first wrong guess tells nothing.
        self._right = _MEMORY * self._right + right
        self._tried = _MEMORY * self._tried + min(right + 1, guessed)
        pays = self._best() > 0
        self._pause = 0 if pays else self._rest
        self._rest = _RESTS[0] if pays else min(2 * self._rest, _RESTS[1])

    def _best(self) -> int:
        a = self._right / self._tried
        return max(range(MOST + 1), key=lambda k: sum(a**n for n in range(k + 1)) / (1 + k * self._cost))
