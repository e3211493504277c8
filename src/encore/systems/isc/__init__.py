"""What both tracks of ISC 2021 share: training sets, query sets, training and extraction."""
