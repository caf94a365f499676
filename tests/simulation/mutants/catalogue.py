"""Every seeded defect, in the order in which they are hunted for."""

from tests.simulation.mutants import (
    damage,
    masters,
    original_system,
    reports_and_commits,
    workers,
)
from tests.simulation.mutants.registry import MUTANTS

__all__ = ["MUTANTS", "damage", "masters", "original_system", "reports_and_commits", "workers"]
