"""Case files on disk, their bundles for other parties, and the reproduction of decisions."""
