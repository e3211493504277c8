"""ArcFace "drip" training (second place of ISC 2021's descriptor track): stages of ever more classes, one
picture a class, each started from the centroids that the stage before gives.
"""
