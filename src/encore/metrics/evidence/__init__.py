"""Evidence: the small thing from which the numbers of a metric file are computed again by numpy alone."""
