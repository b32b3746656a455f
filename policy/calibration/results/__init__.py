"""What a calibration leaves: the hand, its ranges, all numbers, and a report."""
