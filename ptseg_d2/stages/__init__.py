"""What a stage is: a row of one table, what it takes from earlier stages, and one run of it."""

from ptseg_d2.stages.inputs import StageInputs
from ptseg_d2.stages.run import StageRun, group_name
from ptseg_d2.stages.table import STAGES, Stage

__all__ = ["STAGES", "Stage", "StageInputs", "StageRun", "group_name"]
