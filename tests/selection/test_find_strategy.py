"""The job file names a strategy; a wrong name, option or object is answered with the nearest right one."""

from pathlib import Path

import numpy as np
import pytest

from agent.errors import UserError
from agent.selection import STRATEGIES, Strategy, find_strategy, registry
from agent.selection.strategies import Balanced, Entropy, Fusion, Margin, Power, Priced

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

class Wrapped(Longest):
    def __init__(self, inner: "Strategy", others: "tuple[Strategy, ...]" = ()):
        super().__init__(1)
        self.inner, self.others = inner, others

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_selection.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "my_selection", raising=False)
    return "my_selection"


@pytest.mark.parametrize("name", list(STRATEGIES))
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
        ("core-set", {}, "unknown strategy 'core-set'; did you mean 'k_center'?"),
        ("CAL", {}, "did you mean 'contrastive'?"),
        ("qbc", {}, "did you mean 'committee'?"),
        ("greedy", {}, "unknown strategy 'greedy'; known: "),
        ("mine.Doubtful", {}, "did you mean 'mine:Doubtful'?"),
        ("badge", {"candidats": 1, "amon": 2}, "badge has no option 'amon'"),
        ("badge", {"candidats": 1, "amon": 2}, "badge has no option 'candidats'; did you mean 'candidates'?"),
        ("zzz", {}, f"known: {', '.join(STRATEGIES)}, package.module:Name"),
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


def test_an_option_that_is_a_strategy_is_named_like_one() -> None:
    assert find_strategy("power", {"base": "entropy"}) == Power(base=Entropy())


def test_a_nested_strategy_has_options_of_its_own() -> None:
    written = {"base": {"strategy": "power", "options": {"base": {"strategy": "entropy"}, "beta": 2}}, "floor": 0.2}
    assert find_strategy("balanced", written) == Balanced(base=Power(base=Entropy(), beta=2), floor=0.2)


def test_a_list_of_strategies_mixes_names_and_mappings() -> None:
    parts = ["margin", {"strategy": "priced", "options": {"exponent": 1}}, {"strategy": "entropy", "options": None}]
    found = find_strategy("fusion", {"parts": parts, "weights": [1, 2, 1]})
    assert found == Fusion(parts=(Margin(), Priced(exponent=1), Entropy()), weights=[1, 2, 1])


def test_a_strategy_that_was_built_already_is_taken_as_it_is() -> None:
    assert find_strategy("power", {"base": Entropy()}) == Power(base=Entropy())


def test_strategies_of_your_own_nest_both_ways(own: str) -> None:
    outer = find_strategy(
        f"{own}:Wrapped", {"inner": "entropy", "others": [{"strategy": f"{own}:Longest", "options": {"power": 2}}]}
    )
    assert outer.inner == Entropy()
    assert outer.others[0].power == 2
    assert find_strategy("priced", {"base": {"strategy": f"{own}:Longest", "options": {"power": 3}}}).base.power == 3


def test_a_type_that_only_a_type_checker_knows_hides_no_strategy() -> None:
    def build(inner: Strategy, length: "Unheard") -> Strategy:  # type: ignore[name-defined]  # noqa: F821
        return Power(base=inner)

    assert list(registry._strategy_parameters(build)) == ["inner"]
    build.__annotations__["inner"] = "Strategy"
    assert list(registry._strategy_parameters(build)) == ["inner"]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("power", {"base": "margn"}, "`selection.options.base`: unknown strategy 'margn'; did you mean 'margin'?"),
        ("power", {"base": {"strategy": "margn"}}, "`selection.options.base.strategy`: unknown strategy 'margn'"),
        (
            "power",
            {"base": {"strategy": "margin", "option": {}}},
            "`selection.options.base`: unknown key 'option'; did",
        ),
        ("power", {"base": {"options": {}}}, "`selection.options.base.strategy`: is missing"),
        ("power", {"base": {"strategy": 3}}, "`selection.options.base.strategy`: a name is needed, not 3"),
        (
            "power",
            {"base": {"strategy": "margin", "options": 3}},
            "`selection.options.base.options`: a mapping is needed",
        ),
        ("power", {"base": 3}, "`selection.options.base`: a strategy's name or {strategy: NAME, options: {...}}"),
        ("power", {"base": None}, "`selection.options.base`: a strategy's name or"),
        (
            "power",
            {"base": {"strategy": "margin", "options": {"shortlst": 3}}},
            "`selection.options.base.options`: margin has no option 'shortlst'; did you mean 'shortlist'?",
        ),
        (
            "power",
            {"base": {"strategy": "margin", "options": {"shortlist": 0}}},
            "`selection.options.base.options.shortlist`: a whole number from 1 is needed, not 0",
        ),
        ("fusion", {"parts": "margin"}, "`selection.options.parts`: a list of strategies is needed, not 'margin'"),
        ("fusion", {"parts": ["margin", "entrpy"]}, "`selection.options.parts[1]`: unknown strategy 'entrpy'"),
        (
            "fusion",
            {"parts": [{"strategy": "balanced", "options": {"base": "zzzz"}}]},
            "`selection.options.parts[0].options.base`: unknown strategy 'zzzz'",
        ),
        ("power", {"base": "my_selection:Half"}, "`selection.options.base`: my_selection:Half is not a Strategy"),
        ("power", {"base": "no_such_module:Name"}, "`selection.options.base`: no module 'no_such_module'"),
        ("my_selection:Wrapped", {"inner": "margn"}, "`selection.options.inner`: unknown strategy 'margn'"),
    ],
)
def test_what_is_wrong_with_a_nested_strategy_is_said_at_its_own_key(
    own: str, name: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError) as error:
        find_strategy(name, options)
    assert said in str(error.value)
