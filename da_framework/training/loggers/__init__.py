"""Where figures go besides the run's own folder."""
