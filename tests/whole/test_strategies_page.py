"""docs/strategies.md says what there is: every strategy with its options, picture and cost, and nothing else."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml

from agent.job import SelectionSettings, StudentSettings
from agent.selection import STRATEGIES, Choice, State, Strategy, compose, find_strategy

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs" / "images" / "strategies"
SECTIONS = {part.split("`")[1]: part for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]}
SETTINGS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
OWN = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
VERBS = {
    "score",
    "pick",
    "choose",
    "compose",
    "State",
    "Choice",
    "Ranked",
    "selection.unbiased",
    "selection.knowledge",
}


def options(name: str) -> dict[str, Any]:
    return {p.name: p.default for p in inspect.signature(STRATEGIES[name]).parameters.values()}


def defaults(name: str) -> dict[str, Any]:
    """As a person would write them; a field that is made anew for each is read off a built one."""
    built = find_strategy(name)
    return {option: written(getattr(built, option)) for option in options(name)}


def written(value: Any) -> Any:
    if isinstance(value, tuple):
        return [written(v) for v in value]
    return getattr(type(value), "name", "?") if isinstance(value, Strategy) else value


def of_options(section: str) -> str:
    """The paragraph of a section that lists the options."""
    return section.partition("**Options.**")[2].partition("**Cost.**")[0]


def told(section: str) -> dict[str, Any]:
    """The options that a section names, `name: default`."""
    found = [yaml.safe_load(span) for span in SPAN.findall(of_options(section)) if re.match(r"[a-z_]+: ", span)]
    return {name: value for each in found for name, value in each.items()}


def test_every_strategy_has_its_section_and_no_other() -> None:
    assert list(SECTIONS) == list(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_section_names_every_option_with_its_default(name: str) -> None:
    assert told(SECTIONS[name]) == defaults(name)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_section_says_the_cost_in_time_and_memory_and_when_to_use_it(name: str) -> None:
    cost = SECTIONS[name].split("**Cost.**")[1].split("**When.**")
    assert re.search(r"time O\(", cost[0], re.IGNORECASE)
    assert "memory" in cost[0].lower()
    assert len(cost[1].split()) > 5


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_section_shows_what_the_strategy_picks(name: str) -> None:
    assert f'src="images/strategies/{name}.png"' in SECTIONS[name]


def test_the_pictures_are_there_and_small_and_all_of_them_are_shown() -> None:
    shown = set(re.findall(r'src="images/strategies/([a-z_]+\.png)"', PAGE))
    assert shown == {path.name for path in PICTURES.iterdir()}
    for name in shown:
        data = (PICTURES / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 60_000


def test_the_files_and_places_that_it_links_to_are_there() -> None:
    places = {
        re.sub(r"[^a-z0-9 _-]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^##+ (.*)$", PAGE, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, place = target.partition("#")
        assert (ROOT / "docs" / path).exists(), target
        assert path or place in places, target
    for path in re.findall(r"`((?:agent|evals)/[a-z_/]+(?:\.py)?)`", PAGE):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"python -m (evals\.[a-z_]+)", PAGE):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module


# Names ----------------------------------------------------------------------------------------------------------


def test_the_settings_that_it_shows_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN[0], encoding="utf-8")
    assert len(SETTINGS) > 3
    for shown in SETTINGS:
        assert set(shown) <= {"selection", "student"}
        found = SelectionSettings.model_validate(shown["selection"])
        StudentSettings.model_validate(shown.get("student", {}))
        find_strategy(found.strategy, found.options)
    sys.modules.pop("mine", None)


def test_it_shows_the_defaults_of_a_job() -> None:
    shown = SETTINGS[0]
    for section, model in (("selection", SelectionSettings()), ("student", StudentSettings())):
        given = {k: v for k, v in shown[section].items() if k not in ("strategy", "options", "refresh")}
        assert given == {k: getattr(model, k) for k in given}
    refresh = StudentSettings().refresh
    assert shown["student"]["refresh"] == {k: getattr(refresh, k) for k in shown["student"]["refresh"]}
    assert SelectionSettings().strategy in PAGE.split("## The job file")[0]


def known_words() -> set[str]:
    """What a bare word in code type may be: a strategy, an option, a setting of selection, or a word of the seam."""
    found = set(STRATEGIES) | VERBS | {"default", "mine.py", "state.rng", "state.blocks()", "student.refresh.pool"}
    for name in STRATEGIES:
        found |= set(options(name))
    return found | set(SelectionSettings.model_fields) | set(State.__dataclass_fields__) | {"entity", "head", "tail"}


OF_FILES = {
    "relation",
    "type",
    "aliases",
    "why",
    "chance_of_first_draw",
}  # of knowledge graphs, and of exported labels


def test_no_word_of_it_names_what_is_not_there() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    unknown = {span for span in SPAN.findall(prose) if re.fullmatch(r"[a-z_]+", span)} - known_words() - OF_FILES
    assert not unknown
    settings = set(SelectionSettings.model_fields) | {"strategy"} | {o for n in STRATEGIES for o in options(n)}
    for span in SPAN.findall(prose):
        if said := re.fullmatch(r"([a-z_]+): .+", span):
            assert said[1] in settings, span
        if said := re.fullmatch(r"strategy: ([a-z_]+)", span):
            assert said[1] in STRATEGIES, span
        if said := re.fullmatch(r"(selection|student)\.([a-z_.]+)(: .+)?", span):
            model = SelectionSettings if said[1] == "selection" else StudentSettings
            assert said[2].split(".")[0] in model.model_fields, span


def test_the_choices_of_an_option_that_it_lists_are_taken() -> None:
    """`metric: euclidean` (or cosine): the words in brackets are values that the class takes."""
    tried = 0
    for name, section in SECTIONS.items():
        paragraph = of_options(section)
        for option, listed in re.findall(
            r"`([a-z_]+): [a-z_]+`\s*\(((?:or )?[a-z_]+(?:(?:, | or )[a-z_]+)*)\)", paragraph
        ):
            for value in re.split(r", | or ", listed.removeprefix("or ")):
                find_strategy(name, {option: value})
                tried += 1
    assert tried > 15


# The pictures ---------------------------------------------------------------------------------------------------


def test_a_picture_can_be_drawn_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from evals import _strategy_pictures

    again = _strategy_pictures.draw("margin", tmp_path)
    assert 10_000 < again.stat().st_size < 60_000
    assert {*STRATEGIES, *_strategy_pictures.OTHERS} == {path.stem for path in PICTURES.iterdir()}


@pytest.mark.parametrize("name", [*STRATEGIES, "cold_start"])
def test_a_picture_shows_twelve_texts(name: str) -> None:
    from evals import _strategy_pictures

    picks = _strategy_pictures.picks(name)
    assert len({chosen.row for chosen in picks}) == _strategy_pictures.PICKS == 12


# A strategy of one's own ----------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Strategy]:
    """The page's own strategy, out of a file beside the job, by the settings that the page shows."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN[0], encoding="utf-8")
    sys.modules.pop("mine", None)
    (settings,) = (s["selection"] for s in SETTINGS if ":" in s["selection"]["strategy"])
    yield find_strategy(settings["strategy"], settings["options"])
    sys.modules.pop("mine", None)


def test_the_strategy_of_your_own_makes_a_batch(own: Strategy) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(90, 4)).astype(np.float32)
    doubt = rng.random(80).astype(np.float32)
    state = State(np.arange(80), doubt, lambda rows: points[rows], labelled=np.arange(80, 90))
    batch = compose(state, own, 10, 0.2, np.random.default_rng(1))
    assert len({c.row for c in batch}) == 10
    unsure = [c for c in batch if c.slice == "unsure"]
    drawn = [c.row for c in batch if c.slice == "random"]
    assert unsure
    assert unsure[0].row == int(np.delete(np.arange(80), drawn)[np.delete(doubt, drawn).argmax()])
    assert unsure[0].score == pytest.approx(doubt[unsure[0].row] ** 3)
    assert unsure[0].why["strategy"] == "doubtful"
    assert len([line for line in OWN[0].splitlines() if line.strip()]) <= 12


def test_what_it_says_a_strategy_may_see_is_there() -> None:
    said = PAGE.split("says all that a strategy may see:")[1].split(".")[0]
    assert set(SPAN.findall(said)) <= set(State.__dataclass_fields__)
    assert Choice.__dataclass_fields__.keys() >= {"indices", "why"}


def test_options_have_no_type_that_the_page_could_not_show() -> None:
    """Plain values, strategies and lists of them: what a job file can hold."""
    for name in STRATEGIES:
        for value in defaults(name).values():
            assert not isinstance(value, Mapping)
            assert yaml.safe_load(yaml.safe_dump(value)) == value
            assert get_args(type(value)) == ()
