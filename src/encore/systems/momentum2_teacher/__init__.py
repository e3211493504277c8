"""Momentum²-Teacher pre-training (Li et al. 2021), which makes the start weights of ResNet-152 and
ResNet-50-IBN-a.

Published: 300 epochs of ImageNet on 8 V100, batches of 512 (ResNet-152, about two weeks) and 1024 (IBN-a,
about one), plain SGD, a teacher whose weights and BatchNorm statistics follow by momentum.
"""
