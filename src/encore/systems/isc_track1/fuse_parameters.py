"""What the last stage of Track 1 is told; the stage `crop_queries` checks by it what that will need."""

from __future__ import annotations

from dataclasses import dataclass

from encore.runtime.parameters import limited
from encore.systems.isc_track1.numbered_truth import read_numbered_truth


@dataclass(frozen=True)
class FuseParameters:
    """Parameters of the stage `fuse`."""

    ground_truth: str = limited()
    faces: str = limited()
    """Folder of face_del.npy."""
    queries: str = limited()
    """Folder of the lists of small augmented queries, query_wrong_<side>_VD.npy."""
    first_query: int = limited(low=0, high=99999)
    query_count: int = limited(low=1, high=100000)
    """Queries are numbered from `first_query` on; published: Q50000 to Q99999."""
    penalty: float = limited(low=0.0, high=10.0)
    unpenalised_crops: int = limited(low=0, high=10000)
    """How many of a query's detections are not penalised."""
    max_results: int = limited(low=1, high=500000)
    intermediate: bool = limited()
    """Whether all published files are written, or only the submissions."""
    unlabelled: str = limited("refuse", choices=("refuse", "drop"))
    """What is done with predictions of queries that the ground truth does not name."""

    @property
    def drop_unlabelled(self):
        """Whether such predictions are left out."""
        return self.unlabelled == "drop"

    def read_truth(self, path):
        """The NumberedTruth of the CSV file `path` for these queries; refusals as `read_numbered_truth`."""
        queries = range(self.first_query, self.first_query + self.query_count)
        return read_numbered_truth(path, queries, self.drop_unlabelled)
