"""`make gpu-check`: what one machine's GPU computes, against the CPU, and how fast."""
