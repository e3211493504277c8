"""Scalars in TensorBoard's file format."""

import time


class EventFile:
    """Writes scalars for TensorBoard into a folder.

    Uses tensorboard's own writer, not torch.utils.tensorboard, which in torch 1.7.1 needs a package it does
    not declare. first_step: what an earlier, killed run has written from there on is hidden.
    """

    def __init__(self, folder, first_step=0):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(folder)
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer.add_event(event_pb2.Event(wall_time=time.time(), step=first_step, session_log=start))

    def add(self, step, scalars):
        """Write name -> number at `step`."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._writer.add_event(
            self._event(wall_time=time.time(), step=step, summary=self._summary(value=values))
        )

    def close(self):
        """Write what is pending and close the file."""
        self._writer.close()
