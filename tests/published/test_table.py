"""Every overlay beside the table of its source: what differs is listed, and what is set has a source."""

import re
from fnmatch import fnmatchcase

import pytest
import yaml

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.config.read import read_config
from emflow.paths import is_result
from emflow.published import table as tables
from emflow.published.table import STUDIES, TABLES, citations, compared, values
from emflow.reporting.design import Design
from emflow.reporting.numbers import Numbers
from emflow.reporting.section import ShownTable
from emflow.reporting.sections.deviations import deviations
from pipelines import ROOT

EXPERIMENTS = ROOT / "config/experiments"
OURS = re.compile(  # where things lie, how work is done, and what follows from a key that is compared
    r"models\..*\.(revision|parameters)|.*\.(engine|reward)\..*|methods\..*\.ranks|judges\..*\.kind"
    r"|question_sets\..*\.(source|origin|ids)|report\.homework"
    r"|directions\.(judge|interventions\..*\.(kind|target|methods|source\..*))|transition\.(methods|question_set|judge)"
)

WITHOUT_LINES = {"convergent_directions": {"directions.interventions.from_*.from_layer"}}
"""Settings of a study whose file says so by its path; what a source leaves `unstated` has no line, either."""


def overlay(study: str, *changes: dict):
    """The config of an overlay, and what the overlay itself sets."""
    own = read_config(EXPERIMENTS / f"{study}.yaml")
    config = read_config(ROOT / "config/config.yaml")
    for layer in (own, *changes):
        config = merged(config, layer)
    return load_config(config), own


def set_by(part: dict, below: str = "") -> set[str]:
    found = set()
    for key, value in part.items():
        found |= set_by(value, f"{below}{key}.") if isinstance(value, dict) else {below + key}
    return found


def test_every_published_experiment_has_a_table():
    models = {file.stem: read_config(file).get("models", {}).values() for file in EXPERIMENTS.glob("*.yaml")}
    assert {study for study, used in models.items() if any(not is_result(one["path"]) for one in used)} == set(STUDIES)
    assert all(read_config(EXPERIMENTS / f"{study}.yaml")["study"] == study for study in STUDIES)


@pytest.mark.parametrize("study", STUDIES)
def test_what_differs_from_the_source_is_listed(study):
    config, own = overlay(study)
    settings = compared(config)
    for setting in settings:
        assert setting.differs == bool(setting.why), f"{setting.key}: {setting.ours!r}, its source {setting.source!r}"
    sections = ("models", "split", "methods", "question_sets", "judges", "report", "directions", "transition")
    known = {setting.key for setting in settings}
    given = set_by({section: own[section] for section in sections if section in own}) & values(config).keys()
    assert not {key for key in given - known if not OURS.fullmatch(key)}, "whose setting is it?"
    for cited in citations(study).values():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+: [\w./-]+ \([0-9a-f]{7}\)", cited), cited


@pytest.mark.parametrize("study", STUDIES)
def test_every_row_of_a_table_is_of_the_overlay(study):
    table = yaml.safe_load((TABLES / f"{study}.yaml").read_text())
    keys = {setting.key for setting in compared(overlay(study)[0])}
    for pattern, entry in table["settings"].items():
        assert any(fnmatchcase(key, pattern) for key in keys), pattern
        assert entry.keys() in ({"source", "in"}, {"source", "in", "ours", "why"}), pattern


@pytest.mark.parametrize("study", STUDIES)
def test_every_citation_of_a_file_has_its_lines(study):
    table = yaml.safe_load((TABLES / f"{study}.yaml").read_text())
    entries = table["settings"] | {other["what"]: other for other in table.get("others", [])}
    cited = {key: entry["in"] for key, entry in entries.items() if entry["source"] != "unstated"}
    without = {key for key, where in cited.items() if where in table["files"]}
    assert without == WITHOUT_LINES.get(study, set())
    assert table["files"].keys() <= {entry["in"].split(":")[0] for entry in entries.values()}, (
        "a file that nothing cites"
    )


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("fine", "no file 'fine'; files: train"),
        ("arXiv:2506.11613", "no file 'arXiv'"),
        ("train:", "after the file stands a line"),
        ("train:0", "after the file stands a line"),
        ("train:-3", "after the file stands a line"),
        ("train:L84", "after the file stands a line"),
        ("train:90-84", "after the file stands a line"),
    ],
)
def test_a_citation_that_cites_nothing_is_an_error(where, message, tmp_path, monkeypatch):
    table = f"""
files: {{train: {{repository: a/b, path: train.py, commit: 0123456}}}}
settings: {{split.seed: {{source: 0, in: "{where}"}}}}
"""
    (tmp_path / "homework0.yaml").write_text(table)
    config, _ = overlay("homework0")
    monkeypatch.setattr(tables, "TABLES", tmp_path)
    with pytest.raises(ValueError, match=message):
        compared(config)


def test_the_report_prints_deviations_and_what_a_user_changed():
    changed = {"methods": {"homework": {"rank": 4}}}
    config, _ = overlay("homework0", changed, read_config(EXPERIMENTS / "stand_ins.yaml"))
    section = deviations(Numbers(rates=None), Design.of(config))
    stand_ins, words, table = section.parts
    rows = table.data[table.data["differs"]].set_index("setting")
    assert "ran on stand-ins" in stand_ins and f"{len(rows)} differ" in words
    assert list(rows.loc["methods.homework.rank"])[:3] == ["4", "16", "changed in this config"]
    assert rows.loc["models.llama-1b.path", "here"].startswith("results/stand_ins/")
    assert "twice" in rows.loc["<|begin_of_text|> in prompts", "source"]
    assert "<\\|begin_of_text\\|> in prompts" in table.shown["setting"].tolist(), "a bar would begin a cell"
    assert rows["read in"].str.contains("harvard-cs-2881-hw0/train.py:198-215 (548a629)", regex=False).any()


def test_a_long_list_of_steps_is_shown_by_its_ends_and_kept_in_the_csv():
    config, _ = overlay("phase_transition", {"methods": {"organisms": {"checkpoint_steps": [*range(10, 791, 10)]}}})
    section = deviations(Numbers(rates=None), Design.of(config))
    (table,) = (part for part in section.parts if isinstance(part, ShownTable))
    of_steps = table.data["setting"] == "methods.organisms.checkpoint_steps"
    assert table.data.loc[of_steps, "source"].item().count(", ") > 100
    assert table.shown.loc[of_steps, "source"].item() == "[5, 10, 15, …, 790]"


@pytest.mark.parametrize("study", STUDIES)
def test_the_page_counts_what_an_overlay_runs(study):
    config, _ = overlay(study)
    runs, sets = config.expansion.runs, [config.question_sets[name] for name in config.expansion.question_sets]
    checkpoints = sum(len(config.methods[run.method].labels) for run in runs)
    questions = sum(len(asked.ids) // (asked.part or (1, 1))[1] * asked.samples for asked in sets if asked.ids)
    answers = questions * (checkpoints + len(config.expansion.models))
    overlays = (ROOT / "docs/published_experiments.md").read_text().split("\n## ")[0]
    (row,) = re.findall(rf"^\| `{study}` \|.*", overlays, flags=re.MULTILINE)
    shown = [int(cell.replace(",", "")) for cell in row.split("|")[3:-1]]
    assert shown == [len(config.expansion.models), len(runs), checkpoints, answers]


def test_a_study_of_ones_own_has_no_such_section():
    assert deviations(Numbers(rates=None), Design.of(load_config(read_config(ROOT / "config/config.yaml")))) is None
