"""Recover: pictures made from noise so that a frozen teacher gives them their class and finds in them the
statistics of its training set.
"""
