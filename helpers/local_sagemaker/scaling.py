"""Application Auto Scaling at work: policies executed by alarms, bounds held, schedules kept, activities followed up.

While an endpoint is being updated nothing is scaled: its alarm tries again at its next evaluation, and a change of
bounds waits until the endpoint is in service.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from helpers.local_sagemaker import (
    errors,
    scalable_dimensions,
    scalable_targets,
    scaling_activities,
    scaling_decisions,
    scaling_policies,
    scheduled_actions,
)
from helpers.local_sagemaker.background import Background
from helpers.local_sagemaker.scalable_targets import ACTION_KIND, KIND, POLICY_KIND

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25  # while an activity is under way


class Scaling:
    """Scales variants; a thread of its own keeps schedules and bounds, and sleeps while there is nothing to do."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._store = server.store
        self._lock = threading.Lock()
        self._background = Background("scaling", self._work)
        self._background.start()

    def wake(self) -> None:
        """A target or a scheduled action was changed."""
        self._background.wake()

    def stop(self) -> None:
        """Stops scaling."""
        self._background.stop()

    def execute(self, action: str, alarm: dict, state: str, values: list[float], is_new: bool) -> None:
        """Executes the policy that an alarm's action names.

        Args:
            action: the policy's ARN.
            alarm: its record.
            state: that the alarm is in.
            values: of the datapoints that put it there, oldest first.
            is_new: the alarm has just come into this state; what is not scaled then is noted down.

        Raises:
            LookupError: there is no such policy.
        """
        policy = scaling_policies.of_action(self._store, action)
        if policy is None:
            raise LookupError(f"The scaling policy {action} does not exist.")
        with self._lock:
            self._follow_up()  # a cooldown may have to begin before it is looked at
            policy = self._store.get(POLICY_KIND, scalable_targets.policy_key(policy)) or policy
            target = self._store.get(KIND, scalable_targets.key(policy))
            capacity = scalable_dimensions.capacity(self._store, target) if target else None
            if capacity is None:
                return
            now = capacity.number
            cause = f"monitor alarm {alarm['AlarmName']} in state {state} triggered policy {policy['PolicyName']}"
            wanted = scaling_decisions.wanted(self._server, policy, alarm, now, values)
            if wanted is None:
                return
            bounded = min(max(wanted, target["MinCapacity"]), target["MaxCapacity"])
            if bounded == now:
                if is_new:
                    self._note_not_scaled(target, now, wanted, cause)
                return
            word = "In" if bounded < now else "Out"
            if target["SuspendedState"][f"DynamicScaling{word}Suspended"]:
                return
            if self._scale(target, bounded, cause, policy):
                # Also after a failure, so that it is not tried again at once.
                changes = scaling_decisions.cooling(policy, now, bounded)
                self._store.update(POLICY_KIND, scalable_targets.policy_key(policy), **changes)

    def _is_settled(self, target: dict) -> bool:
        found = scalable_dimensions.capacity(self._store, target)
        return found is not None and found.is_settled

    def _scale(self, target: dict, number: int, cause: str, policy: dict | None = None) -> bool:
        """Begins to change a capacity; False when the endpoint cannot be changed now."""
        words = scalable_dimensions.of(target).words
        doing = f"Setting desired {words} to {number}."
        if not self._is_settled(target):
            return False
        try:
            scalable_dimensions.set_capacity(self._server, target, number)
        except errors.AwsError as error:
            if not self._is_settled(target):
                return False
            logger.warning("%s is not scaled: %s", target["ResourceId"], error)
            message = f"Failed to set desired {words} to {number}. Reason: {error.message}"
            scaling_activities.add(self._store, target, doing, cause, "Failed", StatusMessage=message)
            return True
        message = f"Successfully set desired {words} to {number}. Waiting for change to be fulfilled by sagemaker."
        members = {"StatusMessage": message, "_Number": number}
        if policy is not None:
            members["_Policy"] = scalable_targets.policy_key(policy)
        scaling_activities.add(self._store, target, doing, cause, "InProgress", **members)
        self.wake()
        return True

    def _note_not_scaled(self, target: dict, now: int, wanted: int, cause: str) -> None:
        if wanted > target["MaxCapacity"]:
            reason = {"Code": "AlreadyAtMaxCapacity", "MaxCapacity": target["MaxCapacity"]}
        elif wanted < target["MinCapacity"]:
            reason = {"Code": "AlreadyAtMinCapacity", "MinCapacity": target["MinCapacity"]}
        else:
            reason = {"Code": "AlreadyAtDesiredCapacity", "CurrentCapacity": now}
        doing = "Attempting to scale due to alarm triggered"
        scaling_activities.add(self._store, target, doing, cause, "Failed", NotScaledReasons=[reason])

    def _work(self) -> float | None:
        """Does what is due; returns the seconds until something is, None for not before it is woken."""
        waits = [self._keep_schedules(), self._hold_bounds(), self._follow_up()]
        return min((wait for wait in waits if wait is not None), default=None)

    def _keep_schedules(self) -> float | None:
        """Takes the scheduled actions that are due."""
        nearest = None
        for action in self._store.list(ACTION_KIND):
            due = scheduled_actions.next_time(action, self._server.speedup)
            if due is not None and due <= time.time():
                self._take(action)
                due = time.time()
            if due is not None:
                nearest = due if nearest is None else min(nearest, due)
        return None if nearest is None else max(nearest - time.time(), 0.0)

    def _take(self, action: dict) -> None:
        """Gives a target the bounds of a scheduled action."""
        with self._store.transaction():
            target = self._store.get(KIND, scalable_targets.key(action))
            now = self._store.get(ACTION_KIND, scalable_targets.action_key(action))
            if target is None or now is None:
                return
            self._store.update(ACTION_KIND, scalable_targets.action_key(action), _Last=time.time())
            if target["SuspendedState"]["ScheduledScalingSuspended"]:
                return
            bounds = action["ScalableTargetAction"]
            told = " and ".join(f"{word} capacity to {bounds[m]}" for word, m in _BOUNDS.items() if m in bounds)
            cause = f"scheduled action name {action['ScheduledActionName']} was triggered"
            least, most = (bounds.get(member, target[member]) for member in _BOUNDS.values())
            if least > most:
                reason = f"Failed to set {told}. Reason: the minimum capacity would be above the maximum."
                scaling_activities.add(self._store, target, f"Setting {told}", cause, "Failed", StatusMessage=reason)
                return
            changes = {"MinCapacity": least, "MaxCapacity": most, "_BoundsChanged": True}
            self._store.update(KIND, scalable_targets.key(target), **changes)
            done = f"Successfully set {told}"
            scaling_activities.add(self._store, target, f"Setting {told}", cause, "Successful", StatusMessage=done)

    def _hold_bounds(self) -> float | None:
        """Brings capacities between bounds that were changed."""
        wait = None
        for target in self._store.list(KIND):
            if not target.get("_BoundsChanged"):
                continue
            with self._lock:
                found = scalable_dimensions.capacity(self._store, target)
                bounded = found and min(max(found.number, target["MinCapacity"]), target["MaxCapacity"])
                if found is not None and bounded != found.number:
                    bound = "minimum" if bounded > found.number else "maximum"
                    if not self._scale(target, bounded, f"{bound} capacity was set to {bounded}"):
                        wait = POLL_SECONDS
                        continue
                with self._store.transaction():
                    stored = self._store.get(KIND, scalable_targets.key(target))
                    if stored and stored["LastModifiedTime"] == target["LastModifiedTime"]:
                        self._store.update(KIND, scalable_targets.key(target), _BoundsChanged=None)
        return wait

    def _follow_up(self) -> float | None:
        """Ends the activities whose endpoints have settled."""
        wait = None
        for activity in self._store.list(scaling_activities.KIND):
            if activity["StatusCode"] not in scaling_activities.OPEN:
                continue
            found = scalable_dimensions.capacity(self._store, activity)
            if found is not None and not found.is_settled:
                wait = POLL_SECONDS
                continue
            words, number = scalable_dimensions.of(activity).words, activity["_Number"]
            done = f"Successfully set desired {words} to {number}."
            if found is not None and found.number == number:
                end = "Successful", f"{done} Change successfully fulfilled by sagemaker."
            else:
                end = "Unfulfilled", f"{done} The change was not fulfilled by sagemaker."
            with self._store.transaction():
                scaling_activities.end(self._store, activity, *end)
                self._restart_cooldown(activity)
        return wait

    def _restart_cooldown(self, activity: dict) -> None:
        """A cooldown counts from when a change is made: until then metrics know nothing of it."""
        policy = self._store.get(POLICY_KIND, activity.get("_Policy", ""))
        for member in ("_LastOut", "_LastIn"):
            if policy and policy.get(member, {}).get("To") == activity["_Number"]:
                last = policy[member] | {"Time": time.time()}
                self._store.update(POLICY_KIND, activity["_Policy"], **{member: last})


_BOUNDS = {"min": "MinCapacity", "max": "MaxCapacity"}


def start(server: Server) -> None:
    """Begins to scale."""
    server.scaling = Scaling(server)


def stop(server: Server) -> None:
    """Stops scaling."""
    server.scaling.stop()
