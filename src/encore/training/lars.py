"""LARS: SGD with momentum whose step is scaled per tensor."""

import torch


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017), as in the published Barlow Twins recipe.

    Tensors of more than one dimension get weight decay, then their gradient is scaled by
    trust * |parameter| / |gradient| (1 where either norm is 0); biases and BatchNorm parameters get neither.
    Then momentum and the step: m = momentum m + g, p = p - lr m.
    """

    def __init__(self, parameters, lr, momentum=0.9, trust=0.001, weight_decay=1e-6):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, trust=trust, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter, group):
        gradient = parameter.grad
        if parameter.dim() > 1:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
            sizes, steps = parameter.norm(), gradient.norm()
            scaled = group["trust"] * sizes / steps
            gradient = gradient * torch.where((sizes > 0) & (steps > 0), scaled, torch.ones_like(sizes))
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].mul_(group["momentum"]).add_(gradient)
        parameter.add_(state["momentum"], alpha=-group["lr"])
