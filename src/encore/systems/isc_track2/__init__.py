"""ISC 2021 Track 2 (descriptor track): one ResNet-50 with a 256-d head distilled from itself."""
