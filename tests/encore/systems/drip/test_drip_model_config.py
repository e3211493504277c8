"""The published configuration as data, and what flags, configuration and defaults come to."""

import argparse
import os

import pytest

from encore.runtime.refusal import Refusal
from encore.systems.drip.manual_run import checkpoint_of, manual_parts
from encore.systems.drip.model_config import read_model_config
from encore.systems.drip.network import NetworkShape
from encore.systems.drip.recipe import DripRecipe
from encore.systems.drip.stage_data import Places
from encore.systems.drip.stage_values import DripStageValues
from encore.systems.drip.start_weights import StartWeights
from encore.systems.drip.train_flags import FLAGS, add_train_flags, typed

PYTHON = '''
"""A configuration in the published form, with the published names and defaults."""
import os
os.system("touch was_run")
from modules import Args
N = 3
class ArgsT26(Args):
    OUTPUT_WH = (160, 160)
    DATASET_WH = (384, 384)
    BATCH_SIZE = 100
    N_WORKERS = 20
    BACKBONE_GPUS = [0]
    DS_INPUT_DIR = f'./all_datasets/dataset'
    DS_DIR = f'{DS_INPUT_DIR}_jpg_{DATASET_WH[0]}x{DATASET_WH[1]}'
    QRY_AUGS_INTENSITY = 0.75
    ImgNet_SAMPLES = open('./data/ImageNet_samples_v.pickle')
    img_norm_type = 'imagenet'
    model_resolution = (160, 160)
    embedding_size = 256
    backbone_name = 'eca_nfnet_l1'
    pretrained_bb = True
    neck_type = 'F'
    eps = 1e-6
    init_lr = 1e-3
    use_scheduler = True
    scheduler_name = 'ReduceLROnPlateau'
    sched_factor = 0.90
    sched_patience = 2
    n_warmup_epochs = 4
    n_decay_epochs = 100
    lr_prop = 1e-3
    optimizer_name = 'adam'
    clip_grad_norm = 1.0
    weight_decay = 0.0
    n_steps_grad_update = 1
    criterion_name = 'arcface'
    start_ckpt = None
    build_w_matrix = False
    do_ref_trn = False
    ref_trn_n_epochs = 5
    n_facebook_samples = 1000000
    n_imagenet_samples = 0
    n_frm_face_samples = 0
    arc_classnum = n_facebook_samples + n_imagenet_samples + n_frm_face_samples
    arc_devices_v = [0]
    arc_w_prop_v = None
    arc_optimizer = None
    arc_m = 0.4
    arc_s = 40.0
    arc_bottleneck = None
    arc_weight_decay = 0.0
    use_GeM = True
    GeM_p = 3.0
    GeM_opt_p = True
    checkpoint_base_path = f'./TEST26_{arc_classnum//1000}k_eca_nfnet_l1'
    model_name = 'arc_model'
    precision = 16
    seed = None
    accelerator = 'ddp'
    def __str__(self):
        return 'not looked at'
'''


def parts(*arguments):
    parser = add_train_flags(argparse.ArgumentParser(allow_abbrev=False))
    return manual_parts(typed(parser.parse_args(list(arguments)))[0])


@pytest.fixture()
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    (tmp_path / "model_config.py").write_text(PYTHON)
    return tmp_path / "model_config.py"


def test_the_published_configuration_has_the_published_values_and_is_not_run(config):
    found = parts("--model-config", str(config))
    assert found.recipe == DripRecipe(workers=20)
    assert found.values == DripStageValues()  # of what has a flag the flag's default wins, as published
    assert [text.partition(": ")[2] for text in found.warnings] == [
        "BATCH_SIZE 100: the flag's 160 wins, as in the published trainer",
        "n_facebook_samples 1000000: the flag's 5000 wins, as in the published trainer",
    ]
    assert (found.shape, found.places, found.start) == (NetworkShape(), Places(), StartWeights())
    assert not os.path.exists("was_run")


def test_without_a_flag_the_published_defaults_hold():
    found = parts()
    assert found.values == DripStageValues() and found.recipe == DripRecipe()
    of_flags = {flag.key: flag.default for flag in FLAGS if flag.key}
    for key in ("n_facebook_samples", "n_imagenet_samples", "n_frm_face_samples"):
        assert getattr(found.values, key) == of_flags["stage." + key]
    assert found.values.batch_size == of_flags["stage.batch_size"] == 160
    assert found.values.qry_augs_intensity == of_flags["stage.qry_augs_intensity"] == 0.75
    assert found.values.folder_name == "TEST26_5k_nobias_l1"


def test_flags_win_over_the_configuration_and_that_over_defaults(config):
    text = PYTHON.replace("arc_s = 40.0", "arc_s = 30").replace("N_WORKERS = 20", "N_WORKERS = 6")
    config.write_text(text.replace("seed = None", "seed = 9"))
    found = parts("--model-config", str(config), "--n-facebook-samples", "50000", "--batch-size", "200")
    assert (found.values.n_facebook_samples, found.values.batch_size) == (50000, 200)
    assert (found.values.qry_augs_intensity, found.values.n_imagenet_samples) == (0.75, 0)
    assert (found.recipe.arc_s, found.recipe.seed, found.recipe.workers) == (30.0, 9, 6)
    found = parts("--model-config", str(config), "--workers", "2", "--precision", "32", "--max-epochs", "7")
    assert (found.recipe.workers, found.recipe.precision, found.values.stop.max_epochs) == (2, 32, 7)


def test_the_same_names_in_yaml(config):
    path = config.parent / "config.yaml"
    path.write_text(
        "backbone_name: resnet\nwidth: 8\nlayers: [1, 1, 1, 1]\nembedding_size: 16\nDS_DIR: raw\n"
        "ImgNet_SAMPLES: ids.pickle\nOUTPUT_WH: [48, 48]\npretrained_bb: false\nw_passes: 2\n"
    )
    found = parts("--model-config", str(path))
    assert found.shape == NetworkShape("resnet", 16, width=8, layers=(1, 1, 1, 1))
    assert found.places == Places("raw", "ids.pickle")
    assert (found.recipe.size, found.recipe.w_passes, found.start) == (48, 2, StartWeights(None))


def test_where_the_weights_come_from(config):
    open("before.ckpt", "w").close()
    found = parts("--build-w-matrix", "before.ckpt")
    assert found.start == StartWeights("before.ckpt", False) and found.values.makes_centroids
    path = config.parent / "config.yaml"
    path.write_text("start_ckpt: before.ckpt\nbuild_w_matrix: true\npretrained_bb: false\n")
    found = parts("--model-config", str(path))  # both are overwritten, as published
    assert found.start == StartWeights(None) and not found.values.makes_centroids
    assert ["start_ckpt" in found.warnings[0], "build_w_matrix" in found.warnings[1]] == [True, True]


def test_the_stage_before_by_its_file_folder_or_name(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    for place in ("TEST26_50k_nobias_l1", "models/drip/fifty"):
        for number in (0, 2):
            os.makedirs("%s/lightning_logs/version_%d/checkpoints" % (place, number))
            open("%s/lightning_logs/version_%d/checkpoints/last.ckpt" % (place, number), "w").close()
        os.makedirs("%s/lightning_logs/version_10/checkpoints" % place)  # not one epoch yet
    newest = "lightning_logs/version_2/checkpoints/last.ckpt"
    published = "./TEST26_50k_nobias_l1/lightning_logs/version_0/checkpoints/last.ckpt"
    assert checkpoint_of(published) == published
    for name in ("TEST26_50k_nobias_l1", "./TEST26_50k_nobias_l1"):
        assert os.path.normpath(checkpoint_of(name)) == "TEST26_50k_nobias_l1/" + newest
    assert checkpoint_of("fifty") == "models/drip/fifty/" + newest
    with pytest.raises(Refusal, match="--build-w-matrix sixty: neither a checkpoint nor the folder or name"):
        checkpoint_of("sixty")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("eps = 1e-6", "eps = 1e-5", "eps: expected 1e-06, as in all published models, found 1e-05"),
        ("criterion_name = 'arcface'", "criterion_name = 'triplet'", "criterion_name: expected 'arcface'"),
        ("arc_s = 40.0", "arc_s = 4 * 10", "arc_s: computed, and nothing is run here"),
        ("arc_s = 40.0", "arc_s = '40'", "flags and .*model_config.py.arc_s: expected a number"),
        ("arc_s = 40.0", "arc_scale = 40.0", "arc_scale: unknown name"),
        ("build_w_matrix = False", "build_w_matrix = 1", "build_w_matrix: expected bool, found 1"),
        ("OUTPUT_WH = (160, 160)", "OUTPUT_WH = (160, 120)", "OUTPUT_WH: expected two equal sides"),
        ("model_resolution = (160, 160)", "model_resolution = (224, 224)", "model_resolution: expected two"),
        ("class ArgsT26(Args):", "class ArgsT26(Args:", "not valid Python"),
    ],
)
def test_other_configurations_are_refused(config, old, new, message):
    assert old in PYTHON
    config.write_text(PYTHON.replace(old, new))
    with pytest.raises(Refusal, match=message):
        parts("--model-config", str(config))


def test_a_module_level_name_is_read_where_it_is_known(config):
    config.write_text("BATCH_SIZE = 64\n\n\nclass Args:\n    arc_m: float = 0.5\n")
    found = read_model_config(str(config))
    assert (found.stage, found.recipe) == ({"batch_size": 64}, {"arc_m": 0.5})


def test_yaml_that_is_none_is_refused(config):
    path = config.parent / "config.yaml"
    for text, message in (("[1", "not valid YAML"), ("5", "expected names and values")):
        path.write_text(text)
        with pytest.raises(Refusal, match=message):
            read_model_config(str(path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("BATCH_SIZE: [{}1]\n".format("1, " * 10**4), "more than 4096 values"),
        ("#" * (1 << 18) + "\n", "expected at most"),
    ],
)
def test_yaml_of_another_size_is_refused(tmp_path, text, says):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(Refusal, match=r"config\.yaml: .*" + says):
        read_model_config(tmp_path / "config.yaml")
