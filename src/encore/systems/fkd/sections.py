"""Names that the stages share: the system, sections of the parameter file, outputs that others need."""

SYSTEM = "fkd"
NETWORK = "fkd.network"
"""Section of the parameter file: the teacher's NetworkShape."""
STUDENTS = "fkd.students"
"""Section of the parameter file: name -> NetworkShape."""
TEACHER = "models/fkd/teacher.pth"
"""Weights; the network is that of the section fkd.network."""
