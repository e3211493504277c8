"""Find the pictures with faces: more classes for two training sets, references for the fusion's filter."""

from __future__ import annotations

from encore.runtime.atomic import file_digest
from encore.runtime.parameters import recipe_digest
from encore.runtime.stage import Stage, needed, run_stage, stage_parser
from encore.systems.isc_track1.faces import FaceParameters, write_faces

OUTPUT = "data/isc_track1/faces"


def main():
    arguments = stage_parser(__doc__, maps=True).parse_args()
    with Stage("isc_track1", "faces") as stage:
        parameters = stage.parameters(arguments.params, FaceParameters)
        digest = recipe_digest(parameters.recipe(), stage.inputs("face_images", "reference_images"))
        if parameters.face_del is not None:
            digest = recipe_digest(digest, file_digest(needed(parameters.face_del)))
        work = stage.work_folder(digest)
        found = write_faces(work, parameters)
        stage.publish(work, OUTPUT)
        stage.metrics(found._asdict())


if __name__ == "__main__":
    run_stage(main)
