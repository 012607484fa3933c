"""People over time: faces that come, clusters that are found again, persons that stay."""
