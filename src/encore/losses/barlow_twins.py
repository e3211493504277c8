"""The redundancy-reduction loss of Barlow Twins."""


def barlow_twins(first, second, off_diagonal_weight=0.0051, epsilon=1e-5):
    """Sum of (c_ii - 1)^2 plus lambda times the sum of c_ij^2, c the cross-correlation of two views.

    first, second: float (n, d), the projections of two views of the same n images; every column is
    standardised over the batch (biased variance, epsilon under the root as in BatchNorm).
    off_diagonal_weight: lambda. Source: Zbontar et al. 2021, equation 1; lambda 0.0051 in the published
    recipe.
    """
    first, second = (_standardised(view, epsilon) for view in (first, second))
    correlation = first.t() @ second / first.size(0)
    diagonal = correlation.diagonal()
    on_diagonal = (diagonal - 1).pow(2).sum()
    off_diagonal = correlation.pow(2).sum() - diagonal.pow(2).sum()
    return on_diagonal + off_diagonal_weight * off_diagonal


def _standardised(view, epsilon):
    centred = view - view.mean(0)
    return centred / (centred.pow(2).mean(0) + epsilon).sqrt()
