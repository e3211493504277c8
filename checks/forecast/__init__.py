"""`encore forecast`: pictures, hours and gigabytes of a run before it is started."""
