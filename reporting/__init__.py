"""What people read: the summary of a run, and whether the repository is fit to be shared."""
