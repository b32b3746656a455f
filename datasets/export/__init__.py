"""A dataset for others: BOP, the dataset card, contact sheets."""
