"""State of one visitor on the Train tab."""

from dataclasses import dataclass, field

from studio.training.run_history import Snapshot
from studio.ui.components.tab import TabState


@dataclass
class TrainState(TabState):
    """What one visitor looks at.

    follow: the timeline stays at the newest sheet of samples; otherwise at: index of the sheet that is shown.  drawn: identifies what
    the Watch page shows now.  snapshots: those on the page, in its order.  method_settled: a method was suggested or chosen once;
    from then on it changes only with the goal.
    """

    follow: bool = True
    at: int = 0
    drawn: tuple = ()
    snapshots: list[Snapshot] = field(default_factory=list)
    method_settled: bool = False
