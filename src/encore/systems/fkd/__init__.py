"""SRe2L with FKD labels (Yin, Xing and Shen 2023): a data set distilled into synthetic pictures, from which a
student learns by the stored answers of a teacher alone.

Published: a ResNet-18 teacher of ImageNet (squeeze), 50 pictures a class made from its BatchNorm statistics
in 4000 iterations each (recover), its logits on every mixed batch of 300 epochs (relabel, 30 GB), and a
ResNet-18 student trained on those to 46.8 % (train).
"""
