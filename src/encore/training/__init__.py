"""The training loop and what it rests on: replicas, processes, checkpoints, schedules."""
