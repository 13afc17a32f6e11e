"""Going down a gradient: AdamW with a warm-up, which can be kept and taken up again.

Knows parameters and a loss; no text, no network and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

WARM_UP = 0.1
CLIP_NORM = 1.0
WEIGHT_DECAY = 0.01


class Descent:
    """AdamW with linear warm-up and decay, and gradient clipping.

    Args:
        groups: (parameters, peak learning rate) of each group.
        steps: that will be made in all.

    Attributes:
        done: steps made.
    """

    def __init__(self, groups: Sequence[tuple[list[Any], float]], steps: int) -> None:
        import torch

        self.parameters = [p for parameters, _ in groups for p in parameters]
        self.done, self._steps = 0, steps
        self._peaks = [rate for _, rate in groups]
        named = [{"params": parameters, "lr": rate} for parameters, rate in groups]
        self._optimizer = torch.optim.AdamW(named, weight_decay=WEIGHT_DECAY, fused=True)

    def step(self, loss: torch.Tensor) -> None:
        """Go down along the gradient of `loss`."""
        self.forget()
        self.add(loss)
        self.go()

    def forget(self) -> None:
        """Forget the gradient, before that of the next step is added up."""
        self._optimizer.zero_grad(set_to_none=True)

    def add(self, loss: torch.Tensor) -> None:
        """Add the gradient of `loss` to what is there."""
        loss.backward()  # type: ignore[no-untyped-call]

    def go(self, scale: float = 1.0) -> None:
        """Go down along the gradient that was added up, times `scale`."""
        import torch

        if scale != 1:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(scale)
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self._share_of_peak()
        self._optimizer.step()
        self.done += 1

    def _share_of_peak(self) -> float:
        warm = max(1.0, WARM_UP * self._steps)
        return min((self.done + 1) / warm, (self._steps - self.done) / max(1.0, self._steps - warm))

    def state(self) -> dict[str, torch.Tensor]:
        """What the optimizer remembers of each parameter that had a gradient."""
        found = self._optimizer.state_dict()["state"]
        return {f"{i}.{name}": value for i, known in found.items() for name, value in known.items()}

    def restore(self, state: Mapping[str, torch.Tensor], done: int) -> None:
        """Go on where another descent on the same parameters stood after `done` steps."""
        known: dict[int, dict[str, Any]] = {}
        for key, value in state.items():
            i, name = key.split(".")
            known.setdefault(int(i), {})[name] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": known, "param_groups": groups})
        self.done = done
