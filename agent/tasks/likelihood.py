"""From token probabilities to a probability for every class name.

An endpoint gives, for each generated token, its log probability and the likeliest alternatives at that place. A name
is reached by one path of tokens; at each place along the answer's own path the alternatives tell how much probability
left for other names. This sums that mass over the names an alternative could still become: a trie walk over strings,
so it needs no tokenizer and holds for names of several tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from agent.records import TokenChoice

END = re.compile(r"(?:<[|｜][^<>|｜]{1,40}[|｜]>|</s>|<eos>|<end_of_turn>|\s)+$")
"""Marks of the end, as models write them: some servers give them as tokens."""


def class_mass(tokens: Sequence[TokenChoice], start: int, names: Sequence[str]) -> dict[str, float]:
    """Probability mass of every name, where the answer's name begins `start` characters into the tokens' text.

    Args:
        tokens: the generated tokens in order, with alternatives.
        start: character offset of the name in the concatenated token strings.
        names: the class names.

    Returns:
        name → mass, not normalised: what is missing to one is mass that went to no name. Mass of an alternative that
        several names share (`card_` of `card_lost` and `card_arrival`) is split evenly over them, since nothing
        more is known of it; the answer's own path goes on and is told apart at the place where it parts.
    """
    mass = dict.fromkeys(names, 0.0)
    said, offset, path = "", 0, 1.0
    for choice in tokens:
        begin, offset = offset, offset + len(choice.token)
        if offset <= start:
            continue
        lead = choice.token[: max(0, start - begin)]
        alternatives = dict(choice.top)
        alternatives.setdefault(choice.token, choice.logprob)
        for token, logprob in alternatives.items():
            if token != choice.token and token.startswith(lead):
                _share(mass, said + token[len(lead) :], path * math.exp(min(0.0, logprob)), names)
        path *= math.exp(min(0.0, choice.logprob))
        said += choice.token[len(lead) :]
        reachable = [n for n in names if n.startswith(said)]
        if len(reachable) <= 1:
            break
    # an answer that ended on a whole name is that name, also where a longer one begins with it
    _share(mass, said, path, [said] if said in mass else names)
    return mass


def place_in_tokens(tokens: Sequence[TokenChoice], content: str, at: int, length: int) -> int:
    """Where in the tokens' text the piece of `content` is that begins at `at`; -1 where that is not certain.

    Tokens may hold more than the content: a thought that the server keeps apart, and a mark of the end. They may also
    hold halves of a character. So the two are laid side by side from the piece on, and from the end.
    """
    said = "".join(t.token for t in tokens)
    whole, tail = END.sub("", said).rstrip(), content[at:].rstrip()
    if whole.endswith(tail):
        return len(whole) - len(tail)
    return at if said.startswith(content[: at + length]) else -1


def probability(tokens: Sequence[TokenChoice], start: int, end: int) -> float:
    """Of the tokens that make characters `start` to `end` of the tokens' text, one after the other."""
    total, offset = 0.0, 0
    for choice in tokens:
        begin, offset = offset, offset + len(choice.token)
        if begin < end and offset > start:
            total += min(0.0, choice.logprob)
    return math.exp(total)


def _share(mass: dict[str, float], said: str, amount: float, names: Sequence[str]) -> None:
    """Give `amount` to the names that `said` can still become, or to the one that it finished."""
    if not said.strip():
        return
    reachable = [n for n in names if n.startswith(said)]
    if not reachable:
        done = [n for n in names if said.startswith(n)]
        reachable = [max(done, key=len)] if done else []
    for name in reachable:
        mass[name] += amount / len(reachable)


def renormalised(mass: dict[str, float]) -> tuple[dict[str, float], float]:
    """Mass over names as (probabilities that sum to one, lost mass). All-zero mass gives the uniform distribution."""
    total = sum(mass.values())
    if total <= 0:
        return {name: 1 / len(mass) for name in mass}, 1.0
    return {name: value / total for name, value in mass.items()}, max(0.0, 1.0 - total)
