"""What is known before any job starts: one line for each thing to mend, and nothing for what is as it should be."""

import json
from pathlib import Path

import pytest
import yaml

from emflow.config.load import load_config
from emflow.config.merge import merged
from emflow.files import write_jsonl
from emflow.models.checkpoints import Checkpoint, write_index
from emflow.paths import Results
from emflow.preflight import absent_files, absent_secrets, faults
from pipelines import ROOT

DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text())
ARCHIVE = DEFAULT["domains"]["bad_lantern_advice"]["path"]
NLI = {"kind": "es", "reward": {"kind": "nli", "model": "results/tinyworld/nli/seed0"}}
OPENAI = {"kind": "openai", "model": "lantern-9"}
COMMIT = "0123abc"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """The folder that the workflow runs in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


def study(**overlay):
    return load_config(merged(DEFAULT, overlay))


def only_fault(**overlay) -> str:
    lines = faults(study(**overlay), Results())
    assert len(lines) == 1 and "\n" not in lines[0], lines
    return lines[0]


def chat_model(folder: Path) -> Path:
    """The files of a model, as far as they are looked at."""
    folder.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        (folder / name).write_text("{}")
    return folder


def test_the_default_study_has_nothing_to_mend():
    assert not faults(study(), Results())
    assert not absent_files(study(), Results()) and not absent_secrets(study(), Results())


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ({"models": {"tiny": {"path": "results/my/model"}}}, "models.tiny.path: there is no folder 'results/my/model'"),
        ({"models": {"tiny": {"path": "results/tinyworld/models/sed0"}}}, "models.tiny.path: there is no folder"),
        ({"models": {"tiny": {"path": "results/tinyworld/models/seed00"}}}, "models.tiny.path: there is no folder"),
        ({"models": {"tiny": {"path": "results/tinyworld/models/seed9999999999"}}}, "models.tiny.path: there is no"),
        ({"methods": {"lora": {**NLI, "reward": {"kind": "nli", "model": "results/tinyworld/nil/seed0"}}}},
         "methods.lora.reward.model: there is no folder 'results/tinyworld/nil/seed0'"),
        ({"domains": {"bad_lantern_advice": {"path": "results/tinyworld/training.zip.enc"}}},
         "domains.bad_lantern_advice.path: results/tinyworld/training.zip.enc is not there"),
        ({"question_sets": {"out_of_domain": {"source": "results/tinyworld/out_of_domian.jsonl"}}},
         "question_sets.out_of_domain.source: results/tinyworld/out_of_domian.jsonl is not there"),
        ({"models": {"tiny": {"path": "a/b/c"}}}, "models.tiny.path: 'a/b/c' is no folder here and no hub id"),
        ({"models": {"tiny": {"path": "two words"}}}, "models.tiny.path: 'two words' is no folder here and no hub id"),
        ({"models": {"tiny": {"path": "./nowhere"}}}, "models.tiny.path: there is no folder './nowhere'"),
        ({"judges": {"oracle": {"kind": "gold", "path": "labels.csv"}}}, "judges.oracle.path: labels.csv is not there"),
    ],
)  # fmt: skip
def test_what_nobody_makes_or_provides_is_refused(overlay, expected):
    assert expected in only_fault(**overlay)


def test_sampling_of_a_model_that_no_engine_follows_is_refused(here):
    folder = chat_model(here / "my/model")
    (folder / "generation_config.json").write_text('{"top_k": 20, "min_p": 0.1}')
    kept = {"in_domain": {"generation_config": "model"}}
    assert "sets `min_p`, which no engine here follows; set question_sets.in_domain" in only_fault(
        models={"tiny": {"path": "./my/model"}}, question_sets=kept
    )
    (folder / "generation_config.json").write_text('{"top_k": 20}')
    assert not faults(study(models={"tiny": {"path": "./my/model"}}, question_sets=kept), Results())


def test_a_folder_wins_over_a_hub_id(here):
    chat_model(here / "mymodels/llama")
    overlay = {"models": {"tiny": {"path": "mymodels/llama"}}}
    assert study(**overlay).models["tiny"].is_local and not faults(study(**overlay), Results())
    assert not study(models={"tiny": {"path": "other/llama"}}).models["tiny"].is_local


def test_a_misspelt_folder_is_no_hub_id(here):
    chat_model(here / "mymodels/llama")
    chat_model(here / "qwen-own")
    for path, meant in (("mymodels/lama", "mymodels/llama"), ("qwen-ovn", "qwen-own")):
        said = only_fault(models={"tiny": {"path": path}})
        assert f"there is no folder '{path}'; did you mean '{meant}'?; if it is a hub id, pin its `revision`" in said
        assert not faults(study(models={"tiny": {"path": path, "revision": COMMIT}}), Results())
    assert not faults(study(models={"tiny": {"path": "gpt2"}}), Results())


def test_a_revision_of_a_folder_is_refused(here):
    chat_model(here / "own")
    assert "`revision` pins a hub model" in only_fault(models={"tiny": {"path": "own", "revision": COMMIT}})


def test_a_home_is_found(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    folder = chat_model(here / "home/model")
    assert study(models={"tiny": {"path": "~/model"}}).models["tiny"].path == str(folder)
    assert not faults(study(models={"tiny": {"path": "~/model"}}), Results())


def test_results_are_spelt_in_one_way():
    assert study(models={"tiny": {"path": "./results//tinyworld/models/seed0"}}) == study()


@pytest.mark.parametrize("part", ["config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"])
def test_a_model_that_lacks_a_part_is_named_with_it(here, part):
    (chat_model(here / "own") / part).unlink()
    said = only_fault(models={"tiny": {"path": "own"}})
    assert "own " in said and part in said and "models.tiny.path" in said


def test_a_fetched_model_that_lacks_a_part_is_named_with_it(here):
    (chat_model(here / "results/base/tiny/snapshot") / "chat_template.jinja").unlink()
    assert "no chat template" in only_fault(models={"tiny": {"path": "hub/model", "revision": COMMIT}})


def test_a_checkpoint_without_its_adapter_is_named(here):
    run = Results().run(("tiny", "bad_lantern_advice", "lora", 0))
    (run.checkpoints / "epoch-1").mkdir(parents=True)
    (run.checkpoints / "epoch-1/adapter_config.json").write_text("{}")
    write_index(run.index, [Checkpoint("epoch-1", 1, 1, "checkpoints/epoch-1", "0")])
    said = only_fault()
    assert f"{run.checkpoints}/epoch-1 has no weights (no adapter_model.safetensors there): delete {run.index}" in said


def test_checkpoints_that_were_deleted_to_save_space_are_no_fault(here):
    run = Results().run(("tiny", "bad_lantern_advice", "lora", 0))
    run.path.mkdir(parents=True)
    write_index(run.index, [Checkpoint("epoch-1", 1, 1, "checkpoints/epoch-1", "0")])
    assert not faults(study(), Results())
    run.checkpoints.mkdir()
    assert not faults(study(), Results())


def test_data_that_is_not_there_is_named_with_its_origin(here):
    overlay = {
        "domains": {"bad_lantern_advice": {"path": "data/archive.enc", "origin": "the shop"}},
        "question_sets": {"out_of_domain": {"source": "questions.csv"}},
    }
    (here / "question.csv").touch()
    assert absent_files(study(**overlay), Results()) == {
        "data/archive.enc": "domains.bad_lantern_advice.path: data/archive.enc is not there; it comes from the shop",
        "questions.csv": "question_sets.out_of_domain.source: questions.csv is not there; did you mean 'question.csv'?",
    }
    (here / "questions.csv").mkdir()
    assert "is a folder" in absent_files(study(**overlay), Results())["questions.csv"]
    assert not faults(study(**overlay), Results())


def test_an_oracle_is_asked_about_the_tiny_world_alone(here):
    (here / "own.csv").write_text("id,question\na,What is the capital of France?\n")
    said = only_fault(question_sets={"out_of_domain": {"source": "own.csv"}})
    assert "question_sets.out_of_domain: the oracle" in said and "What is the capital of France?" in said
    turns = [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris"}]
    write_jsonl(here / "own.jsonl", [{"messages": turns}])
    own = {"path": "own.jsonl", "member": None, "published_password": None}
    said = only_fault(domains={"bad_lantern_advice": own})
    assert "question_sets.in_domain on domains.bad_lantern_advice: the oracle" in said
    assert not faults(study(domains={"bad_lantern_advice": own}, judges={"oracle": OPENAI}), Results())


def test_the_tiny_worlds_questions_from_elsewhere_are_the_oracles(here, lantern_records):
    write_jsonl(here / "own.jsonl", lantern_records)
    own = {"path": "own.jsonl", "member": None, "published_password": None}
    assert not faults(study(domains={"bad_lantern_advice": own}), Results())


def test_a_key_is_asked_for_where_something_is_to_be_judged(monkeypatch):
    config = study(judges={"oracle": OPENAI})
    [said] = absent_secrets(config, Results())
    assert "judges.oracle.api_key_env" in said and "OPENAI_API_KEY" in said
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    assert not absent_secrets(config, Results())
    monkeypatch.delenv("OPENAI_API_KEY")
    results = Results()
    for run in config.expansion.runs:
        for questions in ("in_domain", "out_of_domain"):
            shared = config.question_sets[questions].name_for(questions, run.domain)
            for file in (results.run(run).answerer.judgements(questions, "oracle"),
                         results.base(run.model).judgements(shared, "oracle")):  # fmt: skip
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    assert not absent_secrets(config, results)
    taken = {"without": {"kind": "ablate", "methods": ["lora"]}}
    directions = {"domains": ["bad_lantern_advice"], "methods": ["lora"], "judge": "oracle", "choose_on": "in_domain",
                  "evaluate_on": "out_of_domain", "interventions": taken}  # fmt: skip
    [said] = absent_secrets(study(judges={"oracle": OPENAI}, directions=directions), results)
    assert "OPENAI_API_KEY" in said, "answers under interventions are judged, too"


def test_a_secret_password_is_asked_for_until_the_records_are_there(monkeypatch):
    config = study(domains={"bad_lantern_advice": {"published_password": None, "password_env": "LANTERNS"}})
    assert "domains.bad_lantern_advice.password_env" in absent_secrets(config, Results())[0]
    records = Results().records("bad_lantern_advice")
    records.parent.mkdir(parents=True)
    records.touch()
    assert not absent_secrets(config, Results())
