"""Export the best network of a run as ONNX: `export_run RUN`, a name in the list reid.exported.

onnxruntime and torch are both shown query pictures; the metric is the largest difference of their features.
"""

from __future__ import annotations

import os

from encore.metrics.evidence.evidence_file import EvidenceFile
from encore.metrics.evidence.feature_pairs import FeaturePairs
from encore.runtime.atomic import file_digest
from encore.runtime.parameters import read_parameters, recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.reid import SYSTEM
from encore.systems.reid.evaluation_input import evaluation_size
from encore.systems.reid.evaluation_pictures import open_evaluation_pictures
from encore.systems.reid.onnx_export import export_onnx
from encore.systems.reid.trained_network import load_run
from stages.reid.evaluate_run import MODELS, EvaluationParameters
from stages.reid.export import real_inputs

OUTPUT = "models/reid_onnx/{}"
NETWORK = "network.onnx"


def main():
    parser = stage_parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="a name in the list reid.exported")
    arguments = parser.parse_args()
    parameters = read_parameters(arguments.params, "reid.evaluation", EvaluationParameters)
    with Stage(SYSTEM, "export", arguments.run) as stage:
        params, network, weights = load_run(needed(MODELS.format(arguments.run)))
        stage.seed = params.encore.seed
        stage.recorded.update(weights=weights, weights_sha256=file_digest(weights))
        pictures = open_evaluation_pictures(parameters.root, parameters.naming).query
        images = real_inputs(pictures, evaluation_size(params.as_mapping()))
        folder = os.path.join(stage.work_folder(recipe_digest(stage.recorded["weights_sha256"])), "onnx")
        os.makedirs(folder, exist_ok=True)
        showings = []
        difference = export_onnx(network, os.path.join(folder, NETWORK), images, showings=showings)
        stage.metrics({"largest_difference": float(difference), "pictures": len(images)})
        stage.evidence(EvidenceFile(FeaturePairs(tuple(showings))))
        stage.publish(folder, OUTPUT.format(arguments.run))


if __name__ == "__main__":
    run_stage(main)
