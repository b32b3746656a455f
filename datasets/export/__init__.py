"""Export of datasets: BOP format, dataset cards, contact sheets."""
