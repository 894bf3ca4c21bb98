"""What visitors may do. The page hides what they may not, and every handler asks again: hiding locks nothing."""

from dataclasses import dataclass, replace

from resnet_cifar.state import State
from resnet_cifar.ui.refusals import refuse


@dataclass(frozen=True)
class Rights:
    """Whether visitors may start, stop, rename and delete; where not, why."""

    why_not: str | None = None

    @property
    def change(self) -> bool:
        """Whether they may change anything."""
        return self.why_not is None

    def discreet(self, state: State) -> State:
        """A state as they may know it: why a run failed can hold paths of this machine."""
        if self.change or state.reason is None:
            return state
        return replace(state, reason="Why it failed is told to those who may change something.")

    def need(self) -> None:
        """Raise a refusal where they may not."""
        if self.why_not is not None:
            raise refuse(self.why_not)
