"""Cross entropy against labels of which a part is spread over all classes."""

import torch.nn.functional as F


def smoothed_cross_entropy(logits, labels, epsilon=0.1):
    """Mean over the batch of -sum t log softmax(logits), t = (1 - epsilon) onehot + epsilon / C.

    logits: float (n, C); labels: int64 (n,). Source: Szegedy et al. 2016, section 7; ISC 2021 Track 2,
    "losses".
    """
    log_probability = F.log_softmax(logits, dim=1)
    own = log_probability.gather(1, labels.unsqueeze(1)).squeeze(1)
    return -((1 - epsilon) * own + epsilon * log_probability.mean(1)).mean()
