"""The job file names a strategy; a wrong name, option or object is answered with the nearest right one."""

from pathlib import Path

import numpy as np
import pytest

from agent.errors import UserError
from agent.selection import STRATEGIES, find_strategy

OWN = """
import numpy as np

class Longest:
    def __init__(self, power, floor=0.0):
        self.power, self.floor = power, floor

    def score(self, state):
        return state.doubt ** self.power

    def pick(self, scores, size, rng):
        return np.argsort(-scores)[:size]

class Half:
    def score(self, state):
        return state.doubt

def open_handed(**anything):
    return Longest(**anything)

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_selection.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_selection", raising=False)
    return "my_selection"


@pytest.mark.parametrize("name", ["random", "least_confidence", "margin", "entropy"])
def test_every_built_in_strategy_is_found_by_its_name(name: str) -> None:
    assert type(find_strategy(name)) is STRATEGIES[name]


def test_options_reach_the_strategy() -> None:
    assert find_strategy("margin", {"shortlist": 3, "uncovered": 0.5}) == STRATEGIES["margin"](
        shortlist=3, uncovered=0.5
    )


def test_a_strategy_of_your_own_is_found_and_built_with_its_options(own: str) -> None:
    strategy = find_strategy(f"{own}:Longest", {"power": 2})
    assert strategy.pick(np.array([1.0, 3.0, 2.0], dtype=np.float32), 2, np.random.default_rng(0)).tolist() == [1, 2]
    assert find_strategy(f"{own}:open_handed", {"power": 2, "floor": 0.1}) is not None


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("margn", {}, "`selection.strategy`: unknown strategy 'margn'; did you mean 'margin'?"),
        ("zzz", {}, "known: random, least_confidence, margin, entropy, package.module:Name"),
        (
            "margin",
            {"shortlst": 3},
            "`selection.options`: margin has no option 'shortlst'; did you mean 'shortlist'",
        ),
        ("margin", {"zzz": 3}, "known: shortlist, uncovered"),
        ("my_selection:Longest", {"powr": 3}, "has no option 'powr'; did you mean 'power'?"),
        ("my_selection:Longest", {}, "my_selection:Longest needs the option power"),
        ("my_selection:Half", {}, "my_selection:Half is not a Strategy: it lacks pick"),
        ("my_selection:number", {}, "my_selection:number is not a class or a function"),
        ("my_selection:Nothing", {}, "has no 'Nothing'"),
        ("no_such_module:Name", {}, "no module 'no_such_module'"),
    ],
)
def test_what_is_wrong_names_the_key_and_the_way_out(
    own: str, name: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError) as error:
        find_strategy(name, options)
    assert said in str(error.value)
