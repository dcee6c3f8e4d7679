"""EventBridge: state changes as events, rules that choose among them, schedules, and what their targets get."""
