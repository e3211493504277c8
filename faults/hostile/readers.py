"""All readers of files from outside, and the modules that open files of the same formats but only our own."""

from __future__ import annotations

from dataclasses import dataclass

from faults.hostile import samples
from faults.hostile.reader import Reader

SRC, DRIP, FKD = "src/encore/", "src/encore/systems/drip/", "src/encore/systems/fkd/"
DATA, REID = SRC + "data/", "src/encore/systems/reid/"


@dataclass(frozen=True)
class Side:
    """A dataclass to read parameters into."""

    side: int
    names: tuple[str, ...]


def _safe_load(path):
    from encore.runtime.safe_load import safe_load

    return safe_load(path)


def _checkpoint(path):
    from encore.systems.drip.published_checkpoints import read_container

    return read_container(path)


def _backbone(path):
    from encore.systems.momentum2_teacher.published_files import read_backbone

    return read_backbone(path)


def _w(path):
    from encore.systems.drip.centroids import read_w

    return read_w(path, (2, 3))


def _ids(path):
    from encore.systems.drip.samples import read_id_list

    return read_id_list(path, "I")


def _weights(path):
    from encore.systems.reid.weights import read_weights

    return read_weights(path)


def _features(path):
    from stages.reid.evaluate.market_evaluate import read_features

    return read_features(path)


def _published_labels(path):
    from encore.systems.fkd.published_labels import PublishedLabels

    found = PublishedLabels(path.parent.parent)
    found.check_files(found.epochs)
    return [found.load(epoch, n) for epoch in range(found.epochs) for n in range(found.batches)]


def _label_store(path):
    from encore.systems.fkd.label_store import LabelStore

    found = LabelStore(path.parent)
    found.check_files(found.epochs)
    found.check_digests()
    return found.names(), [found.load(0, n) for n in range(found.batches)]


def _picture(path):
    from encore.data.images import LARGEST_PICTURE, RejectedImage, decode_image
    from encore.runtime.bounded_file import read_bounded
    from encore.runtime.refusal import Refusal

    try:
        return decode_image(read_bounded(path, LARGEST_PICTURE))
    except RejectedImage as error:  # what reads a folder of pictures lists it with this reason
        raise Refusal(f"{path}: {error.reason}") from error
    except OSError as error:  # as the sources of pictures do
        raise Refusal(f"{path}: {error.strerror}") from None


def _all_pictures(source):
    return [source.read(i) for i in range(len(source))]


def _image_source(path):
    from encore.data.image_source import open_source

    return _all_pictures(open_source(path, class_folders=True))


def _data_set(path):
    from encore.data.image_source import open_source

    return _all_pictures(open_source(path.parent))


def _exported(path):
    from encore.data.published_layout import export_folder

    return export_folder(path.parent, path.parent / "exported")


def _verified(path):
    from encore.data.manifest import verify_manifest
    from encore.runtime.refusal import Refusal

    problems = verify_manifest(path.parent, content=True)
    if problems:
        raise Refusal(problems[0])


def _tree(path):
    from encore.data.picture_tree import open_tree

    tree = open_tree(path)
    return [tree.read(name) for name in tree.files()]


def _class_folders(path):
    from encore.data.class_folders import ClassFolders

    found = ClassFolders(path)
    return found.digest, found.names, _all_pictures(found)


def _imported(path):
    from encore.data.published_layout import import_folder

    return import_folder(path, path.parent / "imported")


def _picture_listing(path):
    from encore.data.images import RejectedImage
    from encore.runtime.refusal import Refusal
    from encore.systems.matching.picture_listing import list_pictures

    listing = list_pictures(path, "queries")
    for i in range(len(listing)):
        try:
            listing.read(i)
        except RejectedImage as error:
            raise Refusal(f"{path}: {error.reason}") from error


def _raw_listing(path):
    from checks.raw_data.listing import list_files
    from encore.runtime.refusal import Refusal

    # without its digest, for which the whole file is read, however large
    found = list_files(f"{path}#" if path.is_file() else path, digest=False)
    if found is None:
        raise Refusal(f"{path}: missing")  # as `encore data` says of it
    return found


def _first_picture(path):
    from checks.match import _require_pictures

    return _require_pictures("queries", path.parent)


def _descriptors(path):
    from encore.data.descriptors import read_descriptors

    return read_descriptors([path])


def _submission(path):
    from encore.data.descriptors import read_submission

    return read_submission(path)


def _descriptor_rows(path):
    from encore.data.descriptor_rows import DescriptorRows

    rows = DescriptorRows(path.parent / "query_256.hdf5")
    return rows.ids, rows.read(0, rows.shape[0])


def _drip_descriptors(path):
    from encore.systems.drip.descriptors_file import checkpoint_of, open_descriptors

    found = open_descriptors(path)
    return checkpoint_of(path), found.reference.read(0, len(found.reference))


def _pca(path):
    from encore.data.faiss_transform import read_pca

    return read_pca(path)


def _picture_database(path):
    from encore.data.picture_database import PictureDatabase

    return _all_pictures(PictureDatabase(path))


def _detections(path):
    from encore.detection.detections import Detections

    found = Detections.open(path.parent)
    return [found.of(name) for name in found.names]


def _evidence(path):
    from encore.metrics.evidence.reading import read_evidence

    return read_evidence(path).measure()


def _predictions(path):
    from encore.metrics.predictions import PairIds, read_predictions

    return read_predictions(path, PairIds())


def _ground_truth(path):
    from encore.systems.drip.samples import check_ground_truth

    return check_ground_truth(path)


def _score_list(path):
    from encore.systems.isc_track1.score_list import read_score_list

    return read_score_list(path)


def _matches(path):
    from checks.match_page import read_matches

    return read_matches(path)


def _rejected(path):
    from checks.match_page import read_rejected

    return read_rejected(path)


def _overlay_set(path):
    from encore.systems.isc_overlays.training_set import read_overlay_set

    return read_overlay_set(path.parent)


def _params_json(path):
    from encore.systems.reid.params_json import read_params_json

    return read_params_json(path)


def _templates(path):
    from encore.systems.drip.screenshot_templates import read_templates

    return read_templates(path.parent, at_least=1)


def _parameters(path):
    from encore.runtime.parameters import read_parameters

    return read_parameters(path, "queries.other", Side)


def _inputs(path):
    from checks.raw_data.inputs import read_inputs

    return read_inputs(path)


def _model_config(path):
    from encore.systems.drip.model_config import read_model_config

    return read_model_config(path)


def _digests(path):
    from checks.raw_data.digests import read_manifest

    return read_manifest(path)


def _person_name(path):
    from encore.data.person_names import NAMINGS, parse
    from encore.runtime.bounded_file import read_bounded
    from encore.runtime.refusal import Refusal

    try:
        name = read_bounded(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from None
    found = []
    for naming in NAMINGS:
        try:
            found.append(parse(name, naming))
        except Refusal as refusal:
            unread = refusal
    if not found:
        raise Refusal(f"{path}: {unread}")
    return found


def _onnx(path):
    from encore.systems.reid.onnx_predictor import ONNXPredictor

    return ONNXPredictor(str(path)).input_size


LOST = "names that cannot be read count as lost, as the published layout has none; they are only compared"
READERS = [
    Reader(SRC + "runtime/safe_load.py", "torch zip", samples.torch_zip, _safe_load),
    Reader(SRC + "runtime/safe_load.py", "torch legacy", samples.torch_legacy, _safe_load),
    Reader(SRC + "runtime/safe_load.py", "pickle", samples.backbone, _safe_load),
    Reader(DRIP + "published_checkpoints.py", "torch zip", samples.checkpoint, _checkpoint),
    Reader(SRC + "systems/momentum2_teacher/published_files.py", "pickle", samples.backbone, _backbone),
    Reader(DRIP + "centroids.py", "pickle", samples.w_pickle, _w),
    Reader(DRIP + "samples.py", "pickle", samples.id_pickle, _ids),
    Reader(DRIP + "samples.py", "lines", samples.id_lines, _ids),
    Reader(DRIP + "samples.py", "csv", samples.ground_truth, _ground_truth),
    Reader(REID + "weights.py", "torch legacy", samples.torch_legacy, _weights),
    Reader("stages/reid/evaluate/market_evaluate.py", "pickle", samples.features, _features),
    Reader(FKD + "published_labels.py", "torch zip", samples.labels, _published_labels),
    Reader(FKD + "label_store.py", "json", samples.label_store, _label_store),
    Reader(FKD + "label_store.py", "lines", samples.label_names, _label_store, LOST),
    Reader(DATA + "safetensors_file.py", "safetensors", samples.label_tensors, _label_store),
    Reader(DATA + "images.py", "picture", samples.picture, _picture),
    Reader(DATA + "images.py", "png", samples.png, _picture),
    Reader(DATA + "image_source.py", "folder", samples.class_folders, _image_source),
    Reader(DATA + "image_source.py", "tar", samples.tar, _image_source),
    Reader(DATA + "picture_tree.py", "folder", samples.class_folders, _tree),
    Reader(DATA + "picture_tree.py", "tar", samples.tar, _tree),
    Reader(DATA + "tar_members.py", "tar", samples.tar, _class_folders),
    Reader(DATA + "class_folders.py", "folder", samples.class_folders, _class_folders),
    Reader(DATA + "published_layout.py", "folder", samples.numbered_folder, _imported),
    Reader(DATA + "published_layout.py", "json", samples.data_set, _exported),
    Reader(DATA + "published_layout.py", "npy", samples.shard_index, _exported),
    Reader(SRC + "systems/matching/picture_listing.py", "folder", samples.class_folders, _picture_listing),
    Reader("checks/raw_data/listing.py", "folder", samples.class_folders, _raw_listing),
    Reader("checks/raw_data/listing.py", "tar", samples.tar, _raw_listing),
    Reader("checks/match.py", "picture", samples.picture, _first_picture),
    Reader(DATA + "manifest.py", "json", samples.data_set, _verified),
    Reader(DATA + "shards.py", "npy", samples.shard_index, _data_set),
    Reader(DATA + "npy_arrays.py", "npy", samples.published_detections, _detections),
    Reader(SRC + "detection/detections.py", "npz", samples.detections, _detections),
    Reader(SRC + "metrics/evidence/archive.py", "npz", samples.evidence, _evidence),
    Reader(DATA + "descriptors.py", "hdf5", samples.compressed_hdf5, _descriptors),
    Reader(DATA + "hdf5_file.py", "hdf5", samples.submission, _submission),
    Reader(DATA + "descriptor_rows.py", "hdf5", samples.descriptor_chunks, _descriptor_rows),
    Reader(DRIP + "descriptors_file.py", "hdf5", samples.drip_descriptors, _drip_descriptors),
    Reader(DATA + "faiss_transform.py", "faiss", samples.pca, _pca),
    Reader(DATA + "picture_database.py", "lmdb", samples.picture_database, _picture_database),
    Reader(SRC + "metrics/predictions.py", "csv", samples.prediction_table, _predictions),
    Reader(SRC + "systems/isc_track1/score_list.py", "csv", samples.prediction_table, _score_list),
    Reader("checks/match_page.py", "csv", samples.matches, _matches),
    Reader("checks/match_page.py", "json", samples.rejected, _rejected),
    Reader(SRC + "systems/isc_overlays/training_set.py", "csv", samples.overlay_boxes, _overlay_set),
    Reader(REID + "json_object.py", "json", samples.params_json, _params_json),
    Reader(DRIP + "screenshot_templates.py", "json", samples.screenshot_boxes, _templates),
    Reader(DRIP + "screenshot_templates.py", "png", samples.screenshot, _templates),
    Reader(SRC + "runtime/parameters.py", "yaml", samples.params_yaml, _parameters),
    Reader("checks/yaml_file.py", "yaml", samples.inputs_yaml, _inputs),
    Reader(DRIP + "model_config.py", "python", samples.model_config_python, _model_config),
    Reader(DRIP + "model_config.py", "yaml", samples.model_config_yaml, _model_config),
    Reader("checks/raw_data/digests.py", "lines", samples.digests, _digests),
    Reader(DATA + "person_names.py", "name", samples.person_name, _person_name),
    Reader(REID + "onnx_predictor.py", "onnx", samples.onnx_network, _onnx),
]
