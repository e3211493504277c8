"""ISC 2021 Track 1 (matching track), D2LV: 11 data sets, 3 backbones, 33 models, one fused submission."""
