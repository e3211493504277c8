"""How cost grows with size: time, memory, open files and DVC objects of the parts of a run, over decades.

`python -m benchmarks.growth` measures every subject at every size, each size in processes of its own, fits
curves to what it found, and keeps both in benchmarks/growth.json with a plot in benchmarks/growth.svg.
`encore forecast` reads the curves. A subject whose cost grows faster than n log n, or whose memory grows
faster than n, has to say why (EXPLAINED in its module): else the run fails.
"""
