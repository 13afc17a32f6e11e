"""People: the review page (`serve`), and the same queue as a table to fill in (`exchange`)."""
