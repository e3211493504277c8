"""Divergence of a student from a teacher's softened probabilities."""

import torch.nn.functional as F


def distillation_loss(student_logits, teacher_logits, temperature, squared=False):
    """KL(softmax(teacher / T) || softmax(student / T)), summed over classes, mean over rows; a scalar.

    student_logits, teacher_logits: float (n, C); the teacher's count as float32 and without gradient.
    squared: times T², which keeps the size of the gradient over T. Published (SRe2L): without it on ImageNet
    and CIFAR-100, with it on Tiny-ImageNet.
    """
    probabilities = softened(teacher_logits, temperature)
    return divergence(student_logits, probabilities, temperature, squared)


def softened(logits, temperature):
    """softmax(logits / T) as float32 (n, C), without gradient."""
    return F.softmax(logits.detach().float() / temperature, dim=1)


def divergence(student_logits, probabilities, temperature, squared=False):
    """`distillation_loss` against given `probabilities` (n, C) at the temperature."""
    logarithms = F.log_softmax(student_logits / temperature, dim=1)
    loss = F.kl_div(logarithms, probabilities, reduction="batchmean")
    return loss * temperature**2 if squared else loss
