"""The model registry as a team uses it: versions, approval, the gate before it, the way back, and sharing."""

from helpers.registry.gate import PairedDifference, paired_difference, promotes
from helpers.registry.serving import deploy, roll_back, served_version, training_data
from helpers.registry.sharing import artifact_statement, group_policy, key_statement, share
from helpers.registry.versions import approve, ensure_group, latest_approved, register, reject, versions

__all__ = [
    "PairedDifference",
    "approve",
    "artifact_statement",
    "deploy",
    "ensure_group",
    "group_policy",
    "key_statement",
    "latest_approved",
    "paired_difference",
    "promotes",
    "register",
    "reject",
    "roll_back",
    "served_version",
    "share",
    "training_data",
    "versions",
]
