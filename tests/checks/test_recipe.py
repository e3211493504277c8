from __future__ import annotations

import pytest
import yaml

from checks.cli import main
from checks.recipe import altered_keys, flatten, keys_run_otherwise
from encore.runtime.atomic import write_json
from encore.runtime.refusal import Refusal

RUN = {"machine": "0" * 12, "finished": "2026-01-02T03:04:05+00:00", "system": "toy", "stage": "train"}


def test_machine_keys_are_no_part_of_a_recipe_but_the_held_out_seed_is():
    values = {"seed": 1, "train": {"seed": 2, "rate": 3, "workers": 4}, "queries": {"held_out": {"seed": 5}}}
    assert flatten(values) == {"train.rate": 3, "queries.held_out.seed": 5}


def test_the_accumulation_of_students_is_the_cards_and_that_of_others_is_not():
    values = {"recipe": {"accumulation": 4, "rate": 1}, "accumulation_of": {"resnet50": 8}}
    for parameters in ({"fkd": {"train": values}}, {"fkd.train": values}):
        assert flatten(parameters) == {"fkd.train.recipe.rate": 1}
    assert "fkd.train_kd.a.recipe.accumulation" in flatten({"fkd": {"train_kd": {"a": values}}})


def test_keys_of_the_machine_and_of_records_are_no_part_of_a_recipe():
    names = ("processes", "workers", "validation_workers", "save_every", "print_every", "keep_bytes")
    names += ("wandb", "wandb_project", "published_layout", "snapshots", "snapshot_classes", "subset_seed")
    assert flatten({"recipe": dict.fromkeys(names, 1), "wandb_projects": 2}) == {"wandb_projects": 2}


def test_what_drip_training_may_be_given_on_top_is_no_part_of_its_recipe():
    values = {
        "pictures": {"imagenet_order": "ids.pickle", "order_seed": 1},
        "train": {"save_top_k": 9, "arc_s": 3},
    }
    assert flatten({"drip": values}) == {"drip.pictures.order_seed": 1, "drip.train.arc_s": 3}
    assert flatten({"fkd": {"train": {"save_top_k": 9}}}) == {"fkd.train.save_top_k": 9}


def test_changed_added_and_missing_keys_are_altered():
    assert altered_keys(
        {"a": 1, "b": {"c": [1, 2]}, "new": None}, {"a": 2, "b": {"c": [1, 2]}, "old": 0}
    ) == ["a", "new", "old"]


def test_freeze_then_compare(project, capsys):
    project.write_yaml("mini/params.yaml", {"toy": {"train": {"rate": 0.3}}, "root": ".."})
    command = ["recipe", str(project.mini), "--claims", str(project.claims)]
    assert _run(*command) == 1
    assert "recipe altered (toy.train.rate)" in capsys.readouterr().out
    _run(*command, "--freeze")
    assert yaml.safe_load((project.claims / "mini_params.yaml").read_text()) == {
        "toy": {"train": {"rate": 0.3}}
    }
    assert _run(*command) == 0


def test_what_a_stage_ran_with_counts_not_only_what_the_file_says_now(project):
    record = project.mini / "fingerprints/toy/train/a.json"
    ran = {"rate": 0.3, "size": [1, 2]}
    write_json(record, {**RUN, "parameters": ran})
    stated = {"toy": {"train": {"rate": 0.3, "size": [1, 2], "workers": 4}}}
    assert keys_run_otherwise([record], stated) == []
    stated["toy"]["train"]["rate"] = 0.4
    assert keys_run_otherwise([record], stated) == ["toy.train.rate as run"]


def test_values_of_a_second_section_count_too(project):
    record = project.mini / "fingerprints/toy/train/a.json"
    values = {**RUN, "parameters": {"rate": 1}, "other_parameters": {"pairs": {"n": 2}}}
    write_json(record, values)
    assert keys_run_otherwise([record], {"toy": {"train": {"rate": 1}, "pairs": {"n": 2}}}) == []
    assert keys_run_otherwise([record], {"toy": {"train": {"rate": 1}, "pairs": {"n": 3}}}) == [
        "toy.pairs.n as run"
    ]


def test_what_an_item_ran_with_is_compared_with_its_own_section(project):
    record = project.mini / "fingerprints/toy/train/a.json"
    values = {**RUN, "item": "a", "parameters": {"rate": 1}}
    write_json(record, values)
    assert keys_run_otherwise([record], {"toy": {"train": {"a": {"rate": 1}, "b": {"rate": 2}}}}) == []
    stated = {"toy": {"train": {"a": {"rate": 2}, "b": {"rate": 1}}}}
    assert keys_run_otherwise([record], stated) == ["toy.train.a.rate as run"]
    write_json(record, dict(values, item="small"))  # an item without a section of its own
    assert keys_run_otherwise([record], {"toy": {"train": {"rate": 2}}}) == ["toy.train.rate as run"]


def test_freezing_a_system_without_parameters_is_refused(project, capsys):
    project.write_yaml("mini/params.yaml", {"root": ".."})
    assert _run("recipe", str(project.mini), "--claims", str(project.claims), "--freeze") == 2
    assert "no section toy" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["- 1", "a: ["])
def test_parameters_that_are_no_mapping_are_refused(project, text):
    from checks.recipe import read_parameters

    path = project.write("mini/params.yaml", text)
    with pytest.raises(Refusal, match="params.yaml"):
        read_parameters(path)


def _run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code
