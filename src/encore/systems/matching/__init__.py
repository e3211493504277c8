"""Copies between two folders of pictures, by the weights of any system of copy detection."""
