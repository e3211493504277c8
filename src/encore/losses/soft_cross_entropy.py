"""Cross entropy of a student against the softened probabilities of a teacher."""

import torch.nn.functional as F


def soft_cross_entropy(student, teacher, temperature=2.0):
    """Mean over the batch of -sum softmax(teacher / T) log softmax(student / T).

    student, teacher: float (n, C). Published quirks, kept: the teacher is not detached, so that it is trained
    by this loss too, and there is no factor T^2 (ISC 2021 Track 2, "soft CE"; compare Hinton et al. 2015).
    """
    target = F.softmax(teacher / temperature, dim=1)  # not detached: published behaviour
    return -(target * F.log_softmax(student / temperature, dim=1)).sum(1).mean()
